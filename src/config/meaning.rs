//! The second stage: what the configuration means.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::audit::Audit;
use super::error::ConfigError;
use super::keys::{Keys, Overrides};
use super::logging::Logging;
use super::metrics::Metrics;
use super::typed::{Effective, Origin, Typed};
use crate::log::Options;
use crate::service::Limits;
use crate::small_file::{self, Source};
use crate::tls::{RevocationFiles, Subject};

/// Read if it exists and no other file is named.
const DEFAULT_FILE: &str = "/etc/varve/varve.toml";
/// What a message or a batch has around a record, and to spare.
const FRAMING_BYTES: u64 = 1 << 10;
/// The largest file that is read.
const BYTES_MAX: u64 = 8 << 20;
/// The folder of data of a server that is run by hand.
const DEFAULT_DATA_DIR: &str = "data";

/// What `varve serve` needs to know, checked: no field needs another check.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// Where clients connect. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The folder of the logs.
    pub data_dir: PathBuf,
    /// How clients are told apart.
    pub security: Security,
    /// The access control list.
    pub acl: PathBuf,
    /// How logs are kept, and what each gets that sets nothing itself.
    pub storage: Options,
    /// How much may go on at once.
    pub limits: Limits,
    /// How often it is looked whether a file that a reload reads was replaced; `None` is never.
    pub watch_every: Option<Duration>,
    /// Whether a read beyond the end answers the numeric status 404 instead of `OUT_OF_RANGE`.
    pub legacy_404: bool,
    /// Whether a batch for a log that is not there makes it.
    pub creates_logs: bool,
    /// Poll threads, which own the connections.
    pub grpc_threads: usize,
    /// Metrics and the status page.
    pub metrics: Metrics,
    /// The server's own log.
    pub logging: Logging,
    /// The log of who changed what; `None` if it is off.
    pub audit: Option<Audit>,
    /// Every key as it is in force, for people to look at.
    pub effective: Vec<Effective>,
}

/// How clients are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Security {
    /// By certificates, in both directions.
    MutualTls(TlsFiles),
    /// Not at all: everyone on this host is one subject.
    Plaintext {
        /// The subject that everyone is.
        subject: Subject,
    },
}

/// The files of mutual TLS, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, followed by those between it and its root.
    pub cert: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
    /// The roots that clients' certificates must come from.
    pub client_ca: PathBuf,
    /// What the clients' CAs have revoked.
    pub crl: Option<PathBuf>,
    /// What this server takes for revoked.
    pub deny_list: Option<PathBuf>,
    /// Whether a client is refused if its CA has no fresh revocation list.
    pub crl_required: bool,
}

impl TlsFiles {
    /// All files that are named.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let needed = [&self.cert, &self.key, &self.client_ca];
        needed.into_iter().chain(&self.crl).chain(&self.deny_list).map(PathBuf::as_path)
    }

    /// Where revocations are read from.
    #[must_use]
    pub fn revocations(&self) -> RevocationFiles<'_> {
        RevocationFiles {
            lists: self.crl.as_deref(),
            deny_list: self.deny_list.as_deref(),
            authorities: &self.client_ca,
            requires_fresh_lists: self.crl_required,
        }
    }
}

impl Config {
    /// Reads `file`, or the one in `/etc` if it is there, under `overrides`. It may be a pipe and
    /// is waited for then.
    ///
    /// `service_dir` is the folder that systemd made for the service, the default for data.
    ///
    /// # Errors
    ///
    /// The first mistake that was found, with its place and what would be right.
    pub fn load(
        file: Option<&Path>,
        overrides: &Overrides,
        service_dir: Option<&Path>,
    ) -> Result<Self, ConfigError> {
        Self::load_from(Source::Any, file, overrides, service_dir)
    }

    /// As `load`; what the file is may be narrowed.
    pub(crate) fn load_from(
        source: Source,
        file: Option<&Path>,
        overrides: &Overrides,
        service_dir: Option<&Path>,
    ) -> Result<Self, ConfigError> {
        let default = Path::new(DEFAULT_FILE);
        let file = file.or_else(|| default.exists().then_some(default));
        let text = match file {
            None => String::new(),
            Some(path) => text(path, source)
                .map_err(|unread| ConfigError::Read { path: path.to_owned(), source: unread })?,
        };
        Self::parse(file, &text, overrides, service_dir)
    }

    /// Reads `text`, which is that of `file`.
    pub(super) fn parse(
        file: Option<&Path>,
        text: &str,
        overrides: &Overrides,
        service_dir: Option<&Path>,
    ) -> Result<Self, ConfigError> {
        let data_dir = service_dir
            .map_or((Path::new(DEFAULT_DATA_DIR), Origin::Default), |dir| (dir, Origin::Service));
        let typed = Typed::parse(file.unwrap_or(Path::new("")), text)?;
        let keys = Keys::read(typed, overrides, data_dir)?;
        check_records_fit(&keys.limits, &keys.storage)?;
        if keys.storage.defaults.archive && keys.storage.archive.is_none() {
            return Err(ConfigError::ArchiveWithoutDirectory);
        }
        let acl = keys.acl.clone().ok_or(ConfigError::Missing {
            what: "access control list",
            flag: "--acl",
            key: "acl.file",
        })?;
        Ok(Self {
            file: file.map(Path::to_owned),
            listen: keys.listen,
            data_dir: keys.data_dir.clone(),
            security: security(&keys)?,
            acl,
            storage: keys.storage,
            limits: keys.limits,
            watch_every: keys.watch_every,
            legacy_404: keys.legacy_404,
            creates_logs: keys.creates_logs,
            grpc_threads: keys.grpc_threads,
            metrics: keys.metrics,
            logging: keys.logging,
            audit: keys.audit,
            effective: keys.effective,
        })
    }
}

impl Config {
    /// The files that a reload reads.
    #[must_use]
    pub fn reloaded_files(&self) -> Vec<PathBuf> {
        let tls = match &self.security {
            Security::MutualTls(files) => files.paths().map(Path::to_owned).collect(),
            Security::Plaintext { .. } => Vec::new(),
        };
        self.file.iter().cloned().chain(tls).chain([self.acl.clone()]).collect()
    }
}

fn text(path: &Path, source: Source) -> io::Result<String> {
    let (bytes, _) = small_file::read(path, source, BYTES_MAX)?;
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn check_records_fit(limits: &Limits, storage: &Options) -> Result<(), ConfigError> {
    let record_bytes = u64::try_from(limits.record_bytes_max).unwrap_or(u64::MAX);
    let bytes_min = record_bytes.saturating_add(FRAMING_BYTES);
    let carriers = [
        ("limits.message_bytes_max", u64::from(limits.message_bytes_max)),
        ("log.batch_bytes_max", u64::from(storage.defaults.batch_bytes_max)),
    ];
    match carriers.into_iter().find(|(_, bytes)| *bytes < bytes_min) {
        None => Ok(()),
        Some((key, bytes)) => {
            Err(ConfigError::RecordsDoNotFit { record_bytes, key, bytes, bytes_min })
        }
    }
}

fn security(keys: &Keys) -> Result<Security, ConfigError> {
    if !keys.plaintext {
        return tls_files(keys).map(Security::MutualTls);
    }
    let files = [
        ("tls.cert", &keys.cert),
        ("tls.key", &keys.key),
        ("tls.client_ca", &keys.client_ca),
        ("tls.crl", &keys.crl),
        ("tls.deny_list", &keys.deny_list),
    ];
    if let Some((key, _)) = files.iter().find(|(_, path)| path.is_some()) {
        return Err(ConfigError::PlaintextWithTls { key });
    }
    if !keys.listen.ip().is_loopback() {
        return Err(ConfigError::PlaintextInPublic { listen: keys.listen.to_string() });
    }
    Ok(Security::Plaintext { subject: keys.plaintext_subject.clone() })
}

fn tls_files(keys: &Keys) -> Result<TlsFiles, ConfigError> {
    let needed = |path: &Option<PathBuf>, what, flag, key| {
        path.clone().ok_or(ConfigError::Missing { what, flag, key })
    };
    Ok(TlsFiles {
        cert: needed(&keys.cert, "server certificate", "--cert", "tls.cert")?,
        key: needed(&keys.key, "private key", "--key", "tls.key")?,
        client_ca: needed(
            &keys.client_ca,
            "root certificate for clients",
            "--client-ca",
            "tls.client_ca",
        )?,
        crl: keys.crl.clone(),
        deny_list: keys.deny_list.clone(),
        crl_required: keys.crl_required,
    })
}

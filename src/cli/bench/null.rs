//! `varve bench null`: a server that keeps nothing.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use futures_executor::block_on;
use serde::Serialize;

use super::error::BenchError;
use super::flags::bounded;
use crate::acl::Policy;
use crate::cli::error::CliError;
use crate::cli::interrupt::Interrupt;
use crate::cli::output;
use crate::server::{NullServer, ServerOptions, Transport};
use crate::service::Rules;
use crate::service::null::Prepared;
use crate::tls::{Credentials, Subject};

/// The largest batch that it prepares, in bytes of values.
const PREPARED_BYTES_MAX: usize = 8 << 20;

/// Serve without a log: takes every batch and keeps none, to find out what the wire can carry
///
/// It takes, reads and answers the same messages of varve.v1.Log as a server, on the same threads
/// and over the same transport. Producing answers consecutive offsets, whichever log is named;
/// consuming sends one prepared batch over and over and never waits. There is no access control
/// list: whoever can connect may do both.
#[derive(Debug, Args)]
pub(super) struct Null {
    /// Where clients connect; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The server's certificate in PEM
    #[arg(long, value_name = "FILE", required_unless_present = "plaintext")]
    cert: Option<PathBuf>,
    /// Its private key in PEM
    #[arg(long, value_name = "FILE", required_unless_present = "plaintext")]
    key: Option<PathBuf>,
    /// The root certificates in PEM that clients' certificates must come from
    #[arg(long, value_name = "FILE", required_unless_present = "plaintext")]
    client_ca: Option<PathBuf>,
    /// No TLS; on a loopback address only
    #[arg(long, conflicts_with_all = ["cert", "key", "client_ca"])]
    plaintext: bool,
    /// Write and sync what is produced in this folder, without any order, before it is answered;
    /// nothing is left of it
    #[arg(long, value_name = "FOLDER")]
    disk: Option<PathBuf>,
    /// Records of the batch that consumers get
    #[arg(long, value_name = "N", default_value = "1000")]
    batch_records: usize,
    /// Bytes of each of their values
    #[arg(long, value_name = "N", default_value = "100")]
    record_bytes: usize,
}

/// What a program reads instead of `listening on`.
#[derive(Serialize)]
struct Listening {
    listening: SocketAddr,
}

impl Null {
    /// Serves until a signal ends it.
    pub(super) fn run(self, is_json: bool) -> Result<ExitCode, CliError> {
        let prepared = self.prepared()?;
        let policy = Arc::new(Policy::parse("", Path::new(""))?);
        let options = ServerOptions::new(self.listen, self.transport()?, Rules::new(policy));
        let mut interrupt = Interrupt::watch()?;
        let server = NullServer::start(&options, prepared, self.disk.as_deref())?;
        let listening = SocketAddr::new(self.listen.ip(), server.port());
        match is_json {
            true => output::json(&Listening { listening })?,
            false => output::line(format_args!("listening on {listening}"))?,
        }
        block_on(std::future::poll_fn(|cx| interrupt.poll(cx)));
        server.stop();
        Ok(ExitCode::SUCCESS)
    }

    fn prepared(&self) -> Result<Prepared, BenchError> {
        if let Some(folder) = self.disk.as_deref().filter(|folder| !folder.is_dir()) {
            return Err(BenchError::NoFolder { path: folder.to_owned() });
        }
        bounded("batch-records", self.batch_records, 1_000_000)?;
        bounded("record-bytes", self.record_bytes, PREPARED_BYTES_MAX / self.batch_records)?;
        let records = u32::try_from(self.batch_records).unwrap_or(u32::MAX);
        Ok(Prepared::new(records, self.record_bytes))
    }

    fn transport(&self) -> Result<Transport, CliError> {
        let (Some(cert), Some(key), Some(ca)) = (&self.cert, &self.key, &self.client_ca) else {
            let subject = Subject::new("anonymous").expect("printable ASCII");
            return Ok(Transport::Plaintext { subject });
        };
        Ok(Transport::MutualTls(Arc::new(Credentials::load(cert, key, ca)?)))
    }
}

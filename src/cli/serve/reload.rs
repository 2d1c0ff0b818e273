//! What a reload reads: all files that decide about callers, and the configuration that names them.

use std::env;
use std::mem::discriminant;
use std::path::{Path, PathBuf};

use super::access::Access;
use super::settings::Settings;
use crate::cli::error::CliError;
use crate::config::{Config, Effective, Security, TlsFiles};
use crate::server::{calls_of_subject_max, calls_per_connection_max};
use crate::service::Limits;
use crate::small_file::Source;
use crate::tls::exposure::CREDENTIALS_DIRECTORY;

/// Keys that only a start puts in force, among those that a reload does.
const AT_START: [&str; 4] = [
    "limits.queued_reads_max",
    "limits.message_bytes_max",
    "limits.readers_per_log_max",
    "limits.producers_per_log_max",
];
/// What a reload puts in force.
const TABLES: [&str; 3] = ["tls.", "acl.", "limits."];

/// Reads the files again, and warns of what works and of what has to wait for a restart. `started`
/// is the configuration of the start.
///
/// # Errors
///
/// Any of reading them, and `TransportChanged`.
pub(super) fn read(settings: &Settings, started: &Config) -> Result<(Config, Access), CliError> {
    let config = settings.load_from(Source::Regular)?;
    if discriminant(&config.security) != discriminant(&started.security) {
        // The listener stays as it is, and with it go the certificates and what of them is revoked.
        let is_plaintext = matches!(config.security, Security::Plaintext { .. });
        return Err(CliError::TransportChanged { is_plaintext });
    }
    let access = Access::load_from(Source::Regular, &config)?;
    for warning in access.warnings() {
        log::warn!(text:% = warning; "check");
    }
    for key in waiting(&started.effective, &config.effective) {
        log::warn!(key:%, text = "a restart puts it in force"; "reload_incomplete");
    }
    for key in beyond_connections(&started.limits, &config.limits) {
        let text = "a connection takes no more calls at once than the start allowed: a restart \
                    puts all of it in force";
        log::warn!(key:%, text; "reload_incomplete");
    }
    let copies = env::var_os(CREDENTIALS_DIRECTORY).map(PathBuf::from);
    for path in copied(&config.security, copies.as_deref()) {
        log::warn!(
            path:% = path.display(),
            text = "systemd copied it when the service started: a restart brings a new one";
            "reload_incomplete"
        );
    }
    Ok((config, access))
}

/// The files below `copies`, where systemd puts what `LoadCredential=` names.
fn copied<'a>(
    security: &'a Security,
    copies: Option<&'a Path>,
) -> impl Iterator<Item = &'a Path> + 'a {
    let files = match security {
        Security::MutualTls(files) => Some(files),
        Security::Plaintext { .. } => None,
    };
    let paths = files.into_iter().flat_map(TlsFiles::paths);
    paths.filter(move |path| copies.is_some_and(|copies| path.starts_with(copies)))
}

/// The keys whose new values have to wait.
fn waiting<'a>(
    started: &'a [Effective],
    now: &'a [Effective],
) -> impl Iterator<Item = &'static str> + 'a {
    let changed = now
        .iter()
        .filter(|row| started.iter().any(|old| old.key == row.key && old.value != row.value));
    changed
        .map(|row| row.key)
        .filter(|key| AT_START.contains(key) || !TABLES.iter().any(|table| key.starts_with(table)))
}

/// The limits that were raised to more calls on a connection than the transport, which was told at
/// the start, lets through.
fn beyond_connections(started: &Limits, now: &Limits) -> impl Iterator<Item = &'static str> {
    let is_beyond = calls_of_subject_max(now) > calls_per_connection_max(started);
    let rises = [
        (
            "limits.streams_per_connection_max",
            now.streams_per_connection_max > started.streams_per_connection_max,
        ),
        ("limits.calls_per_subject_max", now.calls_per_subject_max > started.calls_per_subject_max),
    ];
    rises.into_iter().filter(move |(_, rose)| is_beyond && *rose).map(|(key, _)| key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;

    fn rows(values: [&str; 4]) -> Vec<Effective> {
        let keys = ["listen", "tls.cert", "limits.streams_max", "limits.queued_reads_max"];
        let row = |(key, value): (&'static str, &str)| Effective {
            key,
            value: value.to_owned(),
            origin: Origin::File,
        };
        keys.into_iter().zip(values).map(row).collect()
    }

    #[test]
    fn what_only_a_start_puts_in_force_is_told() {
        let started = rows(["a", "b", "c", "d"]);
        let told = |now| waiting(&started, &rows(now)).collect::<Vec<_>>();
        assert_eq!(told(["a", "b", "c", "d"]), [""; 0]);
        assert_eq!(told(["a", "x", "x", "d"]), [""; 0]);
        assert_eq!(told(["x", "b", "c", "x"]), ["listen", "limits.queued_reads_max"]);
    }

    /// The number of calls on a connection is told to the transport at the start, and a reload that
    /// raised it said nothing.
    #[test]
    fn limits_beyond_what_connections_were_given_are_told() {
        let started = Limits::default();
        let (streams, calls) = (started.streams_per_connection_max, started.calls_per_subject_max);
        let told = |streams_per_connection_max, calls_per_subject_max| {
            let now =
                Limits { streams_per_connection_max, calls_per_subject_max, ..Limits::default() };
            beyond_connections(&started, &now).collect::<Vec<_>>()
        };
        assert_eq!(told(streams, calls), [""; 0]);
        assert_eq!(told(streams + 64, calls), [""; 0]);
        assert_eq!(told(streams + 65, calls), ["limits.streams_per_connection_max"]);
        assert_eq!(told(streams - 1, calls + 66), ["limits.calls_per_subject_max"]);
        assert_eq!(told(streams + 1, calls + 65).len(), 2);
    }
}

//! Sockets that systemd opened and passes on, as `sd_listen_fds(3)` describes.
//!
//! The core takes over the one whose address is the configured one, and of the family IPv6. If none
//! is, it would open its own, which a service without a network of its own shows to nobody: so that
//! is refused. The one called `metrics` is for metrics, wherever it listens.

use std::env;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::RawFd;

use crate::cli::error::CliError;
use crate::server::{is_passed, passed};

/// The descriptor of the first socket.
const FIRST: RawFd = 3;
/// The name of the socket for metrics.
const METRICS: &str = "metrics";

/// Checks that what was passed, if anything was, is where the server is to listen.
pub(super) fn check(listen: SocketAddr) -> Result<(), CliError> {
    let sockets = count(env::var("LISTEN_PID").ok(), env::var("LISTEN_FDS").ok());
    if sockets == 0 || is_passed(listen).map_err(CliError::Descriptors)? {
        return Ok(());
    }
    Err(CliError::NotPassed { listen, sockets })
}

/// The listener for metrics, if one was passed.
pub(super) fn metrics() -> Option<TcpListener> {
    let sockets = count(env::var("LISTEN_PID").ok(), env::var("LISTEN_FDS").ok());
    passed(place(&env::var("LISTEN_FDNAMES").ok()?, sockets)?)
}

/// The descriptor of the socket for metrics among so many, by their names.
fn place(names: &str, sockets: usize) -> Option<RawFd> {
    let place = names.split(':').take(sockets).position(|name| name == METRICS)?;
    RawFd::try_from(place).ok().map(|place| FIRST + place)
}

/// How many sockets are for this process.
fn count(pid: Option<String>, sockets: Option<String>) -> usize {
    let is_ours = pid.and_then(|pid| pid.parse().ok()) == Some(std::process::id());
    if is_ours { sockets.and_then(|count| count.parse().ok()).unwrap_or(0) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_for_metrics_is_found_by_its_name() {
        assert_eq!(place("grpc:metrics", 2), Some(4));
        assert_eq!(place("metrics", 1), Some(3));
        assert_eq!(place("grpc:metrics", 1), None);
        assert_eq!(place("grpc", 1), None);
    }

    #[test]
    fn only_what_is_for_this_process_counts() {
        let own = Some(std::process::id().to_string());
        let two = || Some("2".to_owned());
        assert_eq!(count(own.clone(), two()), 2);
        assert_eq!(count(Some("1".to_owned()), two()), 0);
        assert_eq!(count(own, None), 0);
        assert_eq!(count(None, two()), 0);
    }
}

//! Whom a browser thinks it talks to.
//!
//! A page from anywhere can have its own name resolved to this host, and read what is answered
//! under it (DNS rebinding). It cannot make a browser say another name than its own; so only names
//! are taken that nobody else can have.

use std::net::{IpAddr, SocketAddr};

/// The hosts that requests may name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hosts {
    listening: IpAddr,
}

impl Hosts {
    /// For a listener at `address`.
    pub(super) fn of(address: SocketAddr) -> Self {
        Self { listening: address.ip() }
    }

    /// Whether `host`, as a request has it, is this server: `localhost`, a loopback address, the
    /// address of the listener, or any address if it listens on all; with any port, because a
    /// tunnel may have another.
    pub(super) fn admit(self, host: &[u8]) -> bool {
        let Some(name) = std::str::from_utf8(host).ok().and_then(without_port) else {
            return false;
        };
        if name.eq_ignore_ascii_case("localhost") {
            return true;
        }
        let literal = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let address: Option<IpAddr> = match literal {
            Some(v6) => v6.parse().ok().map(IpAddr::V6),
            None => name.parse().ok().map(IpAddr::V4),
        };
        address.is_some_and(|address| {
            address.is_loopback() || address == self.listening || self.listening.is_unspecified()
        })
    }
}

/// `host` without `:PORT`; `None` if what follows the colon is no port.
fn without_port(host: &str) -> Option<&str> {
    let (name, port) = match host.rsplit_once(':') {
        // The colon is inside a literal address.
        Some((_, rest)) if rest.ends_with(']') => return Some(host),
        Some((name, port)) => (name, port),
        None => return Some(host),
    };
    (port.parse::<u16>().is_ok() && port.bytes().all(|b| b.is_ascii_digit())).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(listening: &str, host: &str) -> bool {
        Hosts::of(listening.parse().unwrap()).admit(host.as_bytes())
    }

    #[test]
    fn loopback_names_and_addresses_are_this_server() {
        for host in ["localhost", "LocalHost:8401", "127.0.0.1", "127.0.0.1:1", "127.9.9.9:8401"] {
            assert!(admits("127.0.0.1:8401", host), "{host}");
        }
        for host in ["[::1]", "[::1]:8401"] {
            assert!(admits("127.0.0.1:8401", host), "{host}");
        }
    }

    #[test]
    fn names_of_others_are_not() {
        for host in [
            "",
            ":8401",
            "evil.example",
            "evil.example:8401",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "localhost:",
            "localhost:x",
            "localhost:+1",
            "localhost:99999",
            "::1",
            "[::1",
            "[localhost]",
            "[127.0.0.1]",
            "10.0.0.1",
            "2130706433",
            "user@localhost",
            "localhost/",
        ] {
            assert!(!admits("127.0.0.1:8401", host), "{host}");
        }
    }

    #[test]
    fn the_address_of_the_listener_is_and_any_if_it_listens_on_all() {
        assert!(admits("10.0.0.1:8401", "10.0.0.1:8401"));
        assert!(!admits("10.0.0.1:8401", "10.0.0.2:8401"));
        assert!(admits("0.0.0.0:8401", "10.0.0.2:8401"));
        assert!(!admits("0.0.0.0:8401", "db1.internal:8401"));
    }
}

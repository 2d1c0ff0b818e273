//! The hosts of a request: each is an address, a mail address, a URI or a DNS name, told apart by
//! its form, as cfssl does.

use std::net::IpAddr;

use super::fault::{Fault, Wrong};
use super::json::Node;
use crate::tls::Subject;

const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// One subject alternative name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    Address(IpAddr),
    Mail(String),
    Uri(String),
    Dns(String),
}

impl Host {
    /// Reads one host; an empty one, as cfssl's own example requests have it, is `None`.
    pub(super) fn read(node: &Node) -> Result<Option<Self>, Wrong> {
        let text = node.text()?;
        if text.is_empty() {
            return Ok(None);
        }
        Self::parse(text)
            .map(Some)
            .map_err(|problem| node.wrong(Fault::Host { given: text.to_owned(), problem }))
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("has a space or a letter outside ASCII: write a foreign name as xn--...");
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Address(address.to_canonical()));
        }
        if text.contains("://") {
            return parse_uri(text);
        }
        if let Some((local, domain)) = text.split_once('@') {
            return match (local, check_dns(domain)) {
                ("", _) | (_, Err(_)) => Err("is no mail address: write it as name@example.com"),
                (_, Ok(())) => Ok(Self::Mail(text.to_owned())),
            };
        }
        check_dns(text.strip_prefix("*.").unwrap_or(text))?;
        Ok(Self::Dns(text.to_owned()))
    }

    /// Whether a client can compare it with the host that it connects to.
    pub(super) const fn is_reachable(&self) -> bool {
        match self {
            Self::Address(_) | Self::Dns(_) => true,
            Self::Mail(_) | Self::Uri(_) => false,
        }
    }
}

fn parse_uri(text: &str) -> Result<Host, &'static str> {
    let (scheme, rest) = text.split_once("://").unwrap_or_default();
    let mut letters = scheme.bytes();
    let is_scheme = letters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if !is_scheme || rest.is_empty() {
        return Err("is no URI: write it as spiffe://example.com/name");
    }
    if scheme == "spiffe" && Subject::new(text).is_err() {
        return Err("is longer than the 255 bytes that a subject may have");
    }
    Ok(Host::Uri(text.to_owned()))
}

fn check_dns(name: &str) -> Result<(), &'static str> {
    if name.contains(':') {
        return Err("has a colon: write a name or an address without the port, and no brackets");
    }
    let is_label = |label: &str| {
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(letters)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > NAME_BYTES_MAX || !name.split('.').all(is_label) {
        return Err("is no DNS name: its labels have 1 to 63 letters, digits and hyphens");
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("is neither an IP address nor a DNS name: write four numbers up to 255");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_apart_by_their_form() {
        let dns = |name: &str| Host::Dns(name.to_owned());
        for (text, expected) in [
            ("localhost", dns("localhost")),
            ("*.varve.example", dns("*.varve.example")),
            ("my_host-1", dns("my_host-1")),
            ("127.0.0.1", Host::Address([127, 0, 0, 1].into())),
            ("::1", Host::Address("::1".parse().unwrap())),
            ("::ffff:10.0.0.1", Host::Address([10, 0, 0, 1].into())),
            ("ops@varve.example", Host::Mail("ops@varve.example".to_owned())),
            ("spiffe://varve/a", Host::Uri("spiffe://varve/a".to_owned())),
            ("https://varve.example", Host::Uri("https://varve.example".to_owned())),
        ] {
            assert_eq!(Host::parse(text), Ok(expected));
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let long_label = "x".repeat(64);
        let long_name = ["x".repeat(63).as_str(); 4].join(".");
        let long_id = format!("spiffe://{}", "x".repeat(247));
        for text in [
            " localhost",
            "local host",
            "127.0.0.1:8400",
            "localhost:8400",
            "[::1]",
            "1.2.3",
            "256.1.1.1",
            "10.0.0.0/8",
            "-x",
            "x-",
            "a..b",
            "x.",
            ".x",
            "*",
            "a.*.b",
            "*x.b",
            "fe80::1%eth0",
            "@b",
            "a@",
            "a@b@c",
            "a b@c.example",
            "https://a b",
            "://x",
            "1s://x",
            "spiffe://",
            "b\u{fc}ro",
            "a\0b",
            "a\nb",
            &long_label,
            &long_name,
            &long_id,
        ] {
            assert!(Host::parse(text).is_err(), "{text:?}");
        }
    }
}

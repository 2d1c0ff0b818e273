//! What the C core and OpenSSL would read from the environment, taken out before they look.
//!
//! Whoever starts the process could otherwise have the session keys written to a file, other
//! roots trusted, modules loaded, or the core's checks traced. The one variable that is set keeps
//! the core away from its own copy of a resolver, which is no longer maintained.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

/// Variables that are dropped by their whole name, and by the beginning of it.
const NAMES: [&str; 1] = ["SSLKEYLOGFILE"];
const PREFIXES: [&str; 4] = ["GRPC_", "grpc_", "SSL_CERT_", "OPENSSL_"];
const RESOLVER: (&str, &str) = ("GRPC_DNS_RESOLVER", "native");

/// Cleans the environment and returns the names that were dropped.
///
/// Call it first of all in `main`, and nowhere else: no other thread may exist.
#[expect(unsafe_code, reason = "the environment can be changed in no other way")]
pub(super) fn clean() -> Vec<OsString> {
    let dropped: Vec<OsString> =
        env::vars_os().map(|(name, _)| name).filter(|name| is_dropped(name)).collect();
    for name in &dropped {
        // SAFETY: `main` calls this before it starts a thread, and no library has started one, so
        // nobody reads the environment meanwhile.
        unsafe { env::remove_var(name) };
    }
    // SAFETY: as above.
    unsafe { env::set_var(RESOLVER.0, RESOLVER.1) };
    dropped
}

fn is_dropped(name: &OsStr) -> bool {
    let begins = |prefix: &str| name.as_bytes().starts_with(prefix.as_bytes());
    NAMES.iter().any(|known| name == *known) || PREFIXES.into_iter().any(begins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_transport_security_is_dropped_and_the_rest_stays() {
        for name in ["GRPC_TRACE", "SSLKEYLOGFILE", "SSL_CERT_FILE", "OPENSSL_CONF", "grpc_proxy"] {
            assert!(is_dropped(OsStr::new(name)), "{name}");
        }
        for name in ["PATH", "VARVE_LOG", "NOTIFY_SOCKET", "SSLKEYLOGFILES", "MY_GRPC_TRACE"] {
            assert!(!is_dropped(OsStr::new(name)), "{name}");
        }
    }
}

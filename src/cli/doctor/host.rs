//! The host's clock, and its OpenSSL.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openssl::ssl::{SslContext, SslMethod};

use super::finding::Finding;
use super::kernel_clock::KernelClock;
use crate::cli::human::{Time, about_us};
use crate::service::admin::info::{GRPC_VERSION, is_fips};

const CLOCK: &str = "clock";
const OPENSSL: &str = "openssl";
/// A clock that is behind by no more is taken for right, as by the server.
const BEHIND_MAX: Duration = Duration::from_secs(60);
/// The level at which OpenSSL refuses RSA keys of 2048 bits.
const LEVEL_TOO_HIGH: u32 = 3;

/// Judges the clock; `known` is the time that the last server kept in the data directory.
pub(super) fn clock(known: Option<Duration>) -> Finding {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    judge_clock(now, known, &KernelClock::look())
}

fn judge_clock(
    now: Duration,
    known: Option<Duration>,
    kernel: &io::Result<KernelClock>,
) -> Finding {
    let told = format!("{:.0}", Time(micros(now)));
    let remedy = "run chrony or systemd-timesyncd, and see that it reaches its servers";
    let behind = known.unwrap_or_default().saturating_sub(now);
    if behind > BEHIND_MAX {
        let behind = about_us(micros(behind));
        let found = format!("{told}, {behind} behind what the last server on this data knew");
        return Finding::warning(CLOCK, found, remedy);
    }
    match kernel {
        Err(error) => Finding::not_looked_at(CLOCK, format!("adjtimex: {error}")),
        Ok(KernelClock { is_synchronized: true, error_max_us }) => {
            let found = format!("{told}, synchronized, off by {} at most", about_us(*error_max_us));
            Finding::ok(CLOCK, found).with("clock_error_max_us", *error_max_us)
        }
        Ok(KernelClock { is_synchronized: false, .. }) => {
            let found = format!("{told}, and nothing tells the kernel that it is right");
            Finding::warning(CLOCK, found, remedy)
        }
    }
}

/// Judges the OpenSSL that this program is linked to.
pub(super) fn openssl() -> Finding {
    let level = SslContext::builder(SslMethod::tls()).map(|context| context.build());
    match level {
        Ok(context) => judge_openssl(openssl::version::version(), context.security_level()),
        Err(error) => {
            let found = format!("{} does not start: {error}", openssl::version::version());
            Finding::fault(
                OPENSSL,
                found,
                "look at openssl.cnf, in the folder of `openssl version -d`",
            )
        }
    }
}

fn judge_openssl(version: &str, level: u32) -> Finding {
    let fips = if is_fips() { "FIPS" } else { "no FIPS" };
    let found = format!("{version}, security level {level}, {fips}; gRPC core {GRPC_VERSION}");
    let remedy = "set CipherString = DEFAULT@SECLEVEL=2 in openssl.cnf";
    match level {
        0 => Finding::warning(OPENSSL, format!("{found}: it takes weak keys"), remedy),
        level if level >= LEVEL_TOO_HIGH => {
            let found = format!("{found}: it refuses clients with RSA keys of 2048 bits");
            Finding::note(OPENSSL, found)
        }
        _ => Finding::ok(OPENSSL, found),
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Verdict;

    #[test]
    fn a_clock_that_nothing_keeps_right_or_that_is_behind_is_told_of() {
        let now = Duration::from_secs(1_795_375_000);
        let kernel = |is_synchronized| Ok(KernelClock { is_synchronized, error_max_us: 5000 });
        let judge = |known: Option<u64>, synchronized| {
            judge_clock(now, known.map(Duration::from_secs), &kernel(synchronized))
        };
        assert_eq!(judge(None, true).verdict, Verdict::Ok);
        assert_eq!(
            judge(None, true).found,
            "2026-11-22T19:16:40Z, synchronized, off by 5ms at most"
        );
        assert_eq!(judge(None, false).verdict, Verdict::Warning);
        assert_eq!(judge(Some(1_795_375_060), true).verdict, Verdict::Ok);
        let behind = judge(Some(1_795_375_000 + 7200), true);
        assert_eq!(behind.verdict, Verdict::Warning);
        assert!(behind.found.contains("2h behind"), "{behind:?}");
        let mute = judge_clock(now, None, &Err(io::ErrorKind::PermissionDenied.into()));
        assert_eq!(mute.verdict, Verdict::NotLookedAt);
    }

    #[test]
    fn openssl_is_told_with_its_level() {
        assert_eq!(openssl().check, OPENSSL);
        assert_eq!(judge_openssl("OpenSSL 3", 0).verdict, Verdict::Warning);
        assert_eq!(judge_openssl("OpenSSL 3", 2).verdict, Verdict::Ok);
        assert_eq!(judge_openssl("OpenSSL 3", 3).verdict, Verdict::Note);
    }
}

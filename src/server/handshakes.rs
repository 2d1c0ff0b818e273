//! Connections whose TLS handshake failed, counted from what the C core says.
//!
//! The core decides about handshakes and tells nobody but its log; so the log's lines are what is
//! counted, for the whole process, because the core's log has no server. A line of a future release
//! that reads otherwise counts less, and a test with a real server notices.

use std::sync::atomic::{AtomicU64, Ordering};

/// How such a line begins.
const FAILED: &str = "Handshake failed";
/// What the lines hold, and what that means. The first that fits counts.
const REASONS: [(&str, &str); 4] = [
    ("peer did not return a certificate", "no_certificate"),
    ("certificate verify failed", "certificate"),
    ("alert", "refused_by_client"),
    ("", "other"),
];

static REFUSED: [AtomicU64; REASONS.len()] = [const { AtomicU64::new(0) }; REASONS.len()];

/// Counts `line` of the core's log if it tells of a handshake that failed.
pub(crate) fn note(line: &str) {
    if let Some(count) = reason(line).and_then(|place| REFUSED.get(place)) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// How many handshakes failed for each reason.
pub(crate) fn refused() -> impl Iterator<Item = (&'static str, u64)> {
    REASONS.iter().zip(&REFUSED).map(|((_, name), n)| (*name, n.load(Ordering::Relaxed)))
}

fn reason(line: &str) -> Option<usize> {
    line.starts_with(FAILED).then_some(())?;
    REASONS.iter().position(|(part, _)| line.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_counts_for_the_first_reason_that_fits() {
        let name = |line| reason(line).map(|place| REASONS[place].1);
        assert_eq!(
            name(
                "Handshake failed with fatal error SSL_ERROR_SSL: error:0A0000C7:SSL \
                 routines::peer did not return a certificate."
            ),
            Some("no_certificate")
        );
        assert_eq!(
            name("Handshake failed: certificate verify failed (alert sent)"),
            Some("certificate")
        );
        assert_eq!(name("Handshake failed: wrong version number"), Some("other"));
        assert_eq!(name("Handshaker shut down"), None);
    }
}

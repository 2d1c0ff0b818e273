//! Which known key was probably meant by an unknown one.

use strsim::damerau_levenshtein;

/// The one of `known` that looks most like `typed`, if any looks much like it.
///
/// A key is compared as a whole and by its last part, so that one in the wrong section finds its
/// way home.
pub(crate) fn nearest<'a>(typed: &str, known: &[&'a str]) -> Option<&'a str> {
    let edits_max = 1 + last_part(typed).chars().count() / 3;
    let edits = |known: &str| {
        let whole = damerau_levenshtein(typed, known);
        // Of two equally near, the one in the section that was typed wins.
        (whole.min(damerau_levenshtein(last_part(typed), last_part(known))), whole)
    };
    known
        .iter()
        .map(|known| (edits(known), *known))
        .filter(|((least, _), _)| *least <= edits_max)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, known)| known)
}

fn last_part(key: &str) -> &str {
    key.rsplit_once('.').map_or(key, |(_, last)| last)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = ["listen", "log.segment_bytes_max", "tls.cert", "tls.key"];

    #[test]
    fn a_slip_finds_its_key() {
        assert_eq!(nearest("listne", &KNOWN), Some("listen"));
        assert_eq!(nearest("log.segment_byte_max", &KNOWN), Some("log.segment_bytes_max"));
        assert_eq!(nearest("tls.certs", &KNOWN), Some("tls.cert"));
    }

    #[test]
    fn a_key_in_the_wrong_section_finds_its_own() {
        assert_eq!(nearest("segment_bytes_max", &KNOWN), Some("log.segment_bytes_max"));
        assert_eq!(nearest("storage.segment_bytes_max", &KNOWN), Some("log.segment_bytes_max"));
    }

    #[test]
    fn nothing_alike_is_no_guess() {
        assert_eq!(nearest("colour", &KNOWN), None);
    }
}

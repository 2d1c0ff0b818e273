//! The page of the configuration, made from its sample.
//!
//! The sample has each key at its default, which a test of the configuration sees to, below a
//! comment that says what it means, which a test here does.

use clap_mangen::roff::{Roff, bold, roman};

use super::page::{MANUAL, see_also, source};
use super::prose::{filled, paragraph};
use super::{Page, facts};

const SAMPLE: &str = include_str!("../../../scripts/varve.toml");
const NAME: &str = "varve.toml";

const DESCRIPTION: &str = "\
`varve serve` reads the file that `--config` or `VARVE_CONFIG` names, else
/etc/varve/varve.toml if that exists. It is TOML. Each key is shown with its default;
paths are examples. `acl.file` has to be set, and the first three of `[tls]` unless
`insecure.plaintext` is.";

/// The page.
pub(super) fn page(date: &str) -> Page {
    let mut roff = Roff::new();
    roff.control("TH", [&*NAME.to_uppercase(), "5", date, &source(), MANUAL]);
    roff.control("SH", ["NAME"]).text([roman(format!("{NAME} - configuration of varve serve"))]);
    roff.control("SH", ["SYNOPSIS"]).text([bold("/etc/varve/varve.toml")]);
    roff.control("SH", ["DESCRIPTION"]);
    filled(&mut roff, DESCRIPTION);
    let (head, keys) = SAMPLE.split_once("\n\n").unwrap_or((SAMPLE, ""));
    // Its first paragraph is about the sample itself.
    let head: Vec<_> = head.lines().map(|line| line.trim_start_matches('#')).collect();
    for text in head.split(|line| line.is_empty()).skip(1) {
        paragraph(&mut roff, &text.join("\n"));
    }
    roff.control("SH", ["KEYS"]);
    let mut comment = Vec::new();
    for line in keys.lines() {
        if let Some(text) = line.strip_prefix("# ") {
            comment.push(text);
            continue;
        }
        let told = comment.join("\n");
        comment.clear();
        if line.starts_with('[') {
            roff.control("SS", [line]);
            filled(&mut roff, &told);
        } else if let Some((key, value)) = line.trim_start_matches('#').split_once(" = ") {
            roff.control("TP", []).text([bold(key), roman(format!(" = {value}"))]);
            filled(&mut roff, &told);
        }
    }
    roff.control("SH", ["FILES"]);
    for (path, meaning) in facts::files("varve-serve") {
        super::prose::term(&mut roff, path, meaning);
    }
    see_also(&mut roff, NAME, None);
    Page { name: NAME.to_owned(), section: "5", text: roff.render() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_each_key_of_the_sample_in_its_section() {
        let text = page("2026-01-02").text;
        let keys = SAMPLE.lines().filter_map(|line| line.trim_start_matches('#').split_once(" = "));
        let mut count = 0;
        for (key, value) in keys {
            let term = format!(".TP\n\\fB{key}\\fR = ");
            let after = text.split_once(&term).unwrap_or_else(|| panic!("{key}: {text}")).1;
            let meaning = after.lines().nth(1).unwrap();
            assert!(!meaning.starts_with('.'), "{key} = {value} has no meaning of its own");
            count += 1;
        }
        assert!(count > 40, "{count}");
        assert!(text.contains("\n.SS [tls]\n"), "{text}");
        assert!(text.contains("Sizes are bytes as a number"), "{text}");
    }
}

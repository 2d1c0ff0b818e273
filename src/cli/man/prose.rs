//! Help texts as a manual page has them: paragraphs, and blocks below a title.
//!
//! A help text is paragraphs between empty lines. One whose first line ends with a colon and whose
//! others are indented is a block; a title of a word or two makes it a section of the page.

use clap_mangen::roff::{Inline, Roff, bold, roman};

/// A title of more words is a sentence.
const TITLE_WORDS_MAX: usize = 2;

/// A piece of a help text.
pub(super) enum Piece<'a> {
    /// Lines to be filled.
    Paragraph(&'a str),
    /// Lines that stay as they are, below what introduces them.
    Block { intro: &'a str, lines: Vec<&'a str> },
}

/// The pieces of a help text.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    text.split("\n\n").map(str::trim_end).filter(|piece| !piece.is_empty()).map(piece).collect()
}

fn piece(text: &str) -> Piece<'_> {
    let block = || {
        let (first, rest) = text.split_once('\n')?;
        let intro = first.strip_suffix(':')?;
        let lines = rest.lines().map(|line| line.strip_prefix("  "));
        Some(Piece::Block { intro, lines: lines.collect::<Option<_>>()? })
    };
    block().unwrap_or(Piece::Paragraph(text))
}

impl<'a> Piece<'a> {
    /// The section that this is by itself, and what its title says beside that.
    pub(super) fn section(&self) -> Option<(&'a str, Option<&'a str>)> {
        let Self::Block { intro, .. } = self else { return None };
        let (title, more) = match intro.split_once(", ") {
            Some((title, more)) => (title, Some(more)),
            None => (*intro, None),
        };
        (title.split_whitespace().count() <= TITLE_WORDS_MAX).then_some((title, more))
    }

    /// Writes it into running text.
    pub(super) fn write(&self, roff: &mut Roff) {
        match self {
            Self::Paragraph(text) => paragraph(roff, text),
            Self::Block { intro, lines } => {
                paragraph(roff, &format!("{intro}:"));
                verbatim(roff, lines);
            }
        }
    }
}

/// Writes a paragraph. What stands between backticks is bold.
pub(super) fn paragraph(roff: &mut Roff, text: &str) {
    roff.control("PP", []);
    filled(roff, text);
}

/// Writes lines that are filled, below what was written before.
pub(super) fn filled(roff: &mut Roff, text: &str) {
    let text = text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    let parts: Vec<Inline> = text
        .split('`')
        .enumerate()
        .filter(|(_, part)| !part.is_empty())
        .map(|(n, part)| if n % 2 == 1 { bold(part) } else { roman(part) })
        .collect();
    roff.text(parts);
}

/// Writes lines as they are.
pub(super) fn verbatim(roff: &mut Roff, lines: &[&str]) {
    roff.control("RS", ["4"]).control("nf", []);
    for line in lines {
        roff.text([roman(*line)]);
    }
    roff.control("fi", []).control("RE", []);
}

/// Writes a term and what it means.
pub(super) fn term(roff: &mut Roff, term: &str, meaning: &str) {
    roff.control("TP", []).text([bold(term)]);
    filled(roff, meaning);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_told_from_paragraphs_and_titles_from_sentences() {
        let text = "Examples, with a file:\n  a\n    b\n\nTold so:\nnot a block\n\n\
                    What is meant by this:\n  c";
        let pieces = pieces(text);
        assert_eq!(pieces.len(), 3);
        assert_eq!(pieces[0].section(), Some(("Examples", Some("with a file"))));
        assert!(matches!(&pieces[0], Piece::Block { lines, .. } if *lines == ["a", "  b"]));
        assert!(matches!(pieces[1], Piece::Paragraph(_)));
        assert_eq!(pieces[2].section(), None);
        assert!(matches!(pieces[2], Piece::Block { .. }));
    }

    #[test]
    fn what_a_typesetter_would_take_for_a_command_stays_text() {
        let mut roff = Roff::new();
        verbatim(&mut roff, &[".not a request", "a\\b"]);
        filled(&mut roff, "`varve log` does\nit");
        let text = roff.to_roff();
        assert!(text.contains("\n\\&.not a request\na\\\\b\n"), "{text}");
        assert!(text.ends_with("\\fBvarve log\\fR does\nit\n"), "{text}");
    }
}

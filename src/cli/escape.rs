//! Text from outside, made safe to show: control bytes could steer a terminal or begin a line.

use std::fmt::{self, Write as _};

/// Shows its text with control characters escaped.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c.is_control() {
            true => write!(f, "{}", c.escape_default()),
            false => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_control_characters_are_escaped() {
        assert_eq!(
            Escaped("it's \"\u{fc}\"\n\u{1b}[2J\u{9b}").to_string(),
            "it's \"\u{fc}\"\\n\\u{1b}[2J\\u{9b}"
        );
    }
}

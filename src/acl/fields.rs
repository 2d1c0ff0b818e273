//! Splits a line of comma-separated fields.
//!
//! Blanks and tabs around a field do not count, also not around its quotes. A field in double
//! quotes may hold commas, outer blanks, and quotes written twice. A line is complete in itself: a
//! quote that is left open would otherwise swallow the rules that follow, and a reader that
//! forgives it would drop a deny in silence. The usual CSV readers do both, and take a quote after
//! a blank for text; hence these few lines.

use super::error::Fault;

const BLANKS: [char; 2] = [' ', '\t'];

/// Splits `line`, which has no line end, into at least one field.
///
/// # Errors
///
/// `QuoteOpen` and `QuoteInside`.
pub(super) fn split(line: &str) -> Result<Vec<String>, Fault> {
    let mut fields = Vec::new();
    let mut rest = Some(line);
    while let Some(text) = rest {
        let (field, after) = match trim(text).strip_prefix('"') {
            Some(text) => quoted(text)?,
            None => bare(text)?,
        };
        fields.push(field);
        rest = after;
    }
    Ok(fields)
}

/// `text` without the blanks around it.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(BLANKS)
}

/// Takes a field and, if a comma follows, what stands behind it.
fn bare(text: &str) -> Result<(String, Option<&str>), Fault> {
    let (field, rest) = match text.split_once(',') {
        Some((field, rest)) => (field, Some(rest)),
        None => (text, None),
    };
    if field.contains('"') {
        return Err(Fault::QuoteInside);
    }
    Ok((trim(field).to_owned(), rest))
}

/// As `bare`, for a field whose opening quote is already taken.
fn quoted(mut text: &str) -> Result<(String, Option<&str>), Fault> {
    let mut field = String::new();
    loop {
        let (part, after) = text.split_once('"').ok_or(Fault::QuoteOpen)?;
        field.push_str(part);
        if let Some(more) = after.strip_prefix('"') {
            field.push('"');
            text = more;
            continue;
        }
        let after = trim(after);
        if after.is_empty() {
            return Ok((field, None));
        }
        let rest = after.strip_prefix(',').ok_or(Fault::QuoteInside)?;
        return Ok((field, Some(rest)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_around_fields_do_not_count() {
        assert_eq!(split("p,a,b").unwrap(), ["p", "a", "b"]);
        assert_eq!(split("\t p , a b\t,\tb  ").unwrap(), ["p", "a b", "b"]);
    }

    #[test]
    fn empty_fields_are_fields() {
        assert_eq!(split("").unwrap(), [""]);
        assert_eq!(split("p,").unwrap(), ["p", ""]);
        assert_eq!(split(",, ,").unwrap(), ["", "", "", ""]);
        assert_eq!(split(r#""","""#).unwrap(), ["", ""]);
    }

    #[test]
    fn quotes_keep_commas_blanks_and_doubled_quotes() {
        assert_eq!(split(r#"p, "Acme, Inc." , b"#).unwrap(), ["p", "Acme, Inc.", "b"]);
        assert_eq!(split(r#"p," a ""b"" ",c"#).unwrap(), ["p", r#" a "b" "#, "c"]);
        assert_eq!(split(r#""""""#).unwrap(), ["\""]);
        assert_eq!(split(r#" "a" "#).unwrap(), ["a"]);
    }

    #[test]
    fn an_open_quote_is_refused() {
        for line in [r#"p, "a, b"#, r#"""#, r#"p, "a"" "#, r#"p, a, ""#] {
            assert_eq!(split(line), Err(Fault::QuoteOpen), "{line}");
        }
    }

    #[test]
    fn a_quote_inside_a_field_is_refused() {
        for line in [r#"p, a"b, c"#, r#"p, "a"b, c"#, r#"p, "a" "b", c"#, r#"a""#] {
            assert_eq!(split(line), Err(Fault::QuoteInside), "{line}");
        }
    }
}

//! An event as one line: `key=value`, or an object of JSON.

use std::fmt::Write as _;

use super::event::{Event, Field};

/// `level=info event=listening address=127.0.0.1:8400`, with what is no plain word in quotes and
/// control characters escaped, so that no text from outside can begin a line of its own.
pub(super) fn text(event: &Event) -> String {
    let mut line = format!("level={} event={}", event.level(), event.name);
    for (key, field) in &event.fields {
        // Writing to a string does not fail.
        let _ = match field {
            Field::Bare(value) => write!(line, " {key}={value}"),
            Field::Text(value) if is_word(value) => write!(line, " {key}={value}"),
            Field::Text(value) => write!(line, " {key}={value:?}"),
        };
    }
    line
}

/// One object, its keys in the order of `text`. `time` stands first where nobody else knows it.
pub(super) fn json(time: Option<&str>, event: &Event) -> String {
    let mut line = String::from("{");
    let level = event.level();
    let heads = [("time", time), ("level", Some(&level)), ("event", Some(&event.name))];
    for (key, value) in heads {
        if let Some(value) = value {
            put(&mut line, key, &quoted(value));
        }
    }
    for (key, field) in &event.fields {
        match field {
            Field::Bare(value) => put(&mut line, key, value),
            Field::Text(value) => put(&mut line, key, &quoted(value)),
        }
    }
    line.push('}');
    line
}

fn put(line: &mut String, key: &str, value: &str) {
    let comma = if line.ends_with('{') { "" } else { "," };
    // Writing to a string does not fail.
    let _ = write!(line, "{comma}{}:{value}", quoted(key));
}

fn quoted(text: &str) -> String {
    // Text is always JSON.
    serde_json::to_string(text).unwrap_or_default()
}

fn is_word(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '=' | '\\');
    !text.is_empty() && text.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use log::Level;
    use log::kv::Value;

    use super::super::event::tests::event;
    use super::*;

    #[test]
    fn only_what_is_no_word_is_in_quotes() {
        let fields = [
            ("log", Value::from("orders")),
            ("object", Value::from("")),
            ("error", Value::from("no room")),
            ("count", Value::from(7)),
        ];
        assert_eq!(
            text(&event(Level::Info, "check", &fields)),
            "level=info event=check log=orders object=\"\" error=\"no room\" count=7"
        );
    }

    #[test]
    fn an_event_is_one_line_whatever_it_holds() {
        let fields = [("subject", Value::from("a\n<0>\u{1b}[2J\"=\u{9b}"))];
        let event = event(Level::Warn, "denied", &fields);
        assert_eq!(
            text(&event),
            "level=warn event=denied subject=\"a\\n<0>\\u{1b}[2J\\\"=\\u{9b}\""
        );
        let line = json(Some("1970-01-01T00:00:00Z"), &event);
        assert!(!line.contains(|c: char| c.is_ascii_control()), "{line}");
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["subject"], "a\n<0>\u{1b}[2J\"=\u{9b}");
        assert_eq!(
            (&read["time"], &read["level"]),
            (&"1970-01-01T00:00:00Z".into(), &"warn".into())
        );
    }

    #[test]
    fn json_tells_numbers_from_texts() {
        let fields = [("a", Value::from(7)), ("b", Value::from("7"))];
        assert_eq!(
            json(None, &event(Level::Info, "check", &fields)),
            r#"{"level":"info","event":"check","a":7,"b":"7"}"#
        );
    }
}

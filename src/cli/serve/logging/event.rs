//! An event as values, whatever form it is written in.

use log::kv::{Error, Key, Value, VisitSource};
use log::{Level, Record};

use crate::cli::output::chain;

/// A longer text is cut.
const TEXT_CHARS_MAX: usize = 2048;
/// What the line of a library is called, which is prose and not an event of ours.
const MESSAGE: &str = "message";

/// What happened, and the fields that say more.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) level: Level,
    pub(super) name: String,
    pub(super) fields: Vec<(String, Field)>,
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Field {
    Text(String),
    /// A number or a truth value, which needs no quotes.
    Bare(String),
}

impl Event {
    /// What `record` is about. An error comes with its causes.
    pub(super) fn of(record: &Record<'_>) -> Self {
        let said = record.args().to_string();
        let level = record.level();
        let mut fields = Fields(Vec::new());
        if !is_name(&said) {
            fields.put("from", Field::Text(record.target().to_owned()));
            fields.put("text", Field::Text(cut(&said)));
        }
        // Only a source that fails by itself can fail, and fields of ours do not.
        let _whole = record.key_values().visit(&mut fields);
        let name = if is_name(&said) { said } else { MESSAGE.to_owned() };
        Self { level, name, fields: fields.0 }
    }

    pub(super) fn level(&self) -> String {
        self.level.as_str().to_lowercase()
    }
}

/// Events of ours are called like this, and nothing else is.
fn is_name(said: &str) -> bool {
    !said.is_empty() && said.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

struct Fields(Vec<(String, Field)>);

impl Fields {
    fn put(&mut self, key: &str, field: Field) {
        self.0.push((key.to_owned(), field));
    }
}

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let field = match (value.to_borrowed_str(), value.to_borrowed_error()) {
            (Some(text), _) => Field::Text(cut(text)),
            (None, Some(error)) => Field::Text(cut(&chain(error))),
            (None, None) if is_bare(&value) => Field::Bare(value.to_string()),
            (None, None) => Field::Text(cut(&value.to_string())),
        };
        self.put(key.as_str(), field);
        Ok(())
    }
}

fn is_bare(value: &Value<'_>) -> bool {
    value.to_u64().is_some() || value.to_i64().is_some() || value.to_bool().is_some()
}

fn cut(text: &str) -> String {
    let mut rest = text.chars();
    let kept: String = rest.by_ref().take(TEXT_CHARS_MAX).collect();
    if rest.next().is_some() { kept + "..." } else { kept }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The event that a record with these fields is.
    pub(in super::super) fn event(level: Level, said: &str, fields: &[(&str, Value<'_>)]) -> Event {
        let args = format_args!("{said}");
        let fields: Vec<_> = fields.iter().map(|(k, v)| (Key::from_str(k), v.clone())).collect();
        let fields: &dyn log::kv::Source = &fields;
        let mut builder = Record::builder();
        builder.level(level).target("varve::log").key_values(&fields);
        Event::of(&builder.args(args).build())
    }

    fn text(text: &str) -> Field {
        Field::Text(text.to_owned())
    }

    #[test]
    fn numbers_stay_numbers_and_an_error_has_its_causes() {
        let error = std::io::Error::other("no room");
        let given = [
            ("text", Value::from("7")),
            ("count", Value::from(7)),
            ("low", Value::from(true)),
            ("error", Value::from_dyn_error(&error)),
            ("shown", Value::from_display(&7)),
        ];
        let event = event(Level::Warn, "disk_space", &given);
        assert_eq!(event.name, "disk_space");
        let fields: Vec<_> = event.fields.into_iter().map(|(_, field)| field).collect();
        let bare = |text: &str| Field::Bare(text.to_owned());
        assert_eq!(fields, [text("7"), bare("7"), bare("true"), text("no room"), text("7")]);
    }

    #[test]
    fn prose_is_a_message_with_its_module() {
        let event = event(Level::Error, "Something was odd", &[]);
        assert_eq!(event.name, "message");
        let from = ("from".to_owned(), text("varve::log"));
        assert_eq!(event.fields, [from, ("text".to_owned(), text("Something was odd"))]);
    }

    #[test]
    fn an_endless_text_is_cut() {
        let endless = "x".repeat(9999);
        let event = event(Level::Info, "check", &[("text", Value::from(endless.as_str()))]);
        assert_eq!(event.fields[0].1, text(&("x".repeat(TEXT_CHARS_MAX) + "...")));
    }
}

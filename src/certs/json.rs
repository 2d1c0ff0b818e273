//! A JSON document whose values know the line on which they stand.
//!
//! `serde_json` parses; its values forget where they came from. So the text is fed to it byte by
//! byte through a reader that counts lines, and each value takes the count when its parsing
//! begins: at its own first byte in a list, right after its key in an object.

use std::fmt;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::Deserializer;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};

use super::error::CertsError;
use super::fault::{Fault, Wrong, nearest};

/// The most bytes that are read.
const BYTES_MAX: u64 = 1 << 20;

/// A value and its line, counted from 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) line: u32,
    value: Value,
}

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Null,
    Flag(bool),
    Integer(i64),
    /// A number that is no integer, or too large a one.
    OtherNumber,
    Text(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

/// The keys that an object may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keys {
    /// What the object is, as a message names it.
    pub(super) owner: &'static str,
    pub(super) known: &'static [&'static str],
    /// Keys of cfssl without a meaning here.
    pub(super) foreign: &'static [&'static str],
}

/// An object of which every key is known and comes once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Object<'a> {
    pub(super) line: u32,
    owner: &'static str,
    members: &'a [(String, Node)],
}

/// Reads the document at `path` and hands its root to `read`.
///
/// # Errors
///
/// `Read`, `Syntax`, or `Value` with what `read` found.
pub(super) fn read<T>(
    path: &Path,
    read: impl FnOnce(&Node) -> Result<T, Wrong>,
) -> Result<T, CertsError> {
    let failed = |source| CertsError::Read { path: path.to_owned(), source };
    let mut text = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(BYTES_MAX + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() > usize::try_from(BYTES_MAX).unwrap_or(usize::MAX) {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    let root = parse(&text).map_err(|source| CertsError::Syntax {
        path: path.to_owned(),
        line: source.line(),
        source,
    })?;
    read(&root).map_err(|Wrong { line, fault }| CertsError::Value {
        path: path.to_owned(),
        line,
        fault,
    })
}

pub(super) fn parse(text: &[u8]) -> Result<Node, serde_json::Error> {
    // Nobody else counts; but a release build by Rust 1.95 took a `Cell` here for a constant.
    let line = AtomicU32::new(1);
    let mut parser = serde_json::Deserializer::from_reader(Counting { rest: text, line: &line });
    let root = NodeSeed { line: &line }.deserialize(&mut parser)?;
    parser.end()?;
    Ok(root)
}

impl Node {
    pub(super) const fn wrong(&self, fault: Fault) -> Wrong {
        Wrong { line: self.line, fault }
    }

    pub(super) fn text(&self) -> Result<&str, Wrong> {
        match &self.value {
            Value::Text(text) => Ok(text),
            other => Err(self.kind("a text in quotes", other)),
        }
    }

    pub(super) fn integer(&self) -> Result<i64, Wrong> {
        match &self.value {
            Value::Integer(number) => Ok(*number),
            other => Err(self.kind("an integer", other)),
        }
    }

    pub(super) fn flag(&self) -> Result<bool, Wrong> {
        match &self.value {
            Value::Flag(flag) => Ok(*flag),
            other => Err(self.kind("true or false", other)),
        }
    }

    pub(super) fn list(&self) -> Result<&[Self], Wrong> {
        match &self.value {
            Value::List(list) => Ok(list),
            other => Err(self.kind("a list in brackets", other)),
        }
    }

    /// The members of an object with keys of the writer's choice, each of which comes once.
    pub(super) fn members(&self) -> Result<&[(String, Self)], Wrong> {
        let members = match &self.value {
            Value::Object(members) => members,
            other => return Err(self.kind("an object in braces", other)),
        };
        for (place, (key, node)) in members.iter().enumerate() {
            if members.iter().take(place).any(|(earlier, _)| earlier == key) {
                return Err(node.wrong(Fault::RepeatedKey { key: key.clone() }));
            }
        }
        Ok(members)
    }

    /// The object that this is, if all its keys are among `keys`.
    pub(super) fn object(&self, keys: Keys) -> Result<Object<'_>, Wrong> {
        let Keys { owner, known, foreign } = keys;
        let members = self.members()?;
        for (key, node) in members {
            if foreign.contains(&key.as_str()) {
                return Err(node.wrong(Fault::ForeignKey { key: key.clone(), owner }));
            }
            if !known.contains(&key.as_str()) {
                let nearest = nearest(key, known);
                let key = key.clone();
                return Err(node.wrong(Fault::UnknownKey { key, owner, nearest, known }));
            }
        }
        Ok(Object { line: self.line, owner, members })
    }

    const fn kind(&self, expected: &'static str, found: &Value) -> Wrong {
        let found = match found {
            Value::Null => "null",
            Value::Flag(_) => "true or false",
            Value::Integer(_) => "an integer",
            Value::OtherNumber => "a number that is no integer, or too large",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Object(_) => "an object",
        };
        self.wrong(Fault::Kind { expected, found })
    }
}

impl<'a> Object<'a> {
    pub(super) fn get(&self, key: &str) -> Option<&'a Node> {
        self.members.iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// A member that must be there; `example` follows "add it, ".
    pub(super) fn require(
        &self,
        key: &'static str,
        example: &'static str,
    ) -> Result<&'a Node, Wrong> {
        let owner = self.owner;
        self.get(key)
            .ok_or(Wrong { line: self.line, fault: Fault::MissingKey { key, owner, example } })
    }
}

/// Hands out one byte at a time, so that the count is exact whatever buffer it is read into.
struct Counting<'a> {
    rest: &'a [u8],
    line: &'a AtomicU32,
}

impl Read for Counting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (Some(slot), Some((&byte, rest))) = (buffer.first_mut(), self.rest.split_first())
        else {
            return Ok(0);
        };
        *slot = byte;
        self.rest = rest;
        if byte == b'\n' {
            self.line.fetch_add(1, Ordering::Relaxed);
        }
        Ok(1)
    }
}

/// Builds a node from whatever comes next.
#[derive(Clone, Copy)]
struct NodeSeed<'a> {
    line: &'a AtomicU32,
}

impl<'de> DeserializeSeed<'de> for NodeSeed<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Node, D::Error> {
        let line = self.line.load(Ordering::Relaxed);
        let value = source.deserialize_any(self)?;
        Ok(Node { line, value })
    }
}

impl<'de> Visitor<'de> for NodeSeed<'_> {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(i64::try_from(number).map_or(Value::OtherNumber, Value::Integer))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::OtherNumber)
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut source: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = source.next_element_seed(self)? {
            list.push(node);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut source: A) -> Result<Value, A::Error> {
        let mut members = Vec::new();
        while let Some(key) = source.next_key()? {
            members.push((key, source.next_value_seed(self)?));
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: Keys = Keys { owner: "the test", known: &["name", "sizes"], foreign: &["auth"] };

    fn line_of(text: &str, find: impl FnOnce(&Node) -> u32) -> u32 {
        find(&parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn every_value_knows_its_line() {
        let text = r#"{
            "name": "x",
            "sizes": [
                1,

                20
            ],
            "deep":
                {
                "a": 7
                }
        }"#;
        let root = parse(text.as_bytes()).unwrap();
        let members = root.members().unwrap();
        let lines: Vec<u32> = members.iter().map(|(_, node)| node.line).collect();
        assert_eq!(lines, [2, 3, 8]);
        let sizes: Vec<u32> = members[1].1.list().unwrap().iter().map(|node| node.line).collect();
        assert_eq!(sizes, [4, 6]);
        assert_eq!(members[2].1.members().unwrap()[0].1.line, 10);
        assert_eq!(line_of("[\n1\n,\n2]", |root| root.list().unwrap()[1].line), 4);
    }

    #[test]
    fn unknown_foreign_and_repeated_keys_are_found_with_their_line() {
        let fault = |text: &str| {
            let wrong = parse(text.as_bytes()).unwrap().object(KEYS).unwrap_err();
            (wrong.line, wrong.fault.to_string())
        };
        assert_eq!(
            fault("{\n\"name\": \"x\",\n\"size\": []}"),
            (3, "unknown key \"size\" in the test: did you mean \"sizes\"?".to_owned())
        );
        assert_eq!(
            fault("{\"other\": 1}"),
            (1, "unknown key \"other\" in the test: the known ones are name, sizes".to_owned())
        );
        assert_eq!(
            fault("{\"name\": 1,\n\"name\": 1}"),
            (2, "\"name\" comes a second time: keep one of them".to_owned())
        );
        let (line, text) = fault("{\n\n\"auth\": 1}");
        assert_eq!((line, text.contains("a setting of cfssl")), (3, true));
    }

    #[test]
    fn a_value_of_another_kind_is_named() {
        let fault = |text: &str| parse(text.as_bytes()).unwrap().text().unwrap_err().fault;
        for (text, found) in [
            ("null", "null"),
            ("1", "an integer"),
            ("1.5", "a number that is no integer, or too large"),
            ("18446744073709551615", "a number that is no integer, or too large"),
            ("true", "true or false"),
            ("[]", "a list"),
            ("{}", "an object"),
        ] {
            assert_eq!(fault(text), Fault::Kind { expected: "a text in quotes", found });
        }
        assert_eq!(parse(b"-3").unwrap().integer(), Ok(-3));
        assert!(parse(b"\"3\"").unwrap().integer().is_err());
        assert!(parse(b"\"true\"").unwrap().flag().is_err());
        assert!(parse(b"{}").unwrap().list().is_err());
        assert!(parse(b"[]").unwrap().object(KEYS).is_err());
    }

    #[test]
    fn what_is_no_json_is_refused() {
        let deep = "[".repeat(100_000);
        for text in ["", "{", "{} x", "{'a': 1}", "{\"a\": 1,}", "\"\n\"", &deep] {
            assert!(parse(text.as_bytes()).is_err(), "{text:.10}");
        }
        assert!(parse(b"\"\xff\"").is_err());
    }
}

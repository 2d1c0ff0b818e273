//! The first stage: what was typed, where, and nothing that is not known.
//!
//! A key becomes known by being read, so there is no second list of keys to keep in step: what
//! is left over after all reads is an unknown key. Each read also leaves a line for
//! `varve config check`, which shows every value in force with where it came from.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Fault};
use super::nearest::nearest;
use super::units::{parse_bytes, parse_duration, show_bytes, show_duration};
use super::value::{as_typed, in_range, integer, mistyped, within};

/// One key as it is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Effective {
    /// The key with its section, such as `log.segment_bytes_max`.
    pub key: &'static str,
    /// Its value as it can be typed; empty if it has none.
    pub value: String,
    /// Who set it.
    pub origin: Origin,
}

/// Who set a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Nobody.
    Default,
    /// The configuration file.
    File,
    /// A flag on the command line.
    Flag,
    /// systemd, through `STATE_DIRECTORY`.
    Service,
}

/// The file's keys and values, with what was read of them.
pub(crate) struct Typed<'a> {
    path: &'a Path,
    text: &'a str,
    table: DeTable<'a>,
    read: Vec<Effective>,
}

impl<'a> Typed<'a> {
    /// Parses the `text` of the file at `path`.
    pub(crate) fn parse(path: &'a Path, text: &'a str) -> Result<Self, ConfigError> {
        let table = DeTable::parse(text).map_err(|error| ConfigError::Line {
            path: path.to_owned(),
            line: line_at(text, error.span().map_or(text.len(), |span| span.start)),
            fault: Fault::Syntax { message: error.message().escape_debug().to_string() },
        })?;
        Ok(Self { path, text, table: table.into_inner(), read: Vec::new() })
    }

    /// Reads a switch.
    pub(crate) fn switch(&mut self, key: &'static str, default: bool) -> Result<bool, ConfigError> {
        let expected = "true or false";
        self.value(key, default, bool::to_string, |value| {
            value.as_bool().ok_or_else(|| mistyped(key, value, expected))
        })
    }

    /// Reads a switch that is off unless the file or `flag` turns it on.
    pub(crate) fn switch_or_flag(
        &mut self,
        key: &'static str,
        flag: bool,
    ) -> Result<bool, ConfigError> {
        let from_file = self.switch(key, false)?;
        if let Some(read) = self.read.last_mut().filter(|_| flag) {
            read.value = flag.to_string();
            read.origin = Origin::Flag;
        }
        Ok(from_file || flag)
    }

    /// Reads a whole number of type `T` within `range`.
    pub(crate) fn number<T>(
        &mut self,
        key: &'static str,
        default: T,
        range: RangeInclusive<T>,
    ) -> Result<T, ConfigError>
    where
        T: TryFrom<i128> + PartialOrd + ToString,
    {
        self.value(key, default, T::to_string, |value| {
            let typed =
                integer(value).ok_or_else(|| mistyped(key, value, "a whole number such as 4"))?;
            within(key, typed, &typed.to_string(), &range, T::to_string)
        })
    }

    /// Reads a size within `range`: a number of bytes, or text with a unit.
    pub(crate) fn bytes<T>(
        &mut self,
        key: &'static str,
        default: T,
        range: RangeInclusive<T>,
    ) -> Result<T, ConfigError>
    where
        T: TryFrom<i128> + TryInto<u64> + PartialOrd + Copy,
    {
        let expected = "bytes as a number, or text with B, KiB, MiB, GiB or TiB such as \"128MiB\"";
        let show = |bytes: &T| show_bytes((*bytes).try_into().unwrap_or(u64::MAX));
        self.value(key, default, show, |value| {
            let text = value.as_str().and_then(parse_bytes).map(i128::from);
            let typed =
                text.or_else(|| integer(value)).ok_or_else(|| mistyped(key, value, expected))?;
            within(key, typed, &as_typed(value), &range, show)
        })
    }

    /// Reads a duration within `range`.
    pub(crate) fn duration(
        &mut self,
        key: &'static str,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Result<Duration, ConfigError> {
        let expected = "text with us, ms, s, m, h or d such as \"100ms\"";
        let show = |duration: &Duration| show_duration(*duration);
        self.value(key, default, show, |value| {
            let typed = value
                .as_str()
                .and_then(parse_duration)
                .ok_or_else(|| mistyped(key, value, expected))?;
            in_range(key, typed, &as_typed(value), &range, show)
        })
    }

    /// Reads a duration within `range` that may also be the text `never`.
    pub(crate) fn duration_or_never(
        &mut self,
        key: &'static str,
        default: Option<Duration>,
        range: RangeInclusive<Duration>,
    ) -> Result<Option<Duration>, ConfigError> {
        let expected = "\"never\", or text with us, ms, s, m, h or d such as \"24h\"";
        let show = |at: &Option<Duration>| at.map_or_else(|| "never".to_owned(), show_duration);
        self.value(key, default, show, |value| match value.as_str() {
            Some("never") => Ok(None),
            text => {
                let typed =
                    text.and_then(parse_duration).ok_or_else(|| mistyped(key, value, expected))?;
                in_range(key, typed, &as_typed(value), &range, |at| show_duration(*at)).map(Some)
            }
        })
    }

    /// Reads text that `parse` understands; `flag` wins over the file.
    pub(crate) fn text<T: ToString>(
        &mut self,
        key: &'static str,
        flag: Option<&str>,
        default: T,
        expected: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, ConfigError> {
        let from_file = self.value_or_none(key, |value| {
            value.as_str().and_then(&parse).ok_or_else(|| mistyped(key, value, expected))
        })?;
        let from_flag = match flag {
            None => None,
            Some(text) => Some(parse(text).ok_or_else(|| {
                ConfigError::Flag(Fault::Type { key, found: format!("{text:?}"), expected })
            })?),
        };
        let (value, origin) = match (from_flag, from_file) {
            (Some(value), _) => (value, Origin::Flag),
            (None, Some(value)) => (value, Origin::File),
            (None, None) => (default, Origin::Default),
        };
        self.note(key, value.to_string(), origin);
        Ok(value)
    }

    /// Reads a path that may be set nowhere; `flag` wins over the file.
    ///
    /// A path in the file is relative to the file's folder, a flag's to the working directory.
    pub(crate) fn path(
        &mut self,
        key: &'static str,
        flag: Option<&Path>,
    ) -> Result<Option<PathBuf>, ConfigError> {
        let set = self.path_and_origin(key, flag)?;
        let shown = set.as_ref().map_or_else(String::new, |(path, _)| path.display().to_string());
        let origin = set.as_ref().map_or(Origin::Default, |(_, origin)| *origin);
        self.note(key, shown, origin);
        Ok(set.map(|(path, _)| path))
    }

    /// Reads a path as [`Self::path`] does, with a default.
    pub(crate) fn path_or(
        &mut self,
        key: &'static str,
        flag: Option<&Path>,
        default: (&Path, Origin),
    ) -> Result<PathBuf, ConfigError> {
        let set = self.path_and_origin(key, flag)?;
        let (path, origin) = set.unwrap_or_else(|| (default.0.to_owned(), default.1));
        self.note(key, path.display().to_string(), origin);
        Ok(path)
    }

    /// Ends the reading: every key is known now, so what is left over is a mistake.
    pub(crate) fn finish(self) -> Result<Vec<Effective>, ConfigError> {
        let known: Vec<&str> = self.read.iter().map(|read| read.key).collect();
        let sections: Vec<&str> = known
            .iter()
            .filter_map(|key| key.split_once('.'))
            .map(|(section, _)| section)
            .collect();
        for (name, value) in self.table.iter() {
            let fault = match value.get_ref() {
                DeValue::Table(_) if sections.contains(&name.get_ref().as_ref()) => continue,
                DeValue::Table(_) => Fault::UnknownSection {
                    section: name.get_ref().escape_debug().to_string(),
                    nearest: nearest(name.get_ref(), &sections).map(|near| format!("[{near}]")),
                },
                _ => unknown_key(name.get_ref(), &known),
            };
            return Err(self.line(name.span().start, fault));
        }
        for (section, value) in self.table.iter() {
            let DeValue::Table(table) = value.get_ref() else {
                continue;
            };
            if let Some((name, _)) = table.iter().next() {
                let key = format!("{}.{}", section.get_ref(), name.get_ref());
                return Err(self.line(name.span().start, unknown_key(&key, &known)));
            }
        }
        Ok(self.read)
    }

    fn path_and_origin(
        &mut self,
        key: &'static str,
        flag: Option<&Path>,
    ) -> Result<Option<(PathBuf, Origin)>, ConfigError> {
        let folder = self.path.parent().unwrap_or(Path::new("")).to_owned();
        let from_file = self.value_or_none(key, |value| {
            let text = value.as_str().filter(|text| !text.is_empty());
            text.map(|text| folder.join(text))
                .ok_or_else(|| mistyped(key, value, "a path such as \"/etc/varve/server.pem\""))
        })?;
        let from_flag = flag.map(|path| (path.to_owned(), Origin::Flag));
        Ok(from_flag.or_else(|| from_file.map(|path| (path, Origin::File))))
    }

    /// Reads `key` by `parse`, or takes its default, and notes it.
    fn value<T>(
        &mut self,
        key: &'static str,
        default: T,
        show: impl Fn(&T) -> String,
        parse: impl FnOnce(&DeValue<'_>) -> Result<T, Fault>,
    ) -> Result<T, ConfigError> {
        let typed = self.value_or_none(key, parse)?;
        let origin = if typed.is_some() { Origin::File } else { Origin::Default };
        let value = typed.unwrap_or(default);
        self.note(key, show(&value), origin);
        Ok(value)
    }

    fn value_or_none<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&DeValue<'_>) -> Result<T, Fault>,
    ) -> Result<Option<T>, ConfigError> {
        match self.take(key)? {
            None => Ok(None),
            Some(value) => parse(value.get_ref())
                .map(Some)
                .map_err(|fault| self.line(value.span().start, fault)),
        }
    }

    /// Takes `key` out of its table, so that it is not left over.
    fn take(&mut self, key: &'static str) -> Result<Option<Spanned<DeValue<'a>>>, ConfigError> {
        let Some((section, name)) = key.split_once('.') else {
            return Ok(self.table.remove(key));
        };
        let Some(value) = self.table.get_mut(section) else {
            return Ok(None);
        };
        match value.get_mut() {
            DeValue::Table(table) => Ok(table.remove(name)),
            _ => {
                let start = value.span().start;
                Err(self.line(start, Fault::NotASection { section }))
            }
        }
    }

    fn note(&mut self, key: &'static str, value: String, origin: Origin) {
        self.read.push(Effective { key, value, origin });
    }

    fn line(&self, at: usize, fault: Fault) -> ConfigError {
        ConfigError::Line { path: self.path.to_owned(), line: line_at(self.text, at), fault }
    }
}

/// The line of the byte `at`, counted from 1.
fn line_at(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

fn unknown_key(key: &str, known: &[&str]) -> Fault {
    Fault::UnknownKey { key: key.to_owned(), nearest: nearest(key, known).map(ToOwned::to_owned) }
}

//! A TOML value as what it stands for: its type checked, its range checked.

use std::ops::RangeInclusive;

use toml::de::DeValue;

use super::error::Fault;

/// A whole number in any of TOML's notations.
pub(super) fn integer(value: &DeValue<'_>) -> Option<i128> {
    let integer = value.as_integer()?;
    i128::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// A value as a message shows it.
pub(super) fn as_typed(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => {
            integer(value).map_or_else(|| escaped(number.as_str()), |number| number.to_string())
        }
        DeValue::Float(number) => escaped(number.as_str()),
        DeValue::Boolean(switch) => switch.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a section".to_owned(),
    }
}

/// What the parser takes for a number may have anything behind its first digit.
fn escaped(number: &str) -> String {
    number.escape_debug().to_string()
}

/// The fault of a value that should be `expected`.
pub(super) fn mistyped(key: &'static str, value: &DeValue<'_>, expected: &'static str) -> Fault {
    Fault::Type { key, found: as_typed(value), expected }
}

/// The number `typed` as a `T`, if it is one and within `range`.
pub(super) fn within<T: TryFrom<i128> + PartialOrd>(
    key: &'static str,
    typed: i128,
    as_typed: &str,
    range: &RangeInclusive<T>,
    show: impl Fn(&T) -> String,
) -> Result<T, Fault> {
    match T::try_from(typed) {
        Ok(value) => in_range(key, value, as_typed, range, show),
        Err(_) => Err(out_of_range(key, as_typed, range, show)),
    }
}

/// `value`, if it is within `range`.
pub(super) fn in_range<T: PartialOrd>(
    key: &'static str,
    value: T,
    as_typed: &str,
    range: &RangeInclusive<T>,
    show: impl Fn(&T) -> String,
) -> Result<T, Fault> {
    if range.contains(&value) { Ok(value) } else { Err(out_of_range(key, as_typed, range, show)) }
}

fn out_of_range<T>(
    key: &'static str,
    as_typed: &str,
    range: &RangeInclusive<T>,
    show: impl Fn(&T) -> String,
) -> Fault {
    Fault::OutOfRange {
        key,
        value: as_typed.to_owned(),
        min: show(range.start()),
        max: show(range.end()),
    }
}

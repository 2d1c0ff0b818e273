//! The reading of a configuration, opened for fuzzing alone (feature `floors`): not an interface.

use std::path::Path;

use super::{Config, ConfigError, Overrides};

/// Reads `text` as that of a file, under no flags.
///
/// # Errors
///
/// As [`Config::load`].
pub fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Some(Path::new("varve.toml")), text, &Overrides::default(), None)
}

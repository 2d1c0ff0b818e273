//! The reading of cfssl's files, opened for fuzzing alone (feature `floors`): not an interface.

use std::path::Path;

use super::CertsError;
use super::config::Profile;
use super::request::Request;

/// Reads the file at `path` as the request of a CA.
///
/// # Errors
///
/// What is wrong with it.
pub fn read_ca_request(path: &Path) -> Result<(), CertsError> {
    Request::read_ca(path).map(drop)
}

/// Reads the file at `path` as the request of what a CA issues.
///
/// # Errors
///
/// What is wrong with it.
pub fn read_leaf_request(path: &Path) -> Result<(), CertsError> {
    Request::read_leaf(path).map(drop)
}

/// Reads the file at `path` as signing profiles, of which `name` is wanted.
///
/// # Errors
///
/// What is wrong with it.
pub fn read_profile(path: &Path, name: &str) -> Result<(), CertsError> {
    Profile::read(path, name).map(drop)
}

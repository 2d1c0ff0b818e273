//! What the targets share: the format's checksums, a directory made of a target's bytes, the log
//! whose flusher is the caller, and the targets that the storage tests run too.

pub mod counted;
pub mod directory;
pub mod format;
pub mod model;
pub mod opening;
pub mod recovery;
#[path = "../../storage/rig.rs"]
pub mod rig;
pub mod whole;

/// Whether what a user is shown stays on its line and steers no terminal.
pub fn is_one_line(shown: &impl std::fmt::Display) -> bool {
    !shown.to_string().chars().any(char::is_control)
}

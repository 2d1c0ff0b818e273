//! Exit codes: what a script or a service manager can tell apart.

use super::client::error::ClientError;
use super::error::CliError;
use super::interrupt::Signal;
use super::produce::InputError;
use crate::certs::CertsError;
use crate::log::{ArchivedError, BackUpError, OpenError, RestoreError};
use crate::server::StartError;

/// Refused, denied, or something that is none of the others.
pub(super) const FAILED: u8 = 1;
/// The command line, the configuration, certificates or the access control list are wrong.
pub(super) const USAGE: u8 = 2;
/// Damaged or newer data was refused.
pub(super) const DAMAGED: u8 = 65;
/// Reading, writing or accepting connections failed.
pub(super) const IO: u8 = 74;
/// The data directory or the port belongs to another process.
pub(super) const TAKEN: u8 = 75;

/// The table below the help text.
pub(super) const TABLE: &str = "\
Exit codes:
  0   done
  1   failed, refused or denied
  2   wrong usage, configuration, certificates or access control list
  65  damaged data, or data of a newer release, was refused
  74  reading, writing or accepting connections failed
  75  the data directory or the port is in use by another process

A client that Ctrl-C or SIGTERM interrupts ends by that signal; a shell shows 130 or 143.";

impl CliError {
    /// With which code the command ends.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Tls(_) | Self::Acl(_) => USAGE,
            Self::NotPassed { .. } | Self::TransportChanged { .. } => USAGE,
            Self::Certs(error) => certs(error),
            Self::Open(error) => open(error),
            Self::Start(error) => start(error),
            Self::Close(_)
            | Self::Deaf { .. }
            | Self::Descriptors(_)
            | Self::Signals(_)
            | Self::Thread(_)
            | Self::OpenInput { .. }
            | Self::Ask(_)
            | Self::Output(_)
            | Self::WritePage { .. }
            | Self::Dump { source: ArchivedError::Io(_), .. } => IO,
            Self::Dump { .. } | Self::Damaged { .. } => DAMAGED,
            Self::Bench(error) if error.is_usage() => USAGE,
            Self::Bench(error) if error.is_io() => IO,
            Self::Random(_) | Self::Bench(_) => FAILED,
            Self::LogName { .. } | Self::NoUser { .. } => USAGE,
            Self::NoPage { .. } | Self::Epoch { .. } => USAGE,
            Self::BackUp { source, .. } => back_up(source),
            Self::Restore { source, .. } => restore(source),
            Self::Unsound { code, .. } => *code,
            Self::Unconfirmed { .. } | Self::OtherName { .. } | Self::NothingToChange => USAGE,
            Self::Interrupted { signal, .. } | Self::Stopped { signal } => by_signal(*signal),
            Self::Client(error) => client(error),
            Self::Produce { why, .. } | Self::Unanswered { why, .. } => client(why),
            Self::Input { why: InputError::Read { .. }, .. } => IO,
            Self::Input { .. } => FAILED,
        }
    }
}

/// What a shell makes of the signal, should the process outlive it.
fn by_signal(signal: Signal) -> u8 {
    u8::try_from(signal).map_or(FAILED, |signal| signal.saturating_add(128))
}

fn certs(error: &CertsError) -> u8 {
    match error {
        CertsError::Read { .. } | CertsError::Write { .. } => IO,
        CertsError::OpenSsl { .. } => FAILED,
        CertsError::Syntax { .. }
        | CertsError::Value { .. }
        | CertsError::Tls(_)
        | CertsError::PathLength { .. }
        | CertsError::Name { .. }
        | CertsError::Exists { .. } => USAGE,
    }
}

fn open(error: &OpenError) -> u8 {
    match error {
        OpenError::Owned { .. } => TAKEN,
        OpenError::Absent { .. } => USAGE,
        OpenError::NewerFormat { .. } | OpenError::Damaged { .. } | OpenError::Invalid { .. } => {
            DAMAGED
        }
        OpenError::Io(_) => IO,
    }
}

fn back_up(error: &BackUpError) -> u8 {
    match error {
        BackUpError::Open(error) => open(error),
        BackUpError::NotFound { .. }
        | BackUpError::Exists { .. }
        | BackUpError::Misplaced { .. }
        | BackUpError::Unfinished { .. } => USAGE,
        BackUpError::Busy => TAKEN,
        BackUpError::Failed { .. }
        | BackUpError::Closed
        | BackUpError::Readers { .. }
        | BackUpError::Io(_) => IO,
    }
}

fn restore(error: &RestoreError) -> u8 {
    match error {
        RestoreError::Open(error) => open(error),
        RestoreError::InUse { .. } => TAKEN,
        RestoreError::NotEmpty { .. }
        | RestoreError::NotChosen { .. }
        | RestoreError::OutOfRange { .. }
        | RestoreError::NotInOrder { .. } => USAGE,
        RestoreError::Readers { .. } | RestoreError::Io(_) => IO,
    }
}

fn start(error: &StartError) -> u8 {
    match error {
        StartError::PortTaken { .. } => TAKEN,
        StartError::PublicPlaintext { .. } => USAGE,
        // The address may come up later: a service manager should try again.
        StartError::Listen { .. } | StartError::Transport { .. } | StartError::Threads(_) => IO,
        StartError::Core(_) => FAILED,
    }
}

fn client(error: &ClientError) -> u8 {
    match error {
        ClientError::Read { .. }
        | ClientError::NotPem { .. }
        | ClientError::Empty { .. }
        | ClientError::Mismatch { .. }
        | ClientError::Expired { .. }
        | ClientError::Unusable { .. }
        | ClientError::NotTrusted { .. }
        | ClientError::Handshake { .. } => USAGE,
        ClientError::UnknownHost { .. }
        | ClientError::Unreachable { .. }
        | ClientError::NoAnswer { .. }
        | ClientError::Refused(_)
        | ClientError::EndedEarly
        | ClientError::Unfitting { .. }
        | ClientError::Silent { .. }
        | ClientError::Unready { .. }
        | ClientError::Lost { .. }
        | ClientError::Broken { .. } => FAILED,
    }
}

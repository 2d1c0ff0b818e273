//! What can be done about an error where its message does not say.

use std::io;

use super::bench::BenchError;
use super::client::error::ClientError;
use super::client::refusal::Refusal;
use super::error::CliError;
use super::escape::Escaped;
use super::produce::Unfinished;
use crate::log::{BackUpError, OpenError, RestoreError};
use crate::server::StartError;

impl CliError {
    /// What to do next; nothing where the message says it.
    pub(super) fn hints(&self) -> Vec<String> {
        let (first, second) = match self {
            Self::Restore { source: RestoreError::Open(OpenError::Owned { .. }), .. } => {
                (Some("stop the server, or name another folder with --to".to_owned()), None)
            }
            Self::Open(error)
            | Self::BackUp { source: BackUpError::Open(error), .. }
            | Self::Restore { source: RestoreError::Open(error), .. } => {
                (open(error).map(str::to_owned), None)
            }
            Self::Restore { source: RestoreError::NotEmpty { .. }, .. } => {
                (Some("name a folder with --to that is empty or not there yet".to_owned()), None)
            }
            Self::Start(StartError::PortTaken { .. }) => {
                let hint = "stop the other program, or name another address with --listen";
                (Some(hint.to_owned()), None)
            }
            Self::Client(error) => (client(error), None),
            Self::Bench(BenchError::EmptyLog { .. }) => {
                (Some("`varve bench produce` fills a log".to_owned()), None)
            }
            Self::Unanswered { why, look, .. } => (client(why), Some(look.clone())),
            Self::Produce { done, why } => (client(why), going_on(done)),
            Self::Input { done, .. } | Self::Interrupted { done, .. } => (None, going_on(done)),
            Self::Unconfirmed { .. } => {
                (Some("--yes deletes it without being asked, as in a script".to_owned()), None)
            }
            Self::NoPage { .. } => {
                let hint = "`varve help` shows the commands; `varve.toml` has a page, too";
                (Some(hint.to_owned()), None)
            }
            Self::NothingToChange => {
                (Some("`varve help log update` shows the settings".to_owned()), None)
            }
            _ => (None, None),
        };
        first.into_iter().chain(second).collect()
    }
}

/// How an appending goes on that ended early.
fn going_on(done: &Unfinished) -> Option<String> {
    let flags = done.flags()?;
    Some(format!("{flags} goes on with the same input behind what was acknowledged"))
}

fn open(error: &OpenError) -> Option<&'static str> {
    match error {
        OpenError::Absent { .. } => {
            Some("name a log or a folder that is there, or none, for all logs")
        }
        OpenError::Owned { .. } => Some("stop the other server, or name another --data-dir"),
        OpenError::NewerFormat { .. } => {
            Some("run the release that wrote the data, or a newer one")
        }
        OpenError::Damaged { .. } => Some(
            "`varve verify` says what is damaged, docs/OPERATIONS.md what to do; without \
                 storage.strict the rest is served",
        ),
        OpenError::Io(error) if error.source.kind() == io::ErrorKind::PermissionDenied => {
            Some("run varve as the user that owns the data directory")
        }
        OpenError::Invalid { .. } | OpenError::Io(_) => None,
    }
}

fn client(error: &ClientError) -> Option<String> {
    let hint = match error {
        ClientError::UnknownHost { .. }
        | ClientError::Unreachable { .. }
        | ClientError::Lost { .. } => {
            "is the server running there? --server HOST:PORT names another"
        }
        ClientError::NotTrusted { .. } => {
            "check that --ca has the root of the server's certificate, and that the certificate \
             names the host; --tls-name says which name to expect instead"
        }
        ClientError::Handshake { .. } => {
            "check that --cert is a client's certificate and comes from a root in the server's \
             tls.client_ca; a server that runs with --plaintext needs a client with --plaintext"
        }
        ClientError::NoAnswer { .. } => {
            "a server that uses TLS needs a client with --cert, --key and --ca"
        }
        ClientError::Expired { .. } => "ask for a new certificate, as from `varve certs issue`",
        ClientError::Refused(refusal) => return refused(refusal),
        _ => return None,
    };
    Some(hint.to_owned())
}

fn refused(refusal: &Refusal) -> Option<String> {
    let value = |name: &str| refusal.values.get(name).map_or("?", String::as_str);
    let shown = |name: &str| Escaped(value(name)).to_string();
    match refusal.reason.as_str() {
        "NOT_PERMITTED" => Some(format!(
            "a line `p, {}, {}, {}` in the server's access control list would allow it",
            shown("subject"),
            shown("object"),
            shown("action")
        )),
        // A trim is told no start.
        "OFFSET_OUT_OF_RANGE" if refusal.offset("start").is_none() => {
            Some(format!("--before {} drops everything", refusal.offset("end")?))
        }
        "OFFSET_OUT_OF_RANGE" => {
            let trimmed = refusal.offset("offset") < refusal.offset("start");
            let or = if trimmed { ", and so does --on-trimmed skip" } else { "" };
            Some(format!("--offset start begins with the oldest record that is held{or}"))
        }
        "LOG_DAMAGED" => {
            let resume = refusal.offset("resume")?;
            Some(format!(
                "--offset {resume} goes on behind the damage, --on-damaged skip steps over it"
            ))
        }
        "LOG_NOT_FOUND" => Some(format!("`varve log create {}` makes it", shown("log"))),
        "LOG_EXISTS" => Some(format!("`varve log describe {}` shows it", shown("log"))),
        "NOT_AT_END" => Some(format!(
            "look at what is there before {0}, and expect {0} if it still makes sense",
            shown("end")
        )),
        "SEQUENCE_GAP" => Some(format!(
            "the log expects batch {} of this producer; --sequence says which one comes first",
            shown("expected")
        )),
        reason => constant(reason).map(str::to_owned),
    }
}

/// Hints that need no values.
fn constant(reason: &str) -> Option<&'static str> {
    let hint = match reason {
        "LOG_REPLACED" => {
            "the log was deleted and made anew: begin again at --from earliest, and make its \
             readers anew"
        }
        "READER_NOT_FOUND" => {
            "--from or --offset beside --reader say where a new reader begins; with --commit it is \
             made"
        }
        "READER_AHEAD" => {
            "another consumer may move this reader; `varve reader commit --force` moves it back"
        }
        "PRODUCER_FENCED" => {
            "another run took over with a higher --epoch; one that is higher still takes over from \
             it"
        }
        "PRODUCERS_MAX" => {
            "--producer-id none does without; an id that stays, with a higher --epoch for each \
             run, counts once"
        }
        "DUPLICATE_TOO_OLD" => {
            "these records are in the log already; a higher --epoch appends them once more"
        }
        "SEQUENCE_REUSED" => {
            "the same input gives the same batches with the same --batch-records and \
             --batch-bytes; for other records take another --producer-id, or a higher --epoch"
        }
        "BACKUP_EXISTS" => "take another name, or none: then it is called by the time",
        "RECORD_TOO_LARGE" => "smaller records, or a higher limits.record_bytes_max on the server",
        "BATCH_TOO_LARGE" => "a smaller --batch-bytes, or a higher batch_bytes_max of the log",
        _ => return None,
    };
    Some(hint)
}

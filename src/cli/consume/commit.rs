//! Moves a reader behind what was written out: at least once, never at most once.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::cli::client::connection::Connection;
use crate::cli::client::error::ClientError;
use crate::proto::readers_service::CommitReaderRequest;

/// How long records that were written out may wait for their commit, so that a busy log does not
/// cost a commit a record.
const COMMIT_DELAY: Duration = Duration::from_millis(200);

/// A reader that follows what is written.
#[derive(Debug)]
pub(super) struct Committer {
    log: String,
    reader: String,
    /// Where it stands as far as is known.
    committed: Option<u64>,
    /// When the next commit is to be, if there is something to commit.
    due: Option<Instant>,
}

impl Committer {
    pub(super) fn new(log: String, reader: String) -> Self {
        Self { log, reader, committed: None, due: None }
    }

    /// The consumer has got to `position`: there will be something to commit.
    pub(super) fn moved(&mut self, position: u64, now: Instant) {
        if self.committed.is_none_or(|committed| position > committed) {
            self.due.get_or_insert(now + COMMIT_DELAY);
        }
    }

    /// When to commit next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Commits `position`, all before which was written out.
    pub(super) fn commit(
        &mut self,
        connection: &Connection,
        log_id: &Bytes,
        position: u64,
    ) -> Result<(), ClientError> {
        if self.due.is_none() {
            return Ok(());
        }
        let request = CommitReaderRequest {
            log: self.log.clone(),
            log_id: log_id.clone(),
            reader: self.reader.clone(),
            offset: position,
            ..CommitReaderRequest::default()
        };
        connection.call(|option| connection.readers().commit_reader_opt(&request, option))?;
        (self.committed, self.due) = (Some(position), None);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_due_soon_after_the_first_move() {
        let mut committer = Committer::new("orders".to_owned(), "billing".to_owned());
        let now = Instant::now();
        assert_eq!(committer.due(), None);
        committer.moved(5, now);
        committer.moved(9, now + Duration::from_secs(1));
        assert_eq!(committer.due(), Some(now + COMMIT_DELAY));
        (committer.committed, committer.due) = (Some(9), None);
        committer.moved(9, now);
        assert_eq!(committer.due(), None);
    }
}

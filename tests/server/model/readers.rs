//! Named positions: where they may go, and that they stay where they were put.

use futures_executor::block_on;
use grpcio::ClientUnaryReceiver;
use varve::proto::readers_service::{
    CommitReaderRequest, CommitReaderResponse, DeleteReaderRequest, GetReaderRequest,
    ListReadersRequest, Reader,
};

use super::Walk;
use super::ledger::Ledger;
use crate::world::{failure, in_time};

/// A commit whose answer nobody waited for.
pub(super) struct FlyingCommit {
    pub(super) log: usize,
    name: String,
    offset: u64,
    reply: ClientUnaryReceiver<CommitReaderResponse>,
}

impl Ledger {
    /// Checks that `reader` stands where it was put. All must be durable.
    pub(super) fn stands(&self, reader: &Reader) {
        let offset = self.readers.get(&reader.name).copied();
        assert_eq!(offset, Some(reader.offset), "reader {} of {}", reader.name, self.name);
        assert_eq!(reader.lag_records, self.end() - reader.offset.max(self.start));
        assert_eq!((reader.lag_us > 0, &*reader.owner), (reader.lag_records > 0, "root"));
    }
}

impl Walk {
    pub(super) fn reader_name(&mut self) -> String {
        self.rng.pick(&["a", "billing", "z.9_-"]).to_owned()
    }

    pub(super) fn commit(&mut self, log: usize) {
        self.settle(log);
        let name = self.reader_name();
        let ledger = &mut self.ledgers[log];
        let offset = self.rng.below(ledger.end() + 2);
        let force = self.rng.one_in(3);
        let request = commit(&ledger.name, &name, (offset, force));
        let outcome = self.rig.readers().commit_reader_opt(&request, in_time());
        let current = ledger.readers.get(&name).copied();
        if !(ledger.start..=ledger.end()).contains(&offset) {
            let told = failure(outcome);
            assert_eq!(told.info.reason, "OFFSET_OUT_OF_RANGE");
            assert_eq!(told.value("end"), ledger.end().to_string());
        } else if let Some(current) = current.filter(|current| offset < *current && !force) {
            let told = failure(outcome);
            assert_eq!(told.info.reason, "READER_AHEAD");
            let values = (told.value("offset"), told.value("current"));
            assert_eq!(values, (&*offset.to_string(), &*current.to_string()));
        } else {
            ledger.readers.insert(name, offset);
            ledger.stands(&outcome.unwrap().reader.unwrap());
        }
    }

    /// Looks at one reader and at all.
    pub(super) fn look_at_readers(&mut self, log: usize) {
        self.settle(log);
        let name = self.reader_name();
        let (client, ledger) = (self.rig.readers(), &self.ledgers[log]);
        let get = GetReaderRequest {
            log: ledger.name.clone(),
            reader: name.clone(),
            ..GetReaderRequest::default()
        };
        let found = client.get_reader_opt(&get, in_time());
        if ledger.readers.contains_key(&name) {
            ledger.stands(&found.unwrap().reader.unwrap());
        } else {
            assert_eq!(failure(found).info.reason, "READER_NOT_FOUND");
        }
        let list = ListReadersRequest { log: ledger.name.clone(), ..ListReadersRequest::default() };
        let listed = client.list_readers_opt(&list, in_time()).unwrap().readers;
        assert!(listed.iter().map(|reader| &reader.name).eq(ledger.readers.keys()));
        listed.iter().for_each(|reader| ledger.stands(reader));
    }

    pub(super) fn delete_reader(&mut self, log: usize) {
        let reader = self.reader_name();
        let ledger = &mut self.ledgers[log];
        let was_there = ledger.readers.remove(&reader).is_some();
        let log = ledger.name.clone();
        let request = DeleteReaderRequest { log, reader, ..DeleteReaderRequest::default() };
        let outcome = self.rig.readers().delete_reader_opt(&request, in_time());
        if was_there {
            outcome.unwrap();
        } else {
            assert_eq!(failure(outcome).info.reason, "READER_NOT_FOUND");
        }
    }

    /// Commits without waiting for the answer.
    pub(super) fn launch_commit(&mut self, log: usize) -> FlyingCommit {
        let name = self.reader_name();
        let Ledger { start, durable, .. } = self.ledgers[log];
        let offset = start + self.rng.below(durable - start + 1);
        let request = commit(&self.ledgers[log].name, &name, (offset, true));
        let reply = self.rig.readers().commit_reader_async_opt(&request, in_time()).unwrap();
        FlyingCommit { log, name, offset, reply }
    }

    /// After a restart the reader of a commit without an answer stands where it was or is to be.
    pub(super) fn land_commit(&mut self, flying: FlyingCommit) {
        let FlyingCommit { log, name: reader, offset, reply } = flying;
        let ledger = &mut self.ledgers[log];
        let before = ledger.readers.get(&reader).copied();
        let request = GetReaderRequest {
            log: ledger.name.clone(),
            reader: reader.clone(),
            ..GetReaderRequest::default()
        };
        let found = self.rig.readers().get_reader_opt(&request, in_time());
        let found = found.ok().map(|found| found.reader.unwrap().offset);
        if block_on(reply).is_ok() {
            assert_eq!(found, Some(offset), "reader {reader} of {}", ledger.name);
        } else {
            let possible = [before, Some(offset)];
            assert!(possible.contains(&found), "{found:?} of {reader} is not in {possible:?}");
        }
        if let Some(found) = found {
            ledger.readers.insert(reader, found);
        }
    }
}

pub(super) fn commit(log: &str, reader: &str, (offset, force): (u64, bool)) -> CommitReaderRequest {
    CommitReaderRequest {
        log: log.to_owned(),
        reader: reader.to_owned(),
        offset,
        force,
        ..CommitReaderRequest::default()
    }
}

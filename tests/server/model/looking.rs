//! A look at the logs that there are, and at those that there are not any more.

use futures_executor::block_on;
use futures_util::{SinkExt as _, StreamExt as _};
use grpcio::{RpcStatusCode, WriteFlags};
use varve::proto::admin_service::{
    DescribeLogRequest, DescribeLogResponse, ListLogsRequest, LogSummary, UpdateLogRequest,
};
use varve::proto::log_service::{ConsumeRequest, Durability as Level, ProduceRequest};
use varve::proto::readers_service::{DeleteReaderRequest, GetReaderRequest, ListReadersRequest};
use varve::proto::record::Record;

use super::Walk;
use super::administering::{deletion, trimming};
use super::ledger::Ledger;
use super::readers::commit;
use super::rig::Rig;
use crate::world::{failure, in_time};

impl Ledger {
    /// Checks what a log is in short.
    fn is_summed_up(&mut self, log: &LogSummary) {
        assert_eq!((&log.log, &*log.log_id), (&self.name, &*self.log_id));
        assert_eq!((log.start_offset, log.damaged), (self.start, false), "of {}", self.name);
        let (end, possible) = (log.end_offset, self.durable..=self.end());
        assert!(possible.contains(&end), "{end} of {} is not {possible:?}", self.name);
        self.reached(Level::DURABILITY_SYNCED, end);
        let held = &self.entries[self.place(self.start)..];
        let records = held.iter().flat_map(|entry| &entry.records);
        let least: usize = records.map(|record| record.value.len()).sum();
        // Of what is only buffered the stores know nothing yet.
        assert!(end < self.end() || log.stored_bytes >= least as u64, "{log:?}");
    }

    /// Checks all that is told of a log. All must be durable.
    fn is_described(&mut self, told: &DescribeLogResponse) {
        self.is_summed_up(&told.log);
        assert_eq!(told.own_settings.as_ref(), Some(&self.own), "of {}", self.name);
        let (in_force, expected) = (&told.settings, self.settings());
        assert_eq!(in_force.segment_bytes_max, expected.segment_bytes_max);
        assert_eq!(in_force.record_bytes_max, expected.record_bytes_max);
        assert_eq!(in_force.retention_bytes, Some(0));
        assert!(!told.readers_damaged);
        assert!(told.readers.iter().map(|reader| &reader.name).eq(self.readers.keys()));
        told.readers.iter().for_each(|reader| self.stands(reader));
        let first = self.place(self.start);
        let held = self.entries.len() - first;
        assert!(told.segments as usize <= held + 1 && (held == 0 || told.segments > 0), "{told:?}");
        if held == 0 {
            assert_eq!((told.oldest_time_us, told.newest_time_us), (0, 0));
        } else {
            self.learn(first, told.oldest_time_us);
            self.learn(self.entries.len() - 1, told.newest_time_us);
        }
    }
}

impl Rig {
    /// What is told of a log; `None` if there is none of that name.
    pub(super) fn look(&self, log: &str) -> Option<DescribeLogResponse> {
        let request = DescribeLogRequest { log: log.to_owned(), ..DescribeLogRequest::default() };
        match self.admin().describe_log_opt(&request, in_time()) {
            Ok(told) => Some(told),
            absent => {
                assert_eq!(failure(absent).info.reason, "LOG_NOT_FOUND");
                None
            }
        }
    }
}

impl Walk {
    pub(super) fn describe(&mut self, log: usize) -> DescribeLogResponse {
        self.settle(log);
        let told = self.rig.look(&self.ledgers[log].name).expect("a log that was not deleted");
        self.ledgers[log].is_described(&told);
        told
    }

    /// Lists logs, page by page.
    pub(super) fn list(&mut self) {
        let prefix = self.rng.pick(&["", "", "orders.", "n", "default", "zz"]);
        let page_size = self.rng.pick(&[0, 1, 2, 3, 1000, 2000]);
        let mut request = ListLogsRequest { page_size, ..ListLogsRequest::default() };
        request.prefix = prefix.to_owned();
        let mut listed = Vec::new();
        loop {
            let page = self.rig.admin().list_logs_opt(&request, in_time()).unwrap();
            let is_last = page.next_page_token.is_empty();
            assert!(is_last || page.logs.len() == page_size as usize, "{page:?}");
            assert!(page_size == 0 || page.logs.len() <= page_size as usize, "{page:?}");
            // The server's own log has no ledger.
            listed.extend(page.logs.into_iter().filter(|log| log.log != "_audit"));
            if is_last {
                break;
            }
            request.page_token = page.next_page_token;
        }
        let mut expected: Vec<_> =
            self.ledgers.iter_mut().filter(|ledger| ledger.name.starts_with(prefix)).collect();
        expected.sort_by_key(|ledger| ledger.name.clone());
        let names: Vec<_> = expected.iter().map(|ledger| &ledger.name).collect();
        assert_eq!(listed.iter().map(|log| &log.log).collect::<Vec<_>>(), names);
        expected.iter_mut().zip(&listed).for_each(|(ledger, log)| ledger.is_summed_up(log));
    }

    /// Lists all logs and describes each.
    pub(super) fn look_at_all(&mut self) {
        self.list();
        (0..self.ledgers.len()).for_each(|log| drop(self.describe(log)));
    }

    /// Asks for the log that was deleted last.
    pub(super) fn ask_for_the_last_gone(&self) {
        self.gone.len().checked_sub(1).into_iter().for_each(|last| self.ask_for(last));
    }

    /// Asks for a log that was deleted.
    pub(super) fn ask_for_one_gone(&mut self) {
        if !self.gone.is_empty() {
            let place = self.rng.below(self.gone.len() as u64) as usize;
            self.ask_for(place);
        }
    }

    fn ask_for(&self, gone: usize) {
        let gone = &self.gone[gone];
        match self.position(&gone.name) {
            Some(log) => self.ask_under_old_id(gone, &self.ledgers[log]),
            None => self.ask_under_old_name(gone),
        }
    }

    /// A log that has the name now is not the one that is meant.
    fn ask_under_old_id(&self, gone: &Ledger, now: &Ledger) {
        let (batches, readers) = (self.rig.batches(), self.rig.readers());
        let consume = ConsumeRequest { log_id: gone.log_id.clone().into(), ..read(&gone.name) };
        let mut move_reader = commit(&gone.name, "a", (0, true));
        move_reader.log_id = gone.log_id.clone().into();
        let mut stream = batches.consume_stream_opt(&consume, in_time()).unwrap();
        for told in [
            failure(batches.consume_opt(&consume, in_time())),
            failure(block_on(stream.next()).unwrap()),
            failure(readers.commit_reader_opt(&move_reader, in_time())),
            failure(self.rig.admin().delete_log_opt(&deletion(gone), in_time())),
        ] {
            assert_eq!(told.info.reason, "LOG_REPLACED", "{told:?}");
            assert_eq!(told.code, i32::from(RpcStatusCode::FAILED_PRECONDITION));
            assert_eq!(told.value("log_id"), now.hex_id());
        }
    }

    /// No log has the name now.
    fn ask_under_old_name(&self, gone: &Ledger) {
        let (batches, readers, admin) = (self.rig.batches(), self.rig.readers(), self.rig.admin());
        let (log, reader) = (|| gone.name.clone(), || "a".to_owned());
        let records = vec![Record::default()];
        let produce = ProduceRequest { log: log(), records, ..ProduceRequest::default() };
        let get = GetReaderRequest { log: log(), reader: reader(), ..GetReaderRequest::default() };
        let forget =
            DeleteReaderRequest { log: log(), reader: reader(), ..DeleteReaderRequest::default() };
        let list = ListReadersRequest { log: log(), ..ListReadersRequest::default() };
        let update = UpdateLogRequest { log: log(), ..UpdateLogRequest::default() };
        let mut tail = batches.consume_stream_opt(&read(&gone.name), in_time()).unwrap();
        let (mut sender, mut replies) = batches.produce_stream_opt(in_time()).unwrap();
        let _sent = block_on(sender.send((produce.clone(), WriteFlags::default())));
        for told in [
            failure(batches.produce_opt(&produce, in_time())),
            failure(block_on(replies.next()).unwrap()),
            failure(batches.consume_opt(&read(&gone.name), in_time())),
            failure(block_on(tail.next()).unwrap()),
            failure(readers.commit_reader_opt(&commit(&gone.name, "a", (0, true)), in_time())),
            failure(readers.get_reader_opt(&get, in_time())),
            failure(readers.list_readers_opt(&list, in_time())),
            failure(readers.delete_reader_opt(&forget, in_time())),
            failure(admin.update_log_opt(&update, in_time())),
            failure(admin.trim_opt(&trimming(&gone.name, 0, true), in_time())),
            failure(admin.trim_opt(&trimming(&gone.name, 0, false), in_time())),
            failure(admin.delete_log_opt(&deletion(gone), in_time())),
        ] {
            assert_eq!(told.info.reason, "LOG_NOT_FOUND", "{told:?}");
            assert_eq!(told.code, i32::from(RpcStatusCode::NOT_FOUND));
            assert_eq!(told.value("log"), gone.name);
        }
        assert_eq!(self.rig.look(&gone.name), None);
    }
}

fn read(log: &str) -> ConsumeRequest {
    ConsumeRequest { log: log.to_owned(), ..ConsumeRequest::default() }
}

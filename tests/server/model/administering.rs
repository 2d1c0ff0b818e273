//! Making, changing, trimming and deleting logs, each with an answer that the model knows before.

use protobuf::MessageField;
use varve::log::DEFAULT_LOG;
use varve::proto::admin_service::{
    CreateLogRequest, DeleteLogRequest, LogSettings, LogSummary, TrimRequest, UpdateLogRequest,
};
use varve::proto::log_service::{Durability as Level, ProduceRequest};
use varve::proto::record::Record;

use super::Walk;
use super::ledger::{Ledger, RECORD_BYTES_MAX};
use crate::world::{Failure, failure, in_time};

/// The most logs at a time.
const LOGS_MAX: usize = 5;
const SEGMENT_BYTES_MIN: u64 = 4096;

/// What is wrong with settings.
struct Fault {
    field: &'static str,
    limit: u64,
    actual: u64,
}

impl Fault {
    fn is_told<T>(&self, outcome: grpcio::Result<T>) {
        let told = refused(outcome, "SETTING_INVALID");
        assert_eq!(told.value("field"), format!("settings.{}", self.field));
        let values = (told.value("limit"), told.value("actual"));
        assert_eq!(values, (&*self.limit.to_string(), &*self.actual.to_string()));
    }
}

impl Ledger {
    /// Takes in where a trim before an offset has the log begin.
    pub(super) fn begin_at(&mut self, start: u64, before: u64) {
        self.may_begin(start, before);
        self.start = start;
    }

    /// Checks where a trim before an offset would have the log begin: at a batch, and as far on as
    /// can be if all is to go.
    pub(super) fn may_begin(&self, start: u64, before: u64) {
        let possible = self.start..=before.max(self.start);
        assert!(possible.contains(&start), "{start} where {before} was asked for");
        assert!(before < self.end() || start == self.end(), "{start} is not the end");
        assert!(self.end() == start || self.entries[self.place(start)].base == start);
    }
}

impl Walk {
    pub(super) fn create(&mut self) {
        let name = self.name_to_create();
        let (settings, fault) = self.settings();
        let request = creation(&name, &settings);
        let outcome = self.rig.admin().create_log_opt(&request, in_time());
        if let Some(fault) = fault {
            fault.is_told(outcome);
        } else if self.position(&name).is_some() {
            assert_eq!(refused(outcome, "LOG_EXISTS").value("log"), name);
        } else {
            self.made(&name, &outcome.unwrap().log.unwrap(), settings);
        }
    }

    /// One that is there, was there, or never was.
    pub(super) fn name_to_create(&mut self) -> String {
        if self.ledgers.len() == LOGS_MAX || self.rng.one_in(5) {
            let log = self.rng.below(self.ledgers.len() as u64) as usize;
            return self.ledgers[log].name.clone();
        }
        if !self.gone.is_empty() && self.rng.one_in(2) {
            let place = self.rng.below(self.gone.len() as u64) as usize;
            return self.gone[place].name.clone();
        }
        let name = format!("n{:x}", self.rng.next());
        if self.rng.one_in(4) { format!("{name:_<128}") } else { name }
    }

    /// Takes in that a log was made.
    pub(super) fn made(&mut self, name: &str, log: &LogSummary, own: LogSettings) {
        let state = (log.start_offset, log.end_offset, log.stored_bytes, log.damaged);
        assert_eq!((&*log.log, state), (name, (0, 0, 0, false)));
        let mut ids = self.gone.iter().chain(&self.ledgers).map(|ledger| &ledger.log_id);
        assert!(ids.all(|id| *id != log.log_id), "an id is used again");
        self.ledgers.push(Ledger::new(name, &log.log_id, own));
    }

    pub(super) fn delete(&mut self, log: usize) {
        let wrong_end = self.rng.below(self.ledgers[log].end() + 3);
        let wrong_id = self.rng.bytes(16);
        let mut request = deletion(&self.ledgers[log]);
        match self.rng.below(6) {
            0 => request.expected_end_offset = Some(wrong_end),
            1 => request.log_id = wrong_id.into(),
            2 => request.log_id.clear(),
            _ => {}
        }
        let outcome = self.rig.admin().delete_log_opt(&request, in_time());
        let ledger = &mut self.ledgers[log];
        if !request.log_id.is_empty() && request.log_id != ledger.log_id {
            assert_eq!(refused(outcome, "LOG_REPLACED").value("log_id"), ledger.hex_id());
        } else if ledger.name == DEFAULT_LOG {
            assert_eq!(refused(outcome, "LOG_PROTECTED").value("log"), DEFAULT_LOG);
        } else if request.expected_end_offset != Some(ledger.end()) {
            let told = refused(outcome, "NOT_AT_END");
            assert_eq!(told.value("end"), ledger.end().to_string());
            ledger.reached(Level::DURABILITY_SYNCED, ledger.end());
        } else {
            outcome.unwrap();
            self.bury(log);
        }
    }

    /// Takes in that a log was deleted.
    pub(super) fn bury(&mut self, log: usize) {
        let gone = self.ledgers.remove(log);
        self.gone.push(gone);
    }

    pub(super) fn update(&mut self, log: usize) {
        let (request, fault) = self.change_of_settings(log);
        let outcome = self.rig.admin().update_log_opt(&request, in_time());
        if let Some(fault) = fault {
            return fault.is_told(outcome);
        }
        let ledger = &mut self.ledgers[log];
        ledger.own = changed(&ledger.own, &request);
        assert_eq!(outcome.unwrap().settings.unwrap(), ledger.own);
        let segment_bytes_max = ledger.settings().segment_bytes_max;
        if segment_bytes_max == Some(SEGMENT_BYTES_MIN) && ledger.record_bytes_max() > 3000 {
            self.roll(log);
        }
    }

    /// Two batches that do not fit into one segment, as it may be now.
    fn roll(&mut self, log: usize) {
        let segments = self.describe(log).segments;
        for _ in 0..2 {
            let record = Record { value: vec![0; 2900].into(), ..Record::default() };
            let name = self.ledgers[log].name.clone();
            let records = vec![record];
            let request = ProduceRequest { log: name, records, ..ProduceRequest::default() };
            assert!(self.send(log, &request));
        }
        assert!(self.describe(log).segments > segments, "a setting is not in force");
    }

    fn change_of_settings(&mut self, log: usize) -> (UpdateLogRequest, Option<Fault>) {
        let (settings, fault) = self.settings();
        let is_set = [settings.segment_bytes_max.is_some(), settings.record_bytes_max.is_some()];
        let names = ["segment_bytes_max", "record_bytes_max"].into_iter().zip(is_set);
        let reset = names.filter(|(_, is_set)| !is_set && self.rng.one_in(2));
        let request = UpdateLogRequest {
            log: self.ledgers[log].name.clone(),
            reset: reset.map(|(name, _)| name.to_owned()).collect(),
            settings: MessageField::some(settings),
            ..UpdateLogRequest::default()
        };
        (request, fault)
    }

    /// A change that can be done, and what is set after it.
    pub(super) fn right_change(&mut self, log: usize) -> (UpdateLogRequest, LogSettings) {
        let request = loop {
            if let (request, None) = self.change_of_settings(log) {
                break request;
            }
        };
        let own = changed(&self.ledgers[log].own, &request);
        (request, own)
    }

    /// Some settings, right or wrong.
    fn settings(&mut self) -> (LogSettings, Option<Fault>) {
        let segment = [None, None, Some(SEGMENT_BYTES_MIN), Some(10_000), Some(50_000)];
        let record = [None, None, Some(400), Some(3000), Some(100_000), Some(RECORD_BYTES_MAX)];
        let mut settings = LogSettings {
            segment_bytes_max: self.rng.pick(&segment),
            record_bytes_max: self.rng.pick(&record),
            retention_bytes: self.rng.pick(&[None, Some(0)]),
            ..LogSettings::default()
        };
        let fault = |field, (limit, actual)| Some(Fault { field, limit, actual });
        let fault = match self.rng.below(16) {
            0 => {
                let least = SEGMENT_BYTES_MIN;
                settings.segment_bytes_max = Some(least - 1);
                fault("segment_bytes_max", (least, least - 1))
            }
            1 => {
                let most = RECORD_BYTES_MAX;
                settings.record_bytes_max = Some(most + 1);
                fault("record_bytes_max", (most.into(), u64::from(most) + 1))
            }
            _ => None,
        };
        (settings, fault)
    }

    /// Says what a trim would do, and does it.
    pub(super) fn trim(&mut self, log: usize) {
        let stored_bytes = self.describe(log).log.unwrap().stored_bytes;
        let ledger = &self.ledgers[log];
        let (name, start, end) = (ledger.name.clone(), ledger.start, ledger.end());
        let before = if self.rng.one_in(4) { end } else { self.rng.below(end + 2) };
        let client = self.rig.admin();
        let call = |dry_run| client.trim_opt(&trimming(&name, before, dry_run), in_time());
        if before > end {
            for dry_run in [true, false] {
                let told = refused(call(dry_run), "OFFSET_OUT_OF_RANGE");
                assert_eq!(told.value("end"), end.to_string());
            }
            return;
        }
        let preview = call(true).unwrap();
        ledger.may_begin(preview.start_offset, before);
        assert_eq!(preview.segments > 0, preview.start_offset > start, "{preview:?}");
        assert_eq!(self.describe(log).log.unwrap().stored_bytes, stored_bytes);
        let trimmed = call(false).unwrap();
        assert_eq!(trimmed, preview, "before {before} of {name}");
        self.ledgers[log].begin_at(trimmed.start_offset, before);
        let rest = self.describe(log).log.unwrap().stored_bytes;
        // What is not sealed before it goes has no footer yet.
        let all_bytes = if trimmed.start_offset < end { stored_bytes } else { trimmed.bytes };
        assert_eq!(rest, all_bytes - trimmed.bytes, "{trimmed:?} before {before} of {name}");
        self.send_trimmed(log);
    }

    /// Sends again what is not held any more.
    fn send_trimmed(&mut self, log: usize) {
        let ledger = &self.ledgers[log];
        let trimmed = &ledger.entries[..ledger.place(ledger.start)];
        let mut claimed: Vec<_> = trimmed.iter().filter(|entry| entry.producer.is_some()).collect();
        if claimed.is_empty() {
            return;
        }
        let entry =
            if self.rng.one_in(2) { claimed.pop().unwrap() } else { self.rng.pick(&claimed) };
        let request = ProduceRequest {
            log: ledger.name.clone(),
            records: entry.records.clone(),
            producer: MessageField(entry.producer.clone().map(Box::new)),
            ..ProduceRequest::default()
        };
        self.send(log, &request);
    }
}

/// The failure of a call that must fail for `reason`.
pub(super) fn refused<T>(outcome: grpcio::Result<T>, reason: &str) -> Failure {
    let told = failure(outcome);
    assert_eq!(told.info.reason, reason, "{told:?}");
    told
}

/// What is set once `request` was done.
fn changed(own: &LogSettings, request: &UpdateLogRequest) -> LogSettings {
    let set = &request.settings;
    let is_reset = |name: &str| request.reset.iter().any(|reset| reset == name);
    let kept_segment = own.segment_bytes_max.filter(|_| !is_reset("segment_bytes_max"));
    let kept_record = own.record_bytes_max.filter(|_| !is_reset("record_bytes_max"));
    LogSettings {
        segment_bytes_max: set.segment_bytes_max.or(kept_segment),
        record_bytes_max: set.record_bytes_max.or(kept_record),
        retention_bytes: set.retention_bytes.or(own.retention_bytes),
        ..LogSettings::default()
    }
}

pub(super) fn creation(log: &str, settings: &LogSettings) -> CreateLogRequest {
    let settings = MessageField::some(settings.clone());
    CreateLogRequest { log: log.to_owned(), settings, ..CreateLogRequest::default() }
}

pub(super) fn deletion(ledger: &Ledger) -> DeleteLogRequest {
    DeleteLogRequest {
        log: ledger.name.clone(),
        expected_end_offset: Some(ledger.end()),
        log_id: ledger.log_id.clone().into(),
        ..DeleteLogRequest::default()
    }
}

pub(super) fn trimming(log: &str, before_offset: u64, dry_run: bool) -> TrimRequest {
    TrimRequest { log: log.to_owned(), before_offset, dry_run, ..TrimRequest::default() }
}

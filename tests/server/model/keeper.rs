//! One who makes, fills, describes and deletes logs while others produce and the server is killed.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use grpcio::{Channel, RpcStatusCode};
use protobuf::{EnumOrUnknown, MessageField};
use varve::proto::admin_service::{
    CreateLogRequest, DeleteLogRequest, DescribeLogRequest, DescribeLogResponse, ListLogsRequest,
    LogSettings,
};
use varve::proto::admin_service_grpc::AdminClient;
use varve::proto::log_service::{Durability as Level, ProduceRequest};
use varve::proto::log_service_grpc::LogClient;
use varve::proto::readers_service_grpc::ReadersClient;
use varve::proto::record::Record;

use super::crowd::Stage;
use super::ledger::claim;
use super::readers::commit;
use super::rng::Rng;
use crate::world::{PATIENCE, failure, in_time};

/// What its logs are called, with a number behind it.
const PREFIX: &str = "keeper-";
/// So many names are used over and over.
const NAMES: u64 = 3;
const READER: &str = "billing";

/// A client that goes on until what it asks for was answered.
pub(super) struct Keeper<'a> {
    stage: &'a Stage,
    rng: Rng,
    channel: Channel,
    /// The ids of all its logs so far.
    ids: Vec<Vec<u8>>,
    /// How many answers it waited for in vain.
    unanswered: u64,
}

/// A log that is there, as it must be.
pub(super) struct Kept {
    name: String,
    id: Vec<u8>,
    end: u64,
    settings: LogSettings,
}

impl<'a> Keeper<'a> {
    pub(super) fn new(stage: &'a Stage, rng: Rng) -> Self {
        let channel = stage.connect();
        Self { stage, rng, channel, ids: Vec::new(), unanswered: 0 }
    }

    /// Makes and deletes logs until it is over. Leaves the last one.
    pub(super) fn run(mut self) -> Kept {
        loop {
            let name = format!("{PREFIX}{}", self.rng.below(NAMES));
            let kept = self.fill(name);
            kept.is_there(&mut self);
            if self.stage.is_over.load(Ordering::SeqCst) {
                let (logs, unanswered) = (self.ids.len(), self.unanswered);
                println!("cases: {logs} logs of one who keeps them, {unanswered} calls unanswered");
                return kept;
            }
            self.delete(kept);
        }
    }

    /// Makes a log, with some batches and a reader at its end.
    fn fill(&mut self, name: String) -> Kept {
        let record_bytes_max = Some(100 + self.rng.below(100) as u32);
        let settings = LogSettings { record_bytes_max, ..LogSettings::default() };
        let id = self.create(&name, &settings);
        assert!(!self.ids.contains(&id), "an id is used again");
        self.ids.push(id.clone());
        let end = 1 + self.rng.below(8);
        for number in 0..end {
            let request = batch(&name, number, self.level(number + 1 == end));
            let reply =
                self.answered(|channel| LogClient::new(channel).produce_opt(&request, in_time()));
            let offset = reply.unwrap().base_offset;
            assert!(offset == number, "batch {number} is at {offset} of a new log");
        }
        let mut request = commit(&name, READER, (end, true));
        request.log_id = id.clone().into();
        let moved = self
            .answered(|channel| ReadersClient::new(channel).commit_reader_opt(&request, in_time()));
        assert_eq!(moved.unwrap().reader.offset, end);
        Kept { name, id, end, settings }
    }

    /// That of the last batch outlives the server, and all before it with it.
    fn level(&mut self, is_last: bool) -> Level {
        if is_last || self.rng.one_in(2) {
            Level::DURABILITY_SYNCED
        } else {
            Level::DURABILITY_WRITTEN
        }
    }

    /// Makes a log of which there is none, and returns its id.
    fn create(&mut self, name: &str, settings: &LogSettings) -> Vec<u8> {
        let request = CreateLogRequest {
            log: name.to_owned(),
            settings: MessageField::some(settings.clone()),
            ..CreateLogRequest::default()
        };
        let before = self.unanswered;
        let made =
            self.answered(|channel| AdminClient::new(channel).create_log_opt(&request, in_time()));
        match made {
            Ok(made) => made.log.log_id.to_vec(),
            // An attempt whose answer was lost has made it, whole.
            Err((code, reason)) => {
                let expected = (RpcStatusCode::ALREADY_EXISTS, "LOG_EXISTS");
                assert_eq!((code, &*reason), expected);
                assert!(self.unanswered > before, "{name} was deleted and comes back");
                let found = self.describe(name).expect("a log that exists");
                assert_eq!(found.own_settings.as_ref(), Some(settings));
                assert_eq!((found.log.end_offset, found.readers.len()), (0, 0));
                found.log.log_id.to_vec()
            }
        }
    }

    fn delete(&mut self, kept: Kept) {
        let request = DeleteLogRequest {
            log: kept.name.clone(),
            expected_end_offset: Some(kept.end),
            log_id: kept.id.into(),
            ..DeleteLogRequest::default()
        };
        let before = self.unanswered;
        let deleted =
            self.answered(|channel| AdminClient::new(channel).delete_log_opt(&request, in_time()));
        if let Err((code, reason)) = deleted {
            let expected = (RpcStatusCode::NOT_FOUND, "LOG_NOT_FOUND");
            assert_eq!((code, &*reason), expected);
            assert!(self.unanswered > before, "{} is lost", kept.name);
        }
        assert_eq!(self.describe(&kept.name), None, "a log that was deleted comes back");
        assert!(self.names().is_empty());
    }

    fn describe(&mut self, name: &str) -> Option<DescribeLogResponse> {
        let request = DescribeLogRequest { log: name.to_owned(), ..DescribeLogRequest::default() };
        let told = self
            .answered(|channel| AdminClient::new(channel).describe_log_opt(&request, in_time()));
        if let Err((_, reason)) = &told {
            assert_eq!(reason, "LOG_NOT_FOUND");
        }
        told.ok()
    }

    /// The names of its logs.
    fn names(&mut self) -> Vec<String> {
        let request = ListLogsRequest { prefix: PREFIX.to_owned(), ..ListLogsRequest::default() };
        let listed =
            self.answered(|channel| AdminClient::new(channel).list_logs_opt(&request, in_time()));
        listed.unwrap().logs.into_iter().map(|log| log.log).collect()
    }

    /// Calls until the server answers. A refusal is an answer, with its code and reason.
    fn answered<T>(
        &mut self,
        call: impl Fn(Channel) -> grpcio::Result<T>,
    ) -> Result<T, (RpcStatusCode, String)> {
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < PATIENCE, "the keeper does not get on");
            match call(self.channel.clone()) {
                Ok(reply) => return Ok(reply),
                Err(grpcio::Error::RpcFailure(status)) if !status.details().is_empty() => {
                    let code = status.code();
                    let told = failure::<T>(Err(grpcio::Error::RpcFailure(status)));
                    return Err((code, told.info.reason));
                }
                Err(_) => {
                    self.unanswered += 1;
                    std::thread::sleep(Duration::from_millis(1));
                    self.channel = self.stage.connect();
                }
            }
        }
    }
}

impl Kept {
    /// Checks that the log is as it was left, and the only one.
    pub(super) fn is_there(&self, keeper: &mut Keeper<'_>) {
        let told = keeper.describe(&self.name).expect("a log that was not deleted");
        let log = (&*told.log.log_id, told.log.start_offset, told.log.end_offset);
        assert_eq!(log, (&*self.id, 0, self.end), "{}", self.name);
        assert_eq!(told.own_settings.as_ref(), Some(&self.settings));
        let readers: Vec<_> = told.readers.iter().map(|r| (&*r.name, r.offset)).collect();
        assert_eq!(readers, [(READER, self.end)]);
        assert_eq!(keeper.names(), [&*self.name]);
    }
}

/// A producer's batch of this number; the producer is the same in all logs.
fn batch(log: &str, number: u64, level: Level) -> ProduceRequest {
    let value = number.to_be_bytes().to_vec().into();
    ProduceRequest {
        log: log.to_owned(),
        records: vec![Record { value, ..Record::default() }],
        durability: EnumOrUnknown::new(level),
        producer: claim(b"one who keeps it", 0, number),
        ..ProduceRequest::default()
    }
}

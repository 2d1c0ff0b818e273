//! Changes of logs whose answers nobody waited for: done whole or not at all, whatever ended the
//! server.

use futures_executor::block_on;
use grpcio::{ClientUnaryReceiver, RpcStatusCode};
use varve::log::DEFAULT_LOG;
use varve::proto::admin_service::{
    CreateLogResponse, DeleteLogResponse, LogSettings, TrimResponse, UpdateLogResponse,
};

use super::Walk;
use super::administering::{creation, deletion, trimming};
use crate::world::in_time;

/// A change that is under way. Logs are numbered by their place.
pub(super) enum FlyingChange {
    Create { name: String, reply: ClientUnaryReceiver<CreateLogResponse> },
    Delete { log: usize, reply: ClientUnaryReceiver<DeleteLogResponse> },
    Trim { log: usize, start: u64, before: u64, reply: ClientUnaryReceiver<TrimResponse> },
    Update { log: usize, own: LogSettings, reply: ClientUnaryReceiver<UpdateLogResponse> },
}

impl FlyingChange {
    /// The log that is to go.
    pub(super) fn condemned(&self) -> Option<usize> {
        match self {
            Self::Delete { log, .. } => Some(*log),
            _ => None,
        }
    }
}

impl Walk {
    /// Begins a change that can be done.
    pub(super) fn launch_change(&mut self) -> FlyingChange {
        let log = self.rng.below(self.ledgers.len() as u64) as usize;
        let client = self.rig.admin();
        match self.rng.below(4) {
            0 => {
                let name = self.name_to_create();
                if self.position(&name).is_some() {
                    return self.launch_change();
                }
                let request = creation(&name, &LogSettings::default());
                let reply = client.create_log_async_opt(&request, in_time()).unwrap();
                FlyingChange::Create { name, reply }
            }
            1 if self.ledgers[log].name != DEFAULT_LOG => {
                let request = deletion(&self.ledgers[log]);
                let reply = client.delete_log_async_opt(&request, in_time()).unwrap();
                FlyingChange::Delete { log, reply }
            }
            2 => {
                let ledger = &self.ledgers[log];
                // Before the end, which is about to change.
                let before = self.rng.below(ledger.durable.max(1));
                let preview = client.trim_opt(&trimming(&ledger.name, before, true), in_time());
                let start = preview.unwrap().start_offset;
                let request = trimming(&ledger.name, before, false);
                let reply = client.trim_async_opt(&request, in_time()).unwrap();
                FlyingChange::Trim { log, start, before, reply }
            }
            _ => {
                let (request, own) = self.right_change(log);
                let reply = client.update_log_async_opt(&request, in_time()).unwrap();
                FlyingChange::Update { log, own, reply }
            }
        }
    }

    /// Learns after a restart whether the change was done, which it is if that was answered.
    /// Returns the log that is not there any more.
    pub(super) fn land_change(&mut self, flying: FlyingChange) -> Option<usize> {
        match flying {
            FlyingChange::Create { name, reply } => {
                let answered = block_on(reply).ok().map(|reply| reply.log.unwrap());
                let found = self.rig.look(&name).map(|found| found.log.unwrap());
                assert!(answered.is_none() || found == answered, "{found:?} is not {answered:?}");
                self.lost_answers += u64::from(answered.is_none());
                found.iter().for_each(|log| self.made(&name, log, LogSettings::default()));
                None
            }
            FlyingChange::Delete { log, reply } => {
                let outcome = block_on(reply);
                let is_there = self.rig.look(&self.ledgers[log].name).is_some();
                match outcome {
                    Ok(_) => assert!(!is_there, "a log that was deleted comes back"),
                    Err(grpcio::Error::RpcFailure(status))
                        if status.code() == RpcStatusCode::FAILED_PRECONDITION =>
                    {
                        assert!(is_there, "{status:?}");
                    }
                    Err(_) => self.lost_answers += 1,
                }
                (!is_there).then_some(log)
            }
            FlyingChange::Trim { log, start, before, reply } => {
                let found = self.rig.look(&self.ledgers[log].name).unwrap().log.start_offset;
                let answered = block_on(reply).ok().map(|reply| reply.start_offset);
                assert!(answered.is_none_or(|answered| answered == start), "{answered:?}");
                let is_known = answered.is_some();
                self.lost_answers += u64::from(!is_known);
                let ledger = &mut self.ledgers[log];
                assert!(found == start || (!is_known && found == ledger.start), "{found}");
                ledger.begin_at(found, before);
                None
            }
            FlyingChange::Update { log, own, reply } => {
                let found = self.rig.look(&self.ledgers[log].name).unwrap().own_settings.unwrap();
                let is_known = block_on(reply).is_ok();
                self.lost_answers += u64::from(!is_known);
                let ledger = &mut self.ledgers[log];
                assert!(found == own || (!is_known && found == ledger.own), "{found:?}");
                ledger.own = found;
                None
            }
        }
    }
}

//! Who changed what, and who was denied: a line in the server's own log, and a record in the log
//! `_audit`, which only those read who may administer it.
//!
//! A client that is denied and keeps trying must fill neither: beyond a number per second denials
//! are only counted, and the count is told with the next one.

use std::error::Error;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::SystemTime;

use log::Level;
use serde_json::{Map, Value};

use super::caller::Caller;
use super::event::{self, Fields};
use super::records;
use super::refusal::Denied;
use super::tag::Tag;
use crate::line_limit::LineLimit;
use crate::log::{Append, AppendError, Durability, Log, LogName, LogOverrides, Logs};
use crate::tls::Subject;

/// Keeps who changed what. All calls may run concurrently.
#[derive(Debug)]
pub(crate) struct Audit {
    denials: LineLimit,
    failures: LineLimit,
    /// `None` if there is to be none, or there could not be one.
    log: Option<Arc<Log>>,
}

impl Audit {
    /// Keeps records in `log` as well, if there is one.
    pub(crate) fn new(log: Option<Arc<Log>>) -> Self {
        Self { denials: LineLimit::default(), failures: LineLimit::default(), log }
    }

    /// `denied` was not to be done in the call that `tag` names.
    pub(crate) fn denied(&self, denied: &Denied, tag: &Tag) {
        let Some(untold) = self.denials.line() else { return };
        let mut fields = vec![
            ("subject", denied.subject.as_str().to_owned()),
            ("action", denied.action.to_string()),
            ("object", denied.object.clone()),
        ];
        fields.extend(tag.fields());
        fields.push(("untold", untold.to_string()));
        self.note(Level::Warn, "denied", &fields);
    }

    /// `caller` has changed the log called `log`; `event` says how, and `what` the rest.
    pub(crate) fn changed(&self, caller: &Caller, event: &'static str, log: &str, what: Fields) {
        let subject = Subject::as_str(caller.subject()).to_owned();
        let mut fields = vec![("subject", subject), ("log", log.to_owned())];
        fields.extend(what);
        fields.extend(caller.tag().fields());
        self.note(Level::Info, event, &fields);
    }

    /// The files that decide about callers were read again; `why` they were not taken.
    pub(crate) fn reloaded(&self, why: Option<&str>) {
        match why {
            None => self.note(Level::Info, "reloaded", &Vec::new()),
            Some(why) => {
                let fields = vec![("kept", "old".to_owned()), ("error", why.to_owned())];
                self.note(Level::Error, "reload_refused", &fields);
            }
        }
    }

    fn note(&self, level: Level, name: &'static str, fields: &Fields) {
        event::write(level, module_path!(), name, fields);
        if let Some(log) = &self.log
            && let Err(error) = append(log, &record(name, fields))
            && let Some(untold) = self.failures.line()
        {
            log::warn!(lost = name, error:err, untold; "audit_record_lost");
        }
    }
}

/// The log `_audit`, made if it is not there, kept as `settings` say.
pub(crate) fn open(logs: &Logs, settings: LogOverrides) -> Option<Arc<Log>> {
    let opened = find_or_make(logs, settings);
    opened
        .inspect_err(|error| {
            log::error!(error = log::kv::Value::from_dyn_error(&**error); "audit_unavailable");
        })
        .ok()
}

fn find_or_make(logs: &Logs, settings: LogOverrides) -> Result<Arc<Log>, Box<dyn Error>> {
    let name = LogName::audit();
    let Some(log) = logs.get(name.as_str()) else { return Ok(logs.create(&name, settings)?) };
    log.update(|own| *own = settings)?;
    Ok(log)
}

/// One object of JSON.
fn record(event: &'static str, fields: &Fields) -> Vec<u8> {
    let time = jiff::Timestamp::try_from(SystemTime::now()).unwrap_or_default().to_string();
    let mut object = Map::new();
    for (key, value) in [("time", time), ("event", event.to_owned())] {
        object.insert(key.to_owned(), Value::String(value));
    }
    for (key, value) in fields {
        object.insert((*key).to_owned(), Value::String(value.clone()));
    }
    Value::Object(object).to_string().into_bytes()
}

/// Durable a moment later, as what is appended is; nobody waits for it.
fn append(log: &Arc<Log>, record: &[u8]) -> Result<(), AppendError> {
    let payload = records::encode_one(record);
    let (expected, producer) = (None, None);
    let (records, durability) = (NonZeroU32::MIN, Durability::Written);
    let batch = Append { payload: &payload, records, durability, expected, producer };
    log.append_batch(batch).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_object_whatever_its_fields_hold() {
        let fields = vec![("subject", "a\"\n".to_owned()), ("untold", "3".to_owned())];
        let record: Value = serde_json::from_slice(&record("denied", &fields)).unwrap();
        assert_eq!((&record["event"], &record["untold"]), (&"denied".into(), &"3".into()));
        assert_eq!(record["subject"], "a\"\n");
        assert!(record["time"].as_str().unwrap().ends_with('Z'), "{record}");
    }
}

//! How much may go on at once, and the counting of it. How fast is counted in `rates`.
//!
//! The C core has limits of its own, but a client that never confirms the settings frame escapes
//! them; these hold for everyone. A slot is taken for each open stream and each unanswered unary
//! call, and is free again when its value is dropped. Calls that wait for a record are counted
//! apart: the binding does not tell of a unary call whose client left, and such must not keep that
//! client from its other calls.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Deref;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::refusal::{BadRequest, Limited, OverLimit};
use crate::tls::Subject;

/// How much may go on at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open streams on one connection.
    pub streams_per_connection_max: usize,
    /// Open streams of one subject, over all its connections.
    pub streams_per_subject_max: usize,
    /// Open streams in all.
    pub streams_max: usize,
    /// Unanswered unary calls of one subject.
    pub calls_per_subject_max: usize,
    /// Unanswered unary calls in all.
    pub calls_max: usize,
    /// Unary reads that may wait for a reading thread.
    pub queued_reads_max: usize,
    /// Batches that a produce stream has appended and not yet acknowledged; beyond, it is read only
    /// 256 KiB ahead.
    pub stream_unacknowledged_max: usize,
    /// The bytes of those batches.
    pub stream_unacknowledged_bytes_max: usize,
    /// One record's value, in bytes.
    pub record_bytes_max: usize,
    /// One message of a client, in bytes; the C core refuses larger ones.
    pub message_bytes_max: u32,
    /// Bytes of batches that one subject may append per second; 0 is any number.
    pub append_bytes_per_subject_per_s: u64,
    /// Batches that one subject may append per second; 0 is any number.
    pub appends_per_subject_per_s: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            streams_per_connection_max: 100,
            streams_per_subject_max: 1000,
            streams_max: 4096,
            calls_per_subject_max: 64,
            calls_max: 1024,
            queued_reads_max: 1024,
            stream_unacknowledged_max: 4096,
            stream_unacknowledged_bytes_max: 8 << 20,
            record_bytes_max: 1 << 20,
            message_bytes_max: 4 << 20,
            append_bytes_per_subject_per_s: 0,
            appends_per_subject_per_s: 0,
        }
    }
}

impl Limits {
    /// Whether a record of so many bytes, which `field` holds in the request, is taken by a log
    /// whose own limit is `of_log`.
    pub(crate) fn admit_record(
        &self,
        (field, bytes): (&'static str, usize),
        of_log: Option<u32>,
    ) -> Result<(), BadRequest> {
        let (bytes, of_server) = (wide(bytes), wide(self.record_bytes_max));
        let limit = of_log.map_or(of_server, |of_log| of_server.min(of_log.into()));
        if bytes <= limit {
            return Ok(());
        }
        Err(BadRequest::RecordTooLarge { field, bytes, limit })
    }
}

fn wide(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// What goes on. All calls may run concurrently.
#[derive(Debug)]
pub(crate) struct Occupancy {
    limits: ArcSwap<Limits>,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    streams: usize,
    /// By the address and port of the client.
    streams_of_connection: HashMap<String, usize>,
    streams_of_subject: HashMap<Subject, usize>,
    calls: Calls,
    waiting: Calls,
}

/// Unanswered unary calls, of those that wait for a record or of the others.
#[derive(Debug, Default)]
struct Calls {
    all: usize,
    of_subject: HashMap<Subject, usize>,
}

/// An unanswered unary call.
#[derive(Debug)]
pub(crate) struct CallSlot {
    occupancy: Arc<Occupancy>,
    subject: Subject,
    /// It is counted among those that wait for a record.
    waits: bool,
}

/// An open stream.
#[derive(Debug)]
pub(crate) struct StreamSlot {
    occupancy: Arc<Occupancy>,
    subject: Subject,
    connection: String,
}

impl Occupancy {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits: ArcSwap::from_pointee(limits), taken: Mutex::default() }
    }

    /// Those in force now. To be held for a short time only.
    pub(crate) fn limits(&self) -> impl Deref<Target = Arc<Limits>> {
        self.limits.load()
    }

    /// Holds for slots that are taken from now on.
    pub(crate) fn replace_limits(&self, limits: Limits) {
        self.limits.store(Arc::new(limits));
    }

    /// Whether nothing goes on. What was answered last may still be on its way to the client.
    pub(crate) fn is_idle(&self) -> bool {
        let taken = self.taken.lock();
        taken.streams == 0 && taken.calls.all + taken.waiting.all == 0
    }

    /// How many streams are open, and how many unary calls unanswered.
    pub(crate) fn open(&self) -> (usize, usize) {
        let taken = self.taken.lock();
        (taken.streams, taken.calls.all + taken.waiting.all)
    }

    /// Takes a slot for a unary call of `subject`.
    pub(crate) fn call(self: &Arc<Self>, subject: &Subject) -> Result<CallSlot, OverLimit> {
        self.taken.lock().calls.take(subject, &self.limits.load())?;
        Ok(CallSlot { occupancy: Arc::clone(self), subject: subject.clone(), waits: false })
    }

    /// Takes a slot for a stream of `subject` on `connection`.
    pub(crate) fn stream(
        self: &Arc<Self>,
        subject: &Subject,
        connection: String,
    ) -> Result<StreamSlot, OverLimit> {
        let taken = &mut *self.taken.lock();
        let limits = self.limits.load();
        let of_connection = held(&taken.streams_of_connection, &connection);
        let of_subject = held(&taken.streams_of_subject, subject);
        room(Limited::StreamsPerConnection, limits.streams_per_connection_max, of_connection)?;
        room(Limited::StreamsPerSubject, limits.streams_per_subject_max, of_subject)?;
        room(Limited::Streams, limits.streams_max, taken.streams)?;
        taken.streams += 1;
        take(&mut taken.streams_of_subject, subject);
        take(&mut taken.streams_of_connection, &connection);
        Ok(StreamSlot { occupancy: Arc::clone(self), subject: subject.clone(), connection })
    }
}

impl Calls {
    fn take(&mut self, subject: &Subject, limits: &Limits) -> Result<(), OverLimit> {
        let of_subject = held(&self.of_subject, subject);
        room(Limited::CallsPerSubject, limits.calls_per_subject_max, of_subject)?;
        room(Limited::Calls, limits.calls_max, self.all)?;
        self.all += 1;
        take(&mut self.of_subject, subject);
        Ok(())
    }

    fn release(&mut self, subject: &Subject) {
        self.all -= 1;
        release(&mut self.of_subject, subject);
    }
}

impl CallSlot {
    /// The call waits for a record from now on; until it is answered it counts among those that do,
    /// of which there may be as many as of the others.
    pub(crate) fn wait(&mut self) -> Result<(), OverLimit> {
        if !self.waits {
            let taken = &mut *self.occupancy.taken.lock();
            taken.waiting.take(&self.subject, &self.occupancy.limits.load())?;
            taken.calls.release(&self.subject);
            self.waits = true;
        }
        Ok(())
    }
}

impl Drop for CallSlot {
    fn drop(&mut self) {
        let taken = &mut *self.occupancy.taken.lock();
        let calls = if self.waits { &mut taken.waiting } else { &mut taken.calls };
        calls.release(&self.subject);
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        let taken = &mut *self.occupancy.taken.lock();
        taken.streams -= 1;
        release(&mut taken.streams_of_subject, &self.subject);
        release(&mut taken.streams_of_connection, &self.connection);
    }
}

fn room(limited: Limited, limit: usize, held: usize) -> Result<(), OverLimit> {
    if held < limit { Ok(()) } else { Err(OverLimit { limited, limit, actual: held + 1 }) }
}

fn held<K: Hash + Eq>(counts: &HashMap<K, usize>, key: &K) -> usize {
    counts.get(key).copied().unwrap_or_default()
}

fn take<K: Hash + Eq + Clone>(counts: &mut HashMap<K, usize>, key: &K) {
    match counts.get_mut(key) {
        Some(count) => *count += 1,
        None => {
            counts.insert(key.clone(), 1);
        }
    }
}

/// A key that holds nothing is forgotten, so that the map is bounded by what goes on.
fn release<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn occupancy(limits: Limits) -> Arc<Occupancy> {
        Arc::new(Occupancy::new(limits))
    }

    fn name(text: &str) -> Subject {
        Subject::new(text).unwrap()
    }

    #[test]
    fn calls_are_limited_per_subject_and_in_all() {
        let limits = Limits { calls_per_subject_max: 2, calls_max: 3, ..Limits::default() };
        let occupancy = occupancy(limits);
        let (a, b) = (name("a"), name("b"));
        let mut slots = vec![occupancy.call(&a).unwrap(), occupancy.call(&a).unwrap()];
        let over = occupancy.call(&a).unwrap_err();
        assert_eq!(over, OverLimit { limited: Limited::CallsPerSubject, limit: 2, actual: 3 });
        slots.push(occupancy.call(&b).unwrap());
        let over = occupancy.call(&b).unwrap_err();
        assert_eq!(over, OverLimit { limited: Limited::Calls, limit: 3, actual: 4 });
        slots.remove(0);
        assert!(occupancy.call(&a).is_ok());
    }

    /// Calls that wait, whose clients may be gone, kept a subject's other calls out for a minute.
    #[test]
    fn calls_that_wait_are_limited_apart_from_the_others() {
        let limits = Limits { calls_per_subject_max: 1, calls_max: 2, ..Limits::default() };
        let occupancy = occupancy(limits);
        let (a, b, c) = (name("a"), name("b"), name("c"));
        let mut waiting = occupancy.call(&a).unwrap();
        waiting.wait().unwrap();
        waiting.wait().unwrap();
        let mut other = occupancy.call(&a).unwrap();
        assert_eq!(occupancy.open(), (0, 2));
        let over = OverLimit { limited: Limited::CallsPerSubject, limit: 1, actual: 2 };
        assert_eq!(other.wait(), Err(over));
        assert_eq!(occupancy.call(&a).unwrap_err(), over);
        drop(other);
        let mut second = occupancy.call(&b).unwrap();
        second.wait().unwrap();
        let over = occupancy.call(&c).unwrap().wait().unwrap_err();
        assert_eq!(over, OverLimit { limited: Limited::Calls, limit: 2, actual: 3 });
        drop(waiting);
        assert_eq!(occupancy.open(), (0, 1));
        assert_eq!(occupancy.call(&a).unwrap().wait(), Ok(()));
        drop(second);
        assert!(occupancy.is_idle() && occupancy.taken.lock().waiting.of_subject.is_empty());
    }

    #[test]
    fn streams_are_limited_per_connection_per_subject_and_in_all() {
        let occupancy = occupancy(Limits {
            streams_per_connection_max: 1,
            streams_per_subject_max: 2,
            streams_max: 3,
            ..Limits::default()
        });
        let (a, b) = (name("a"), name("b"));
        let open = |subject, peer: &str| occupancy.stream(subject, peer.to_owned());
        let limited = |subject, peer| open(subject, peer).unwrap_err().limited;
        let _first = open(&a, "1").unwrap();
        assert_eq!(limited(&a, "1"), Limited::StreamsPerConnection);
        let _second = open(&a, "2").unwrap();
        assert_eq!(limited(&a, "3"), Limited::StreamsPerSubject);
        let third = open(&b, "3").unwrap();
        assert_eq!(limited(&b, "4"), Limited::Streams);
        drop(third);
        assert!(open(&b, "4").is_ok());
    }

    #[test]
    fn other_limits_hold_for_what_comes_and_end_nothing() {
        let occupancy = occupancy(Limits { calls_max: 2, ..Limits::default() });
        let mut slots =
            vec![occupancy.call(&name("a")).unwrap(), occupancy.call(&name("b")).unwrap()];
        occupancy.replace_limits(Limits { calls_max: 1, ..Limits::default() });
        slots.pop();
        let over = occupancy.call(&name("a")).unwrap_err();
        assert_eq!(over, OverLimit { limited: Limited::Calls, limit: 1, actual: 2 });
        slots.pop();
        assert!(occupancy.call(&name("a")).is_ok());
    }

    #[test]
    fn nothing_is_remembered_of_what_ended() {
        let occupancy = occupancy(Limits::default());
        drop(occupancy.call(&name("a")));
        drop(occupancy.stream(&name("a"), "peer".to_owned()));
        let taken = occupancy.taken.lock();
        assert_eq!((taken.calls.all, taken.streams), (0, 0));
        assert!(taken.calls.of_subject.is_empty());
        assert!(taken.streams_of_subject.is_empty() && taken.streams_of_connection.is_empty());
    }
}

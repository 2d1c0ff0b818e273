//! The only way to a log: who asks, may they, and then a permit.
//!
//! The set of logs is private to the guard, so whoever wants one needs a [`Permit`], and each kind
//! of permit can only do what its action stands for. Forgetting to ask does not compile.

mod administer;
#[cfg(all(test, feature = "models"))]
mod model;
mod readers;

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::sync::Arc;

use grpcio::RpcContext;

pub(crate) use self::readers::{ReaderScope, ReaderStanding};
use super::caller::Caller;
use super::identity::{Authentication, Unidentified};
use super::methods::{self, Need};
use super::refusal::{Denied, Refusal, brief};
use super::rules::Rules;
use super::session::{Access, Cut, Session, Sessions};
use super::tag::Tag;
use crate::acl::Action;
use crate::log::{
    Append, AppendError, Bounds, Chunk, Log, LogId, Logs, Offset, Past, Pending, Predecessor,
    Producer, ReadError,
};
use crate::sync::ArcSwap;
use crate::tls::Moment;

/// Decides about every call and every open stream. All calls may run concurrently.
#[derive(Debug)]
pub(crate) struct Guard {
    logs: Arc<Logs>,
    rules: ArcSwap<Rules>,
    authentication: Authentication,
    sessions: Arc<Sessions>,
}

/// Why a call reaches no handler.
#[derive(Debug)]
pub(crate) enum Unadmitted {
    Nobody(Unidentified),
    /// A method that is not in the table.
    Unmapped,
    Stopping,
}

/// An action that permits can be for.
pub(crate) trait Act {
    const ACTION: Action;
}

/// Appending.
#[derive(Debug)]
pub(crate) enum Produce {}

/// Reading.
#[derive(Debug)]
pub(crate) enum Consume {}

/// Changing and looking after a log.
#[derive(Debug)]
pub(crate) enum Administer {}

impl Act for Administer {
    const ACTION: Action = Action::Admin;
}

impl Act for Produce {
    const ACTION: Action = Action::Produce;
}

impl Act for Consume {
    const ACTION: Action = Action::Consume;
}

/// The right to do `A` to one log.
#[derive(Debug)]
pub(crate) struct Permit<A> {
    log: Arc<Log>,
    action: PhantomData<fn() -> A>,
}

impl Guard {
    pub(crate) fn new(logs: Arc<Logs>, rules: Rules, authentication: Authentication) -> Self {
        let rules = ArcSwap::new(Arc::new(rules));
        Self { logs, rules, authentication, sessions: Arc::default() }
    }

    /// The first step of every call: who it is, and that the method is one that somebody mapped.
    pub(crate) fn admit(&self, ctx: &RpcContext<'_>) -> Result<Caller, Unadmitted> {
        if self.sessions.is_stopping() {
            return Err(Unadmitted::Stopping);
        }
        let connection = ctx.auth_context();
        let rules = self.rules.load_full();
        let identity = self
            .authentication
            .identify(connection.as_ref(), &rules, Moment::now())
            .map_err(Unadmitted::Nobody)?;
        let need = methods::need(ctx.method()).ok_or(Unadmitted::Unmapped)?;
        Ok(Caller::new(identity, need, rules, Tag::of(ctx.request_headers().iter())))
    }

    /// Admits again, by the rules of now, one whose call has waited since it was admitted: for a
    /// thread, or for the name of a log.
    ///
    /// # Errors
    ///
    /// What an open stream of such a caller would be cut for.
    pub(crate) fn readmit(&self, caller: &Caller) -> Result<Caller, Refusal> {
        if self.sessions.is_stopping() {
            return Err(Refusal::Stopping);
        }
        let rules = self.rules.load_full();
        match Cut::of(caller.identity(), &rules, Moment::now()) {
            Some(cut) => Err(cut.into()),
            None => Ok(caller.under(rules)),
        }
    }

    /// The second step: whether `caller` may do `A` to the log called `name`.
    ///
    /// To one who may not, a log that is not there looks like one that is.
    pub(crate) fn permit<A: Act>(&self, caller: &Caller, name: &str) -> Result<Permit<A>, Refusal> {
        // A handler that asks for another action than its method stands for is mistaken.
        if caller.need() != Need::Permission(A::ACTION) {
            return Err(Refusal::NotAdmitted);
        }
        if !caller.policy().permits(caller.subject().as_str(), A::ACTION, name) {
            let (subject, object) = (caller.subject().clone(), brief(name));
            return Err(Denied { subject, action: A::ACTION, object }.into());
        }
        let log = self.logs.get(name).ok_or_else(|| Refusal::NoLog { name: brief(name) })?;
        Ok(Permit { log, action: PhantomData })
    }

    /// Enters an open stream for `permit`, to be asked again while it lasts.
    pub(crate) fn open<A: Act>(&self, caller: &Caller, permit: &Permit<A>) -> Session {
        self.enter(caller, Some((A::ACTION, permit.log_name().to_owned())))
    }

    /// Enters an open stream that touches no log.
    pub(crate) fn open_without_log(&self, caller: &Caller) -> Session {
        self.enter(caller, None)
    }

    fn enter(&self, caller: &Caller, access: Option<(Action, String)>) -> Session {
        let session = self.sessions.open(caller, access);
        // Asked after the entry: other rules that came since the caller was admitted may have been
        // reviewed already.
        session.judge(&self.rules.load(), Moment::now());
        session
    }

    /// Puts other rules in force for every later decision.
    pub(crate) fn replace_rules(&self, rules: Rules) {
        self.rules.store(Arc::new(rules));
    }

    /// Asks every open stream again and cuts those that may not go on.
    pub(crate) fn review(&self) {
        self.sessions.review(&self.rules.load(), Moment::now());
    }

    /// The open streams, by who does what.
    pub(crate) fn streams(&self) -> BTreeMap<Access, usize> {
        self.sessions.by_access()
    }

    /// Cuts every open stream and admits nobody any more.
    pub(crate) fn stop(&self) {
        self.sessions.stop();
        self.logs.begin_close();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.sessions.is_stopping()
    }

    /// Whether appends can be acknowledged.
    pub(crate) fn storage_works(&self) -> bool {
        !self.logs.has_failed()
    }

    /// Whether the disk is not too full for appends.
    pub(crate) fn has_space(&self) -> bool {
        !self.logs.is_out_of_space()
    }
}

impl<A> Permit<A> {
    /// The name of the log that it is for.
    pub(crate) fn log_name(&self) -> &str {
        self.log.name()
    }

    /// What tells it from another of the same name.
    pub(crate) fn log_id(&self) -> LogId {
        self.log.id()
    }
}

impl Permit<Produce> {
    pub(crate) fn append(
        &self,
        before: Option<&Predecessor>,
        batch: Append<'_>,
    ) -> Result<Pending, AppendError> {
        self.log.append_behind(before, batch)
    }

    /// Whether the log has the batch already.
    pub(crate) fn has_appended(
        &self,
        producer: &Producer,
        payload: &[u8],
        records: NonZeroU32,
    ) -> bool {
        self.log.has_appended(producer, payload, records)
    }

    /// The largest record that the log takes, in bytes, if it has a limit of its own.
    pub(crate) fn record_bytes_max(&self) -> Option<u32> {
        self.log.settings().record_bytes_max
    }

    /// Resolves when all below `end`, which an append met as the log's end, is durable or lost.
    pub(crate) fn settled(&self, end: Offset) -> Pending {
        self.log.settled(end)
    }

    /// The end of what is durable.
    pub(crate) fn durable_end(&self) -> Offset {
        self.log.bounds().end
    }

    /// Resolves when the log's durable end is past `offset`.
    pub(crate) fn durable_past(&self, offset: Offset) -> Past {
        self.log.past(offset)
    }
}

impl Permit<Consume> {
    pub(crate) fn bounds(&self) -> Bounds {
        self.log.bounds()
    }

    /// The time by the clock that append times come from, in microseconds since the Unix epoch.
    pub(crate) fn now_us(&self) -> u64 {
        self.log.now_us()
    }

    /// Whether acknowledged records behind the durable end are lost.
    pub(crate) fn ends_damaged(&self) -> bool {
        self.log.is_damaged()
    }

    /// The first record at or after a time. Blocks on the disk.
    pub(crate) fn offset_at_time(&self, time_us: u64) -> Result<Offset, ReadError> {
        self.log.offset_at_time(time_us)
    }

    /// Blocks on the disk.
    pub(crate) fn read(&self, offset: Offset, bytes_max: usize) -> Result<Chunk, ReadError> {
        self.log.read(offset, bytes_max)
    }

    /// Resolves when the record at `offset` can be read.
    pub(crate) fn past(&self, offset: Offset) -> Past {
        self.log.past(offset)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::acl::Policy;
    use crate::log::{Options, OsDisk};
    use crate::service::identity::Identity;
    use crate::tls::Subject;

    struct World {
        guard: Guard,
        _data: tempfile::TempDir,
    }

    impl World {
        fn new() -> Self {
            let data = tempfile::tempdir().unwrap();
            let logs =
                Logs::open(data.path(), Arc::new(OsDisk::new()), Options::default()).unwrap();
            let guard = Guard::new(logs, rules(""), Authentication::Certificate);
            Self { guard, _data: data }
        }

        fn ask<A: Act>(&self, need: Need, policy: &str, log: &str) -> Result<Permit<A>, Refusal> {
            let identity = Identity::everyone(Subject::new("root").unwrap());
            self.guard
                .permit(&Caller::new(identity, need, Arc::new(rules(policy)), Tag::unsaid()), log)
        }
    }

    fn rules(text: &str) -> Rules {
        Rules::new(Arc::new(Policy::parse(text, Path::new("acl.csv")).unwrap()))
    }

    const PRODUCE: Need = Need::Permission(Action::Produce);

    #[test]
    fn a_permit_needs_a_rule_for_its_own_action_and_log() {
        let world = World::new();
        assert!(world.ask::<Produce>(PRODUCE, "p, root, default, produce", "default").is_ok());
        for rules in ["", "p, root, default, consume", "p, root, other, produce"] {
            let refusal = world.ask::<Produce>(PRODUCE, rules, "default").unwrap_err();
            let text = "root not permitted to produce to default";
            assert_eq!(refusal.to_string(), text, "{rules}");
        }
    }

    #[test]
    fn one_who_waited_is_admitted_again_by_the_rules_of_now() {
        let world = World::new();
        let identity = |not_after| {
            let root = Identity::everyone(Subject::new("root").unwrap());
            Identity { not_after, ..root }
        };
        let began = Arc::new(rules("p, root, default, produce"));
        let waited = |not_after| {
            Caller::new(identity(not_after), PRODUCE, Arc::clone(&began), Tag::unsaid())
        };
        // The guard has no rules.
        let caller = world.guard.readmit(&waited(None)).unwrap();
        let refusal = world.guard.permit::<Produce>(&caller, "default").unwrap_err();
        assert!(matches!(refusal, Refusal::Denied(_)), "{refusal:?}");
        let expired = world.guard.readmit(&waited(Some(Moment::from_unix_s(1)))).unwrap_err();
        assert!(matches!(expired, Refusal::CertificateExpired), "{expired:?}");
        world.guard.stop();
        let stopped = world.guard.readmit(&waited(None)).unwrap_err();
        assert!(matches!(stopped, Refusal::Stopping), "{stopped:?}");
    }

    #[test]
    fn a_permit_for_another_action_than_the_methods_is_refused() {
        let world = World::new();
        let rules = "p, root, *, *";
        for need in [Need::Identity, Need::Permission(Action::Consume)] {
            let refusal = world.ask::<Produce>(need, rules, "default").unwrap_err();
            assert!(matches!(refusal, Refusal::NotAdmitted), "{refusal:?}");
        }
        let refusal = world.ask::<Consume>(PRODUCE, rules, "default").unwrap_err();
        assert!(matches!(refusal, Refusal::NotAdmitted), "{refusal:?}");
    }

    #[test]
    fn an_absent_log_is_told_only_to_those_who_may_use_it() {
        let world = World::new();
        let refusal = world.ask::<Produce>(PRODUCE, "p, root, *, produce", "absent").unwrap_err();
        assert!(matches!(refusal, Refusal::NoLog { .. }), "{refusal:?}");
        let absent = world.ask::<Produce>(PRODUCE, "", "absent").unwrap_err();
        assert!(matches!(absent, Refusal::Denied(_)), "{absent:?}");
    }
}

//! Open streams, as the guard sees them: who does what to which log, and whether that may go on.
//!
//! A stream is asked again whenever the rules change and at least once a second; what may not go
//! on is cut, which wakes its thread wherever that waits.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

use super::caller::Caller;
use super::identity::Identity;
use super::refusal::{Denied, Refusal};
use super::rules::Rules;
use crate::acl::Action;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::tls::{Moment, Revoked};

/// Why a stream must end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Denied(Denied),
    CertificateExpired,
    CertificateRevoked(Revoked),
    Stopping,
}

impl Cut {
    /// Why `identity` may not go on, by `rules` at the time `now`; `None` if it may.
    pub(crate) fn of(identity: &Identity, rules: &Rules, now: Moment) -> Option<Self> {
        if identity.not_after.is_some_and(|end| now > end) {
            return Some(Self::CertificateExpired);
        }
        rules.revocations.check(&identity.chain, now).err().map(Self::CertificateRevoked)
    }
}

impl From<Cut> for Refusal {
    fn from(cut: Cut) -> Self {
        match cut {
            Cut::Denied(denied) => denied.into(),
            Cut::CertificateExpired => Self::CertificateExpired,
            Cut::CertificateRevoked(why) => Self::CertificateRevoked(why),
            Cut::Stopping => Self::Stopping,
        }
    }
}

/// A subject with its action on a log; without these if the stream is about no log.
pub(crate) type Access = (String, Option<(&'static str, String)>);

/// The open streams. All calls may run concurrently.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    open: Mutex<Vec<Arc<Terms>>>,
    stopping: AtomicBool,
    reviews: AtomicU64,
}

/// One open stream's entry; dropping it ends the reviews.
#[derive(Debug)]
pub(crate) struct Session {
    sessions: Arc<Sessions>,
    terms: Arc<Terms>,
}

/// What a stream was permitted, and whether that was taken back.
#[derive(Debug)]
struct Terms {
    identity: Identity,
    /// `None` if any identity will do.
    access: Option<(Action, String)>,
    cut: OnceLock<Cut>,
    /// The stream wants to be woken by the next review even if it may go on.
    waits_for_review: AtomicBool,
    task: AtomicWaker,
}

impl Sessions {
    /// Enters a stream of `caller`, who was permitted `access`.
    pub(crate) fn open(
        self: &Arc<Self>,
        caller: &Caller,
        access: Option<(Action, String)>,
    ) -> Session {
        let terms = Arc::new(Terms {
            identity: caller.identity().clone(),
            access,
            cut: OnceLock::new(),
            waits_for_review: AtomicBool::new(false),
            task: AtomicWaker::new(),
        });
        self.open.lock().push(Arc::clone(&terms));
        // Looked at after the entry: a stop that came in between has not seen it.
        if self.stopping.load(Ordering::SeqCst) {
            terms.cut(Cut::Stopping);
        }
        Session { sessions: Arc::clone(self), terms }
    }

    /// Cuts every stream that `rules` or the time no longer let go on.
    pub(crate) fn review(&self, rules: &Rules, now: Moment) {
        self.reviews.fetch_add(1, Ordering::SeqCst);
        for terms in self.listed() {
            if let Some(cut) = terms.judge(rules, now) {
                terms.cut(cut);
            } else if terms.waits_for_review.swap(false, Ordering::SeqCst) {
                terms.task.wake();
            }
        }
    }

    /// Cuts every stream, also those that are entered later.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        for terms in self.listed() {
            terms.cut(Cut::Stopping);
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// The open streams by subject and what they do to which log, with how many of each there are.
    pub(crate) fn by_access(&self) -> BTreeMap<Access, usize> {
        let mut counts = BTreeMap::new();
        for terms in self.listed() {
            let access = terms.access.as_ref().map(|(action, log)| (action.as_str(), log.clone()));
            *counts.entry((terms.identity.subject.as_str().to_owned(), access)).or_default() += 1;
        }
        counts
    }

    /// A copy, so that nobody is woken under the lock.
    fn listed(&self) -> Vec<Arc<Terms>> {
        self.open.lock().clone()
    }
}

impl Session {
    /// Cuts the stream if `rules` or the time no longer let it go on.
    pub(crate) fn judge(&self, rules: &Rules, now: Moment) {
        if let Some(cut) = self.terms.judge(rules, now) {
            self.terms.cut(cut);
        }
    }

    /// Why the stream must end, if it must by now.
    pub(crate) fn cut(&self) -> Option<Cut> {
        self.terms.cut.get().cloned()
    }

    /// Resolves when the stream must end.
    pub(crate) fn poll_cut(&self, cx: &mut Context<'_>) -> Poll<Cut> {
        // Registered before it is looked at, so that a cut in between still wakes.
        self.terms.task.register(cx.waker());
        self.cut().map_or(Poll::Pending, Poll::Ready)
    }

    /// How many reviews there were: what `poll_review` counts from.
    pub(crate) fn reviews(&self) -> u64 {
        self.sessions.reviews.load(Ordering::SeqCst)
    }

    /// Resolves at the first review after the first `seen` ones.
    pub(crate) fn poll_review(&self, cx: &mut Context<'_>, seen: u64) -> Poll<()> {
        self.terms.task.register(cx.waker());
        self.terms.waits_for_review.store(true, Ordering::SeqCst);
        if self.reviews() == seen { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut open = self.sessions.open.lock();
        if let Some(place) = open.iter().position(|terms| Arc::ptr_eq(terms, &self.terms)) {
            open.swap_remove(place);
        }
    }
}

impl Terms {
    fn judge(&self, rules: &Rules, now: Moment) -> Option<Cut> {
        if let Some(cut) = Cut::of(&self.identity, rules, now) {
            return Some(cut);
        }
        let subject = &self.identity.subject;
        let (action, object) = self.access.as_ref()?;
        (!rules.policy.permits(subject.as_str(), *action, object)).then(|| {
            let (subject, object) = (subject.clone(), object.clone());
            Cut::Denied(Denied { subject, action: *action, object })
        })
    }

    /// The first reason stays.
    fn cut(&self, cut: Cut) {
        let _earlier = self.cut.set(cut);
        self.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use futures_util::task::{ArcWake, waker};

    use super::*;
    use crate::acl::Policy;
    use crate::service::methods::Need;
    use crate::service::tag::Tag;
    use crate::tls::Subject;

    const EPOCH: Moment = Moment::from_unix_s(0);

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl ArcWake for Wakes {
        fn wake_by_ref(wakes: &Arc<Self>) {
            wakes.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn rules(text: &str) -> Arc<Rules> {
        Arc::new(Rules::new(Arc::new(Policy::parse(text, Path::new("acl.csv")).unwrap())))
    }

    fn open(sessions: &Arc<Sessions>, not_after: Option<Moment>) -> Session {
        let root = Subject::new("root").unwrap();
        let identity = Identity { not_after, ..Identity::everyone(root) };
        let caller =
            Caller::new(identity, Need::Permission(Action::Consume), rules(""), Tag::unsaid());
        sessions.open(&caller, Some((Action::Consume, "default".to_owned())))
    }

    #[test]
    fn a_review_cuts_and_wakes_what_the_policy_denies() {
        let sessions = Arc::new(Sessions::default());
        let session = open(&sessions, None);
        let wakes = Arc::new(Wakes::default());
        let waker = waker(Arc::clone(&wakes));
        let mut cx = Context::from_waker(&waker);
        assert_eq!(session.poll_cut(&mut cx), Poll::Pending);
        sessions.review(&rules("p, root, default, consume"), EPOCH);
        assert_eq!((session.cut(), wakes.0.load(Ordering::SeqCst)), (None, 0));
        sessions.review(&rules("p, root, default, produce"), EPOCH);
        assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
        let Poll::Ready(Cut::Denied(denied)) = session.poll_cut(&mut cx) else { panic!("not cut") };
        assert_eq!(denied.to_string(), "root not permitted to consume to default");
    }

    #[test]
    fn a_review_cuts_what_an_expired_certificate_opened() {
        let sessions = Arc::new(Sessions::default());
        let end = EPOCH.plus(Duration::from_secs(100));
        let session = open(&sessions, Some(end));
        let allowed = rules("p, root, default, consume");
        sessions.review(&allowed, end);
        assert_eq!(session.cut(), None);
        sessions.review(&allowed, end.plus(Duration::from_secs(1)));
        assert_eq!(session.cut(), Some(Cut::CertificateExpired));
    }

    #[test]
    fn a_stop_cuts_what_is_open_and_what_opens_later() {
        let sessions = Arc::new(Sessions::default());
        let early = open(&sessions, None);
        sessions.stop();
        let late = open(&sessions, None);
        assert_eq!([early.cut(), late.cut()], [Some(Cut::Stopping), Some(Cut::Stopping)]);
    }

    #[test]
    fn a_stream_that_waits_for_a_review_is_woken_by_it() {
        let sessions = Arc::new(Sessions::default());
        let session = open(&sessions, None);
        let wakes = Arc::new(Wakes::default());
        let waker = waker(Arc::clone(&wakes));
        let mut cx = Context::from_waker(&waker);
        let seen = session.reviews();
        assert_eq!(session.poll_review(&mut cx, seen), Poll::Pending);
        sessions.review(&rules("p, root, default, consume"), EPOCH);
        assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
        assert_eq!(session.poll_review(&mut cx, seen), Poll::Ready(()));
    }

    #[test]
    fn a_closed_stream_is_forgotten() {
        let sessions = Arc::new(Sessions::default());
        let (first, second) = (open(&sessions, None), open(&sessions, None));
        drop(first);
        assert_eq!(sessions.open.lock().len(), 1);
        sessions.stop();
        assert!(second.cut().is_some());
    }
}

//! An admitted caller, on its way from the checker to the handler.
//!
//! The C core's binding calls both on one poll thread, one right after the other, and lets a
//! checker add nothing to a call; so the caller crosses in a thread-local, which the checker sets
//! or clears on every call and the handler empties. A handler that finds nothing there must refuse.

use std::cell::RefCell;
use std::sync::Arc;

use super::identity::Identity;
use super::methods::Need;
use super::refusal::Refusal;
use super::rules::Rules;
use super::tag::Tag;
use crate::acl::Policy;
use crate::tls::Subject;

thread_local! {
    static ADMITTED: RefCell<Option<Caller>> = const { RefCell::new(None) };
}

/// Who calls, for which kind of method, under which generation of the rules.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    identity: Identity,
    need: Need,
    rules: Arc<Rules>,
    tag: Tag,
}

impl Caller {
    pub(crate) fn new(identity: Identity, need: Need, rules: Arc<Rules>, tag: Tag) -> Self {
        Self { identity, need, rules, tag }
    }

    /// The same call under `rules`.
    pub(crate) fn under(&self, rules: Arc<Rules>) -> Self {
        Self { rules, ..self.clone() }
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn subject(&self) -> &Subject {
        &self.identity.subject
    }

    /// What the method table says that this call needs.
    pub(crate) fn need(&self) -> Need {
        self.need
    }

    /// The generation that every decision about this call uses.
    pub(crate) fn policy(&self) -> &Policy {
        &self.rules.policy
    }

    /// The names of the call.
    pub(crate) fn tag(&self) -> &Tag {
        &self.tag
    }

    /// Who is left on this thread and not taken yet, and the names of their call.
    pub(crate) fn waiting() -> (Option<Subject>, Tag) {
        ADMITTED.with_borrow(|caller| match caller {
            Some(caller) => (Some(caller.subject().clone()), caller.tag.clone()),
            None => (None, Tag::unsaid()),
        })
    }

    /// Leaves the caller, or nobody, for the handler that runs next on this thread.
    pub(crate) fn leave(caller: Option<Self>) {
        ADMITTED.set(caller);
    }

    /// Takes the caller that the checker left on this thread.
    pub(crate) fn take() -> Result<Self, Refusal> {
        ADMITTED.take().ok_or(Refusal::NotAdmitted)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_caller_is_taken_once_and_on_its_own_thread() {
        let policy = Arc::new(Policy::parse("", Path::new("acl.csv")).unwrap());
        let identity = Identity::everyone(Subject::new("root").unwrap());
        let rules = Arc::new(Rules::new(policy));
        Caller::leave(Some(Caller::new(identity, Need::Identity, rules, Tag::unsaid())));
        assert!(std::thread::spawn(|| Caller::take().is_err()).join().unwrap());
        assert_eq!(Caller::take().unwrap().subject().as_str(), "root");
        assert!(matches!(Caller::take(), Err(Refusal::NotAdmitted)));
    }

    #[test]
    fn a_refused_call_leaves_nobody() {
        Caller::leave(None);
        assert!(matches!(Caller::take(), Err(Refusal::NotAdmitted)));
    }
}

//! Models of what a change of the policy and a stop meet: calls that are being decided, and streams
//! that open, wait or are open.
//!
//! usage: `cargo test --release --features models --lib guard::model [-- --show-output]`, with the
//! variables of `tests/models`.

use std::future::poll_fn;
use std::path::Path;

use shuttle::thread::{self, JoinHandle};

use super::*;
use crate::acl::Policy;
use crate::log::{DEFAULT_LOG, LogName, LogOverrides, Options, SimDisk};
use crate::service::identity::Identity;
use crate::service::session::Cut;
use crate::service::tag::Tag;
use crate::tls::Subject;

#[allow(unreachable_pub, clippy::print_stdout)]
#[path = "../../../tests/models/explore.rs"]
mod explore;

const OTHER_LOG: &str = "other";

/// A server's guard over two logs.
fn guard(text: &str) -> Arc<Guard> {
    let options = Options { flushers: 0, min_free_bytes: 0, ..Options::default() };
    let logs = Logs::open(Path::new("/d"), Arc::new(SimDisk::new()), options).unwrap();
    logs.create(&LogName::parse(OTHER_LOG).unwrap(), LogOverrides::default()).unwrap();
    Arc::new(Guard::new(logs, rules(text), Authentication::Certificate))
}

fn rules(text: &str) -> Rules {
    Rules::new(Arc::new(Policy::parse(text, Path::new("acl.csv")).unwrap()))
}

const ONE: &str = "p, root, default, consume";
const OTHER: &str = "p, root, other, consume";

/// Root as the checker leaves it, who wants to consume.
fn caller(guard: &Guard) -> Caller {
    let identity = Identity::everyone(Subject::new("root").unwrap());
    Caller::new(identity, Need::Permission(Action::Consume), guard.rules.load_full(), Tag::unsaid())
}

/// A stream of root's, if it is let in.
fn open(guard: &Guard) -> Option<Session> {
    let caller = caller(guard);
    let permit = guard.permit::<Consume>(&caller, DEFAULT_LOG).ok()?;
    Some(guard.open(&caller, &permit))
}

/// Has another thread do something meanwhile.
fn meanwhile<T: Send + 'static>(
    guard: &Arc<Guard>,
    work: impl FnOnce(&Guard) -> T + Send + 'static,
) -> JoinHandle<T> {
    let guard = Arc::clone(guard);
    thread::spawn(move || work(&guard))
}

/// What a reload does.
fn reload(guard: &Guard, text: &str) {
    guard.replace_rules(rules(text));
    guard.review();
}

fn wait_for_cut(session: &Session) -> Cut {
    shuttle::future::block_on(poll_fn(|cx| session.poll_cut(cx)))
}

#[test]
fn a_schedule_says_all_that_a_run_depends_on() {
    explore::assert_replays(|| {
        let guard = guard(ONE);
        let opener = meanwhile(&guard, |guard| drop(open(guard)));
        reload(&guard, OTHER);
        opener.join().unwrap();
    });
}

#[test]
fn a_stream_that_opens_while_its_right_goes_is_cut_once_the_reload_is_done() {
    explore::explore(
        "a_stream_that_opens_while_its_right_goes_is_cut_once_the_reload_is_done",
        "streams that open while another policy comes",
        || {
            let guard = guard(ONE);
            let openers: Vec<_> = (0..2).map(|_| meanwhile(&guard, open)).collect();
            reload(&guard, OTHER);
            for session in openers.into_iter().filter_map(|opener| opener.join().unwrap()) {
                // If nothing cuts it this waits for ever.
                assert!(matches!(wait_for_cut(&session), Cut::Denied(_)));
            }
        },
    );
}

#[test]
fn a_stream_that_waits_is_woken_by_the_reload_that_denies_it() {
    explore::explore(
        "a_stream_that_waits_is_woken_by_the_reload_that_denies_it",
        "open streams that wait while policies come and a server stops",
        || {
            let guard = guard(ONE);
            let [denied, stopped] = [(); 2].map(|()| open(&guard).expect("it is allowed"));
            let waiting = [denied, stopped].map(|session| {
                thread::spawn(move || {
                    let cut = wait_for_cut(&session);
                    assert_eq!(wait_for_cut(&session), cut, "the first reason stays");
                })
            });
            let stopping = meanwhile(&guard, Guard::stop);
            reload(&guard, OTHER);
            for thread in waiting.into_iter().chain([stopping]) {
                thread.join().unwrap();
            }
        },
    );
}

#[test]
fn a_call_is_decided_by_one_policy() {
    explore::explore(
        "a_call_is_decided_by_one_policy",
        "calls that ask for two logs while the policy lets root have one or the other",
        || {
            let guard = guard(ONE);
            let asking = meanwhile(&guard, |guard| {
                let caller = caller(guard);
                [DEFAULT_LOG, OTHER_LOG].map(|log| guard.permit::<Consume>(&caller, log).is_ok())
            });
            for rules in [OTHER, ONE, OTHER] {
                reload(&guard, rules);
            }
            let [one, other] = asking.join().unwrap();
            assert_ne!(one, other, "both policies had a say");
        },
    );
}

#[test]
fn a_stream_that_is_allowed_goes_on() {
    explore::explore(
        "a_stream_that_is_allowed_goes_on",
        "streams that stay allowed while policies come",
        || {
            let guard = guard(ONE);
            let opener = meanwhile(&guard, |guard| open(guard).expect("each policy allows it"));
            reload(&guard, &format!("{OTHER}\n{ONE}"));
            let session = opener.join().unwrap();
            reload(&guard, ONE);
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(session.poll_cut(&mut cx).is_pending());
        },
    );
}

#[test]
fn a_stream_that_opens_while_the_server_stops_is_cut() {
    explore::explore(
        "a_stream_that_opens_while_the_server_stops_is_cut",
        "streams that open while a server stops",
        || {
            let guard = guard(ONE);
            let opener =
                meanwhile(&guard, |guard| open(guard).map(|session| wait_for_cut(&session)));
            guard.stop();
            let cut = opener.join().unwrap();
            assert!(cut.is_none_or(|cut| cut == Cut::Stopping));
        },
    );
}

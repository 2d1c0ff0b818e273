//! The policy as a whole: what files say and who decided.

mod model;
mod refusals;

use std::fs;
use std::path::Path;

use super::*;

const SAMPLE: &str = "\
# producers and consumers
p, writers, orders.*, produce
p, writers, orders.audit, produce, deny
p, readers, *, consume, allow

g, alice, writers
g, alice, readers
g, bob, readers
p, bob, secrets, *, deny
p, root, *, *
";

fn parse(text: &str) -> Result<Policy, AclError> {
    Policy::parse(text, Path::new("acl.csv"))
}

fn policy(text: &str) -> Policy {
    parse(text).unwrap()
}

fn refusal(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

fn answer(policy: &Policy, subject: &str, action: Action, object: &str) -> String {
    policy.decide(subject, action, object).to_string()
}

#[test]
fn those_who_may_do_something_are_counted() {
    let counted = |text: &str| policy(text).permitted(Action::Admin);
    assert_eq!(counted(SAMPLE), 1);
    assert_eq!(counted(""), 0);
    assert_eq!(counted("p, ops, *, admin\ng, alice, ops\np, bob, *, admin, deny\n"), 2);
}

#[test]
fn a_policy_without_rules_denies_everything() {
    for text in ["", "\n\n", "# p, alice, orders, produce\n", "g, alice, writers\n"] {
        for action in Action::ALL {
            assert!(!policy(text).permits("alice", action, "orders"), "{text:?}");
        }
    }
}

#[test]
fn the_deciding_line_is_named() {
    let policy = policy(SAMPLE);
    for (subject, action, object, expected) in [
        ("alice", Action::Produce, "orders.eu", "allowed by line 2: p, writers, orders.*, produce"),
        (
            "alice",
            Action::Produce,
            "orders.audit",
            "denied by line 3: p, writers, orders.audit, produce, deny",
        ),
        ("alice", Action::Consume, "any", "allowed by line 4: p, readers, *, consume, allow"),
        ("alice", Action::Admin, "orders.eu", "denied: no rule applies"),
        ("bob", Action::Consume, "secrets", "denied by line 9: p, bob, secrets, *, deny"),
        ("bob", Action::Consume, "orders.eu", "allowed by line 4: p, readers, *, consume, allow"),
        ("bob", Action::Produce, "orders.eu", "denied: no rule applies"),
        ("root", Action::Admin, "secrets", "allowed by line 10: p, root, *, *"),
        ("carol", Action::Consume, "orders.eu", "denied: no rule applies"),
    ] {
        assert_eq!(
            answer(&policy, subject, action, object),
            expected,
            "{subject} {action} {object}"
        );
    }
}

#[test]
fn a_decision_carries_the_rule() {
    let policy = policy(SAMPLE);
    let decision = policy.decide("alice", Action::Produce, "orders.eu");
    assert!(decision.allowed);
    let rule = decision.rule.unwrap();
    assert_eq!((rule.line(), rule.text()), (2, "p, writers, orders.*, produce"));
    let decision = policy.decide("alice", Action::Produce, "orders.audit");
    assert!(!decision.allowed);
    assert_eq!(decision.rule.unwrap().line(), 3);
    let decision = policy.decide("alice", Action::Admin, "orders.audit");
    assert!(!decision.allowed && decision.rule.is_none());
}

#[test]
fn deny_wins_wherever_it_stands() {
    let allow = "p, alice, orders, produce, allow\n";
    let deny = "p, alice, orders, produce, deny\n";
    for text in
        [format!("{allow}{deny}"), format!("{deny}{allow}"), format!("{allow}{deny}{allow}")]
    {
        let policy = policy(&text);
        assert!(!policy.permits("alice", Action::Produce, "orders"), "{text}");
        assert!(policy.decide("alice", Action::Produce, "orders").rule.is_some());
    }
}

#[test]
fn a_deny_of_any_role_wins_over_the_subjects_own_allow() {
    let policy =
        policy("p, alice, orders, *\np, far, *, produce, deny\ng, near, far\ng, alice, near\n");
    assert_eq!(
        answer(&policy, "alice", Action::Produce, "orders"),
        "denied by line 2: p, far, *, produce, deny"
    );
    assert!(policy.permits("alice", Action::Consume, "orders"));
}

#[test]
fn of_several_rules_the_first_line_is_named() {
    let text = "p, b, *, *\np, a, *, *\np, a, x, *\np, b, x, *, deny\np, a, x, *, deny\ng, a, b\n";
    let policy = policy(text);
    assert_eq!(answer(&policy, "a", Action::Produce, "y"), "allowed by line 1: p, b, *, *");
    assert_eq!(answer(&policy, "a", Action::Produce, "x"), "denied by line 4: p, b, x, *, deny");
}

#[test]
fn a_duplicate_line_changes_nothing() {
    let policy = policy("p, a, x, admin\np, a, x, admin\ng, b, a\ng, b, a\n");
    assert_eq!(answer(&policy, "b", Action::Admin, "x"), "allowed by line 1: p, a, x, admin");
}

#[test]
fn objects_match_by_name_prefix_or_star() {
    let policy = policy(
        "p, exact, orders, consume\np, prefix, orders.*, consume\np, stem, ord*, consume\n\
         p, all, *, consume\n",
    );
    let matched = |subject: &str| {
        ["", "*", "o", "ord", "order", "orders", "orders.", "orders.eu", "orders.*", "ordersx"]
            .into_iter()
            .filter(|object| policy.permits(subject, Action::Consume, object))
            .collect::<Vec<_>>()
    };
    assert_eq!(matched("exact"), ["orders"]);
    assert_eq!(matched("prefix"), ["orders.", "orders.eu", "orders.*"]);
    let stem = ["ord", "order", "orders", "orders.", "orders.eu", "orders.*", "ordersx"];
    assert_eq!(matched("stem"), stem);
    assert_eq!(matched("all").len(), 10);
}

#[test]
fn an_action_is_that_action_only_and_a_star_is_each() {
    let policy = policy("p, w, x, produce\np, r, x, consume\np, a, x, admin\np, all, x, *\n");
    for (subject, permitted) in [
        ("w", vec![Action::Produce]),
        ("r", vec![Action::Consume]),
        ("a", vec![Action::Admin]),
        ("all", Action::ALL.to_vec()),
    ] {
        for action in Action::ALL {
            assert_eq!(
                policy.permits(subject, action, "x"),
                permitted.contains(&action),
                "{subject} {action}"
            );
        }
    }
}

#[test]
fn subjects_are_compared_byte_by_byte() {
    let policy = policy("p, alice, *, consume\np, spiffe://h/ns/a b, *, consume\n");
    assert!(policy.permits("alice", Action::Consume, "x"));
    assert!(policy.permits("spiffe://h/ns/a b", Action::Consume, "x"));
    let long = "a".repeat(1 << 16);
    for subject in
        ["", "*", "Alice", "alic", "alice ", " alice", "alice\0", "alice\n", "аlice", long.as_str()]
    {
        assert!(!policy.permits(subject, Action::Consume, "x"), "{subject:?}");
    }
}

#[test]
fn a_subject_has_1_to_255_bytes() {
    let longest = "s".repeat(255);
    assert!(policy(&format!("p, {longest}, x, admin")).permits(&longest, Action::Admin, "x"));
    let line = format!("p, {longest}s, x, admin");
    assert_eq!(refusal(&line), "acl.csv:1: a subject of 256 bytes: write 1 to 255");
    assert_eq!(refusal("p, , x, admin"), "acl.csv:1: a subject of 0 bytes: write 1 to 255");
    assert_eq!(refusal("p, \"\", x, admin"), "acl.csv:1: a subject of 0 bytes: write 1 to 255");
    assert_eq!(refusal("g, , a"), "acl.csv:1: a member of 0 bytes: write 1 to 255");
    assert_eq!(refusal("g, a,"), "acl.csv:1: a role of 0 bytes: write 1 to 255");
}

#[test]
fn a_roles_name_as_the_subject_has_the_roles_rules() {
    assert!(policy(SAMPLE).permits("readers", Action::Consume, "orders.eu"));
}

#[test]
fn roles_are_resolved_wherever_their_lines_stand() {
    let rule = "p, top, x, admin\n";
    let links = "g, mid, top\ng, alice, mid\n";
    for text in [format!("{rule}{links}"), format!("{links}{rule}")] {
        assert!(policy(&text).permits("alice", Action::Admin, "x"), "{text}");
        assert!(!policy(&text).permits("top ", Action::Admin, "x"), "{text}");
    }
}

#[test]
fn eight_roles_above_a_subject_are_reached_and_a_ninth_is_refused() {
    let chain = |links: usize| -> String {
        (0..links).map(|n| format!("g, n{n}, n{}\n", n + 1)).collect::<String>()
    };
    let eight = format!("p, n8, x, admin\n{}", chain(8));
    assert!(policy(&eight).permits("n0", Action::Admin, "x"));
    assert_eq!(
        refusal(&chain(9)),
        "acl.csv:9: a chain of 9 memberships goes through this one: at most 8"
    );
}

#[test]
fn blanks_comments_and_line_ends_do_not_count() {
    let policy = policy(
        "  # ünïcode may stand in comments, \"quotes too\r\n\t\r\n\
         \x20\tp ,\talice,orders , produce \r\n\n#g, bob, alice\n\n  g,bob,  alice",
    );
    assert_eq!(
        answer(&policy, "bob", Action::Produce, "orders"),
        "allowed by line 3: p ,\talice,orders , produce"
    );
}

#[test]
fn quotes_let_a_subject_have_commas_and_blanks() {
    let policy = policy("p, \"Acme, Inc.\", x, admin\np, \" \", x, admin\n");
    assert!(policy.permits("Acme, Inc.", Action::Admin, "x"));
    assert!(policy.permits(" ", Action::Admin, "x"));
    assert!(!policy.permits("Acme", Action::Admin, "x"));
}

#[test]
fn load_reads_a_file_and_names_it_in_errors() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("acl.csv");

    let missing = Policy::load(&path).unwrap_err();
    assert!(matches!(&missing, AclError::Read { path: named, .. } if *named == path));
    assert_eq!(
        missing.to_string(),
        format!("cannot read the access control list {}", path.display())
    );

    fs::write(&path, SAMPLE).unwrap();
    assert!(Policy::load(&path).unwrap().permits("root", Action::Admin, "x"));

    fs::write(&path, b"# one\n# two \xc3\xa9\np, a\xff, x, admin\n").unwrap();
    assert_eq!(
        Policy::load(&path).unwrap_err().to_string(),
        format!("{}:3: not UTF-8: save the file as UTF-8", path.display())
    );
}

#[test]
fn the_servers_own_log_is_read_by_those_who_administer_it_and_appended_to_by_nobody() {
    let text = "p, root, *, *\np, clerk, _audit, admin\np, report, *, consume\n";
    let listed = policy(text);
    let permits = |subject, action| listed.permits(subject, action, "_audit");
    assert!(permits("root", Action::Consume) && permits("root", Action::Admin));
    assert!(permits("clerk", Action::Consume) && !permits("report", Action::Consume));
    for subject in ["root", "clerk", "report"] {
        assert!(!permits(subject, Action::Produce), "{subject}");
    }
    let denied = policy("p, eve, *, *\np, eve, _audit, admin, deny\n");
    assert!(!denied.permits("eve", Action::Consume, "_audit"));
}

/// Reading the server's own log was asked for as administering it, so that a rule which denied
/// reading it applied to nothing.
#[test]
fn a_denial_of_reading_holds_for_the_servers_own_log() {
    for (object, line) in [("_audit", 2), ("*", 2), ("_*", 2)] {
        let denied = policy(&format!("p, bob, *, *\np, bob, {object}, consume, deny\n"));
        let decision = denied.decide("bob", Action::Consume, "_audit");
        assert!(!decision.allowed, "{object}");
        assert_eq!(decision.rule.unwrap().line(), line, "{object}");
        assert!(denied.permits("bob", Action::Admin, "_audit"), "{object}");
    }
    let other = policy("p, bob, *, *\np, bob, orders, consume, deny\np, bob, *, produce, deny\n");
    assert!(other.permits("bob", Action::Consume, "_audit"));
}

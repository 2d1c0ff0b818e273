//! Each line that is refused, with the message that says what would be right.

use super::{policy, refusal};

#[test]
fn a_circle_of_roles_is_refused() {
    assert_eq!(
        refusal("g, a, b\ng, b, c\n\ng, c, a\n"),
        "acl.csv:4: roles go in a circle (c -> a -> b -> c): remove one of these memberships"
    );
    assert_eq!(
        refusal("g, a, a"),
        "acl.csv:1: roles go in a circle (a -> a): remove one of these memberships"
    );
}

#[test]
fn a_comment_takes_a_whole_line() {
    assert!(refusal("p, a, x, admin # why").contains("unknown action \"admin # why\""));
}

#[test]
fn a_quote_never_reaches_past_its_line() {
    assert_eq!(
        refusal("p, a, x, admin\np, \"a, x, admin\np, a\", x, admin, deny\n"),
        "acl.csv:2: a quote is opened and never closed: close it on the same line"
    );
    assert_eq!(
        refusal("p, a\"b, x, admin"),
        "acl.csv:1: a quote in the middle of a field: put the whole field in quotes and each \
         quote in it twice"
    );
}

#[test]
fn an_unknown_first_field_is_refused() {
    for given in ["P", "p2", "g2", "e", "policy", "", "\u{feff}p", "-p"] {
        assert_eq!(
            refusal(&format!("{given}, a, x, admin")),
            format!(
                "acl.csv:1: unknown first field {given:?}: a rule starts with `p`, a membership \
                 with `g`"
            )
        );
    }
}

#[test]
fn a_wrong_number_of_fields_is_refused() {
    for (line, found) in
        [("p", 1), ("p, a", 2), ("p, a, x", 3), ("p, a, x, admin, allow, b", 6), ("p,,,,,", 6)]
    {
        assert_eq!(
            refusal(line),
            format!("acl.csv:1: {found} fields: write `p, subject, object, action[, allow|deny]`")
        );
    }
    for (line, found) in [("g", 1), ("g, a", 2), ("g, a, b, domain", 4)] {
        assert_eq!(refusal(line), format!("acl.csv:1: {found} fields: write `g, member, role`"));
    }
}

#[test]
fn names_beyond_printable_ascii_are_refused() {
    for given in ["zoë", "a\tb", "a\u{7f}", "a\rb", "\u{a0}a", "a\0"] {
        assert_eq!(
            refusal(&format!("\np, {given}, x, admin")),
            format!(
                "acl.csv:2: subject {given:?} is not printable ASCII: it could never match, \
                 write it as ASCII"
            )
        );
    }
    assert!(refusal("g, zoë, b").contains("member \"zoë\""));
    assert!(refusal("g, b, zoë").contains("role \"zoë\""));
}

#[test]
fn a_star_in_a_name_is_refused() {
    for (line, what) in [
        ("p, *, x, consume, deny", "subject \"*\""),
        ("p, svc-*, x, consume", "subject \"svc-*\""),
        ("g, *, readers", "member \"*\""),
        ("g, a, *", "role \"*\""),
    ] {
        assert_eq!(
            refusal(line),
            format!(
                "acl.csv:1: {what} has a star, but names are exact: list the subjects under a role"
            )
        );
    }
}

#[test]
fn a_star_before_an_objects_end_is_refused() {
    for given in ["*.orders", "or*rs", "**", "orders.**", "o*s*"] {
        assert_eq!(
            refusal(&format!("p, a, {given}, admin")),
            format!(
                "acl.csv:1: object {given:?} has a star before its end: write a log's name, `*`, \
                 or a prefix as in `orders.*`"
            )
        );
    }
}

#[test]
fn an_object_that_can_match_no_log_is_refused() {
    let longest = "x".repeat(128);
    let too_long = "x".repeat(129);
    for given in [&longest, "0", "a.b-c_d", "_internal", "_*", "a.*", "a-*"] {
        policy(&format!("p, a, {given}, admin, deny"));
    }
    policy(&format!("p, a, {longest}*, admin, deny"));
    for given in [&too_long, "", "Orders", "Orders*", "a b", "a/b", ".a", "-a*", "a..b", "ä"] {
        assert_eq!(
            refusal(&format!("p, a, {given}, admin, deny")),
            format!(
                "acl.csv:1: object {given:?} can match no log: a log's name has 1 to 128 of a-z, \
                 0-9, `.`, `_` and `-`, starts with none of `.` and `-`, and has no `..`"
            )
        );
    }
}

#[test]
fn an_unknown_action_is_refused_with_the_nearest() {
    assert_eq!(
        refusal("p, a, x, produse"),
        "acl.csv:1: unknown action \"produse\" (did you mean produce?): actions are produce, \
         consume and admin, and `*` is all of them"
    );
    assert_eq!(
        refusal("p, a, x, read"),
        "acl.csv:1: unknown action \"read\": actions are produce, consume and admin, and `*` is \
         all of them"
    );
}

#[test]
fn an_unknown_effect_is_refused() {
    for given in ["", "Allow", "DENY", "yes", "*"] {
        assert_eq!(
            refusal(&format!("p, a, x, admin, {given}")),
            format!(
                "acl.csv:1: unknown effect {given:?}: write allow, deny, or only four fields, \
                 which is allow"
            )
        );
    }
}

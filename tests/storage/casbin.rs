//! The access control list against Casbin itself, on files that `tests/casbin/compare.py` makes
//! and describes: random policies on which both must agree, and the differences that are meant.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use varve::acl::{Action, Policy};

/// Names a file of cases to take in place of the committed sample.
const CASES_VAR: &str = "VARVE_CASBIN_CASES";

/// One policy of a file and what is claimed about it.
struct Block<'a> {
    title: &'a str,
    policy: String,
    claims: Vec<Claim<'a>>,
}

enum Claim<'a> {
    /// Varve's answer, in a line that says whether Casbin gives it too.
    Answer { shared: bool, subject: &'a str, action: Action, object: &'a str, allowed: bool },
    /// Varve refuses the policy with a message that has this in it.
    Refused(&'a str),
    /// What Casbin alone answers; `compare.py` checks it.
    Casbin,
}

#[test]
fn decisions_equal_those_of_casbin() {
    let path = env::var_os(CASES_VAR)
        .map_or_else(|| committed("sample.txt"), |path| Path::new(&path).to_owned());
    let text = fs::read_to_string(&path).unwrap();
    let (mut asked, mut allowed_count, mut rules_denied) = (0, 0, 0);
    let blocks = blocks(&text);
    for block in &blocks {
        let policy = Policy::parse(&block.policy, &path).unwrap();
        for claim in &block.claims {
            let Claim::Answer { shared: true, subject, action, object, allowed } = claim else {
                panic!("{}: {}: only shared answers", path.display(), block.title);
            };
            let decision = policy.decide(subject, *action, object);
            assert_eq!(
                decision.allowed,
                *allowed,
                "{}: {}: {subject:?} {action} {object:?}: {decision}, Casbin: {allowed}\n{}",
                path.display(),
                block.title,
                block.policy
            );
            asked += 1;
            allowed_count += u32::from(decision.allowed);
            rules_denied += u32::from(!decision.allowed && decision.rule.is_some());
        }
    }
    println!(
        "{}: {} policies, {asked} answers as Casbin's: {allowed_count} allowed, {rules_denied} \
         denied by a rule, {} by default",
        path.display(),
        blocks.len(),
        asked - allowed_count - rules_denied
    );
    assert!(blocks.len() >= 50, "fewer than 50 policies tell too little");
    for count in [allowed_count, rules_denied] {
        assert!(count * 20 >= asked, "the answers are too much alike");
    }
}

#[test]
fn differences_from_casbin_are_those_we_name() {
    let path = committed("differences.txt");
    let text = fs::read_to_string(&path).unwrap();
    let mut checked = 0;
    for block in blocks(&text) {
        let policy = Policy::parse(&block.policy, &path);
        for claim in &block.claims {
            match (claim, &policy) {
                (Claim::Casbin, _) => continue,
                (Claim::Refused(expected), Err(error)) => {
                    let message = error.to_string();
                    assert!(message.contains(expected), "{}: {message}", block.title);
                }
                (Claim::Answer { subject, action, object, allowed, .. }, Ok(policy)) => {
                    let decision = policy.decide(subject, *action, object);
                    assert_eq!(decision.allowed, *allowed, "{}: {decision}", block.title);
                }
                (_, Ok(_)) => panic!("{}: the policy is accepted", block.title),
                (_, Err(error)) => panic!("{}: {error}", block.title),
            }
            checked += 1;
        }
    }
    println!("{}: {checked} claims hold", path.display());
    assert!(checked >= 25, "claims are missing");
}

fn committed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/casbin").join(name)
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(title) = line.strip_prefix("= ") {
            blocks.push(Block { title, policy: String::new(), claims: Vec::new() });
            continue;
        }
        let block = blocks.last_mut().expect("a title opens the first block");
        match line.strip_prefix('|') {
            Some(row) => {
                block.policy.push_str(row);
                block.policy.push('\n');
            }
            None => block.claims.push(claim(line)),
        }
    }
    blocks
}

fn claim(line: &str) -> Claim<'_> {
    let fields: Vec<&str> = line.split('\t').collect();
    match *fields.as_slice() {
        ["casbin", _, _, _, _] => Claim::Casbin,
        ["refused", message] => Claim::Refused(message),
        [side @ ("both" | "varve"), subject, action, object, answer @ ("allow" | "deny")] => {
            Claim::Answer {
                shared: side == "both",
                subject,
                action: action.parse().expect("an action"),
                object,
                allowed: answer == "allow",
            }
        }
        _ => panic!("no claim: {line:?}"),
    }
}

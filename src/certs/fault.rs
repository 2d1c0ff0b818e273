//! What can be wrong with one value of a request or a configuration.

use thiserror::Error;

/// A fault and the line on which it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) line: u32,
    pub(super) fault: Fault,
}

/// What is wrong, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    /// A key that nobody knows.
    #[error("unknown key {key:?} in {owner}: {}", advice(*.nearest, .known))]
    UnknownKey {
        /// The key as it was written.
        key: String,
        /// What it was written in.
        owner: &'static str,
        /// A known key that is spelled much like it.
        nearest: Option<&'static str>,
        /// Every known key.
        known: &'static [&'static str],
    },
    /// A key that cfssl knows and that has no meaning here.
    #[error("{key:?} in {owner} is a setting of cfssl that varve does not have: remove it")]
    ForeignKey {
        /// The key.
        key: String,
        /// What it was written in.
        owner: &'static str,
    },
    /// A key that stands twice in one object.
    #[error("{key:?} comes a second time: keep one of them")]
    RepeatedKey {
        /// The key.
        key: String,
    },
    /// A key that must be there.
    #[error("{owner} has no {key:?}: add it, {example}")]
    MissingKey {
        /// The key.
        key: &'static str,
        /// What it has to stand in.
        owner: &'static str,
        /// What it may look like.
        example: &'static str,
    },
    /// A value of the wrong kind.
    #[error("expected {expected}, found {found}")]
    Kind {
        /// What would be right.
        expected: &'static str,
        /// What stands there.
        found: &'static str,
    },
    /// An unknown kind of key.
    #[error("unknown key algorithm {given:?}: write \"rsa\" or \"ecdsa\"")]
    Algorithm {
        /// The algorithm as it was written.
        given: String,
    },
    /// A key of a size that is not made.
    #[error("{algorithm} keys of {given} bits are not made: write {allowed}")]
    KeySize {
        /// `rsa` or `ecdsa`.
        algorithm: &'static str,
        /// The size as it was written.
        given: i64,
        /// The sizes that are made.
        allowed: &'static str,
    },
    /// A duration in another form than Go's.
    #[error(
        "{given:?} is no duration: write it as \"8760h\" or \"1h30m\", in the units h, m, s, ms, \
         us and ns"
    )]
    Duration {
        /// The duration as it was written.
        given: String,
    },
    /// A life that is over before it begins.
    #[error("an expiry of {given:?} is too short: certificates begin 5 minutes in the past")]
    ShortExpiry {
        /// The expiry as it was written.
        given: String,
    },
    /// A life beyond all reason.
    #[error("an expiry of {given:?} is too long: write at most \"8766000h\", 1000 years")]
    LongExpiry {
        /// The expiry as it was written.
        given: String,
    },
    /// A usage that nobody knows.
    #[error("unknown usage {given:?}: {}", advice(*.nearest, .known))]
    Usage {
        /// The usage as it was written.
        given: String,
        /// A known usage that is spelled much like it.
        nearest: Option<&'static str>,
        /// Every known usage.
        known: Vec<&'static str>,
    },
    /// A profile without usages.
    #[error("no usages: list at least one, such as \"server auth\"")]
    NoUsages,
    /// A profile that would make CAs which may not sign, or others which may.
    #[error(
        "\"cert sign\" and a \"ca_constraint\" with \"is_ca\": true go together: write both or none"
    )]
    SignWithoutCa,
    /// A host that is neither a name nor an address nor a URI nor a mail address.
    #[error("host {given:?} {problem}")]
    Host {
        /// The host as it was written.
        given: String,
        /// What is wrong with it, and what would be right.
        problem: &'static str,
    },
    /// A country that is no code of two letters.
    #[error("country {given:?}: write its code of two letters, such as \"NL\"")]
    Country {
        /// The country as it was written.
        given: String,
    },
    /// A part of the subject's name that is too long for a certificate.
    #[error("{key:?} has {length} characters: at most {length_max} fit in a certificate")]
    NameLength {
        /// The part's key.
        key: &'static str,
        /// Its length in characters.
        length: usize,
        /// The most that fit.
        length_max: usize,
    },
    /// A part of the subject's name with a control character.
    #[error("{key:?} is {given:?}, with a control character: remove it")]
    NameCharacter {
        /// The part's key.
        key: &'static str,
        /// The text as it was written.
        given: String,
    },
    /// A request without any name.
    #[error("the request names nobody: add \"CN\"")]
    NoName,
    /// A path length that is no small number.
    #[error("a path length of {given}: write 0 to 100")]
    PathLength {
        /// The number as it was written.
        given: i64,
    },
    /// The section of a CA in the request of another certificate.
    #[error("\"ca\" belongs into the request of a CA: remove it")]
    CaSection,
    /// A profile that is not there.
    #[error("no profile {given:?}: {}", known_profiles(.known))]
    NoProfile {
        /// The profile that was asked for.
        given: String,
        /// The profiles that there are.
        known: Vec<String>,
    },
}

fn advice(nearest: Option<&str>, known: &[&str]) -> String {
    match nearest {
        Some(nearest) => format!("did you mean {nearest:?}?"),
        None => format!("the known ones are {}", known.join(", ")),
    }
}

fn known_profiles(known: &[String]) -> String {
    match known {
        [] => "there is none, add it to \"profiles\"".to_owned(),
        _ => {
            let names: Vec<_> = known.iter().map(|name| name.escape_debug().to_string()).collect();
            format!("there are {}", names.join(", "))
        }
    }
}

/// The known word that is spelled most like `given`, if one is close: at most a third of its
/// letters differ, and not all. Upper and lower case are one.
pub(super) fn nearest(given: &str, known: &[&'static str]) -> Option<&'static str> {
    let given = given.to_lowercase();
    let distances = known.iter().filter_map(|&word| {
        let distance = strsim::damerau_levenshtein(&word.to_lowercase(), &given);
        let is_close = distance <= (word.len() / 3).max(1);
        let has_common_letters = distance < word.len().max(given.len());
        (is_close && has_common_letters).then_some((distance, word))
    });
    distances.min_by_key(|(distance, _)| *distance).map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_only_if_it_is_near() {
        let known = ["CN", "hosts", "key", "names", "ca"];
        for (given, expected) in [
            ("host", Some("hosts")),
            ("cn", Some("CN")),
            ("Hosts", Some("hosts")),
            ("nmaes", Some("names")),
            ("keys", Some("key")),
            ("a", Some("ca")),
            ("organisation", None),
            ("x", None),
        ] {
            assert_eq!(nearest(given, &known), expected, "{given}");
        }
    }
}

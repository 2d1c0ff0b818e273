//! The signing profiles: cfssl's `ca-config.json`.
//!
//! Every profile is read and checked, not only the one that is wanted: a fault in the file shows
//! at once. A profile takes `expiry` and `usages` from `default` where it has none of its own.

use std::path::Path;

use super::error::CertsError;
use super::fault::{Fault, Wrong};
use super::json::{self, Keys, Node};
use super::request::read_path_length;
use super::signing::{CaConstraint, Expiry};
use super::usage::Usages;

const ROOT_KEYS: Keys = Keys {
    owner: "the configuration",
    known: &["signing"],
    foreign: &["ocsp", "auth_keys", "remotes"],
};
const SIGNING_KEYS: Keys =
    Keys { owner: "\"signing\"", known: &["default", "profiles"], foreign: &[] };
const PROFILE_KEYS: Keys = Keys {
    owner: "the profile",
    known: &["expiry", "usages", "ca_constraint"],
    foreign: &[
        "allowed_extensions",
        "auth_key",
        "auth_remote",
        "backdate",
        "cert_store",
        "copy_extensions",
        "crl_url",
        "ct_log_servers",
        "issuer_urls",
        "name_whitelist",
        "not_after",
        "not_before",
        "ocsp_no_check",
        "ocsp_url",
        "policies",
        "remote",
    ],
};
const CONSTRAINT_KEYS: Keys = Keys {
    owner: "\"ca_constraint\"",
    known: &["is_ca", "max_path_len", "max_path_len_zero"],
    foreign: &[],
};
/// The name under which `default` itself can be asked for.
const DEFAULT: &str = "default";

/// How certificates of one kind are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) expiry: Expiry,
    pub(super) usages: Usages,
    /// Set if the profile makes CAs.
    pub(super) constraint: Option<CaConstraint>,
}

/// What a profile says itself.
#[derive(Debug, Clone, Default)]
struct Partial {
    expiry: Option<Expiry>,
    usages: Option<Usages>,
    constraint: Option<CaConstraint>,
}

impl Profile {
    /// Reads the profile with this name; `default` is one too, unless a profile has that name.
    pub(super) fn read(path: &Path, name: &str) -> Result<Self, CertsError> {
        json::read(path, |root| {
            let example = "as \"signing\": {\"profiles\": {}}";
            let signing = root.object(ROOT_KEYS)?.require("signing", example)?;
            choose(signing, name)
        })
    }
}

fn choose(signing: &Node, name: &str) -> Result<Profile, Wrong> {
    let fields = signing.object(SIGNING_KEYS)?;
    let default_node = fields.get("default");
    let default = default_node.map_or(Ok(Partial::default()), Partial::read)?;
    let profiles_node = fields.get("profiles");
    let profiles = profiles_node.map_or(Ok(&[][..]), Node::members)?;
    let mut found = None;
    for (key, node) in profiles {
        let profile = Partial::read(node)?.complete(&default, node)?;
        if key == name {
            found = Some(profile);
        }
    }
    match (found, default_node) {
        (Some(profile), _) => Ok(profile),
        (None, Some(node)) if name == DEFAULT => default.clone().complete(&default, node),
        (None, _) => {
            let known = profiles.iter().map(|(key, _)| key.clone()).collect();
            let fault = Fault::NoProfile { given: name.to_owned(), known };
            Err(profiles_node.unwrap_or(signing).wrong(fault))
        }
    }
}

impl Partial {
    fn read(node: &Node) -> Result<Self, Wrong> {
        let fields = node.object(PROFILE_KEYS)?;
        let constraint = fields.get("ca_constraint").map_or(Ok(None), read_constraint)?;
        Ok(Self {
            expiry: fields.get("expiry").map(Expiry::read).transpose()?,
            usages: fields.get("usages").map(Usages::read).transpose()?,
            constraint,
        })
    }

    fn complete(self, default: &Self, node: &Node) -> Result<Profile, Wrong> {
        let missing = |key, example| {
            node.wrong(Fault::MissingKey { key, owner: PROFILE_KEYS.owner, example })
        };
        let expiry = self.expiry.or(default.expiry);
        let usages = self.usages.or_else(|| default.usages.clone());
        let profile = Profile {
            expiry: expiry.ok_or_else(|| missing("expiry", "as \"expiry\": \"8760h\""))?,
            usages: usages.ok_or_else(|| {
                missing("usages", "as \"usages\": [\"signing\", \"server auth\"]")
            })?,
            constraint: self.constraint,
        };
        if profile.usages.may_sign_certificates() != profile.constraint.is_some() {
            return Err(node.wrong(Fault::SignWithoutCa));
        }
        Ok(profile)
    }
}

fn read_constraint(node: &Node) -> Result<Option<CaConstraint>, Wrong> {
    let fields = node.object(CONSTRAINT_KEYS)?;
    let is_ca = fields.get("is_ca").map_or(Ok(false), Node::flag)?;
    let path_length =
        read_path_length(fields.get("max_path_len"), fields.get("max_path_len_zero"))?;
    Ok(is_ca.then_some(CaConstraint { path_length }))
}

//! A certificate request: cfssl's `*-csr.json`.

use std::path::Path;

use super::error::{CertsError, Warning};
use super::fault::{Fault, Wrong};
use super::host::Host;
use super::json::{self, Keys, Node};
use super::key::KeyKind;
use super::signing::{CaConstraint, Expiry};
use super::subject::SubjectName;

const KEYS: Keys = Keys {
    owner: "the request",
    known: &["CN", "hosts", "key", "names", "ca"],
    foreign: &["serialnumber", "crl", "delegation_enabled", "extensions"],
};
const CA_KEYS: Keys =
    Keys { owner: "\"ca\"", known: &["expiry", "pathlen", "pathlenzero"], foreign: &["backdate"] };

/// What a request asks for.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) name: SubjectName,
    pub(super) hosts: Vec<Host>,
    pub(super) key: KeyKind,
    pub(super) warnings: Vec<Warning>,
}

/// What the request of a CA asks for besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CaSection {
    pub(super) expiry: Expiry,
    pub(super) constraint: CaConstraint,
}

impl Request {
    /// Reads the request of a CA.
    pub(super) fn read_ca(path: &Path) -> Result<(Self, CaSection), CertsError> {
        json::read(path, |root| {
            let request = Self::read(root, path)?;
            let section = root.object(KEYS)?.get("ca").map(CaSection::read).transpose()?;
            let by_default = CaSection { expiry: Expiry::OF_CA, constraint: CaConstraint::NONE };
            Ok((request, section.unwrap_or(by_default)))
        })
    }

    /// Reads the request of a certificate that a CA is to issue.
    pub(super) fn read_leaf(path: &Path) -> Result<Self, CertsError> {
        json::read(path, |root| match root.object(KEYS)?.get("ca") {
            Some(section) => Err(section.wrong(Fault::CaSection)),
            None => Self::read(root, path),
        })
    }

    fn read(root: &Node, path: &Path) -> Result<Self, Wrong> {
        let fields = root.object(KEYS)?;
        let mut hosts = Vec::new();
        let mut warnings = Vec::new();
        for node in fields.get("hosts").map_or(Ok(&[][..]), Node::list)? {
            match Host::read(node)? {
                Some(host) => hosts.push(host),
                None => {
                    warnings.push(Warning::EmptyHost { path: path.to_owned(), line: node.line });
                }
            }
        }
        let key = fields.get("key").map_or(Ok(KeyKind::DEFAULT), KeyKind::read)?;
        Ok(Self { name: SubjectName::read(&fields)?, hosts, key, warnings })
    }
}

impl CaSection {
    fn read(node: &Node) -> Result<Self, Wrong> {
        let fields = node.object(CA_KEYS)?;
        let expiry = fields.get("expiry").map_or(Ok(Expiry::OF_CA), Expiry::read)?;
        let path_length = read_path_length(fields.get("pathlen"), fields.get("pathlenzero"))?;
        Ok(Self { expiry, constraint: CaConstraint { path_length } })
    }
}

/// How many CAs may follow below. As in cfssl, 0 counts only if the flag beside it is set, and is
/// no limit otherwise.
pub(super) fn read_path_length(
    length: Option<&Node>,
    zero_counts: Option<&Node>,
) -> Result<Option<u32>, Wrong> {
    let zero_counts = zero_counts.map_or(Ok(false), Node::flag)?;
    let Some(node) = length else { return Ok(zero_counts.then_some(0)) };
    let given = node.integer()?;
    match u32::try_from(given) {
        Ok(0) => Ok(zero_counts.then_some(0)),
        Ok(length @ 1..=100) => Ok(Some(length)),
        Ok(_) | Err(_) => Err(node.wrong(Fault::PathLength { given })),
    }
}

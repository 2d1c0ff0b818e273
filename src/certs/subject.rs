//! The subject's name that a request asks for.
//!
//! The order in the certificate is country, state, locality, organisation, unit, common name; an
//! empty text is as good as none, as in cfssl.

use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::x509::{X509Name, X509NameBuilder};

use super::fault::{Fault, Wrong};
use super::json::{Keys, Node, Object};

const KEYS: Keys = Keys {
    owner: "a name",
    known: &["C", "ST", "L", "O", "OU", "SerialNumber"],
    foreign: &["E", "OID"],
};

/// The parts of a name with their most characters (RFC 5280, appendix A.1).
const PARTS: [(&str, Nid, usize); 6] = [
    ("C", Nid::COUNTRYNAME, 2),
    ("ST", Nid::STATEORPROVINCENAME, 128),
    ("L", Nid::LOCALITYNAME, 128),
    ("O", Nid::ORGANIZATIONNAME, 64),
    ("OU", Nid::ORGANIZATIONALUNITNAME, 64),
    ("SerialNumber", Nid::SERIALNUMBER, 64),
];
const COMMON_NAME: (&str, Nid, usize) = ("CN", Nid::COMMONNAME, 64);

/// A name's parts, checked to fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SubjectName {
    parts: Vec<(Nid, String)>,
}

impl SubjectName {
    /// Reads `CN` and `names` of a request.
    pub(super) fn read(request: &Object<'_>) -> Result<Self, Wrong> {
        let mut name = Self::default();
        for entry in request.get("names").map_or(Ok(&[][..]), Node::list)? {
            let fields = entry.object(KEYS)?;
            for part in PARTS {
                name.add(part, fields.get(part.0))?;
            }
        }
        name.add(COMMON_NAME, request.get("CN"))?;
        if name.parts.is_empty() {
            return Err(Wrong { line: request.line, fault: Fault::NoName });
        }
        Ok(name)
    }

    fn add(
        &mut self,
        (key, kind, length_max): (&'static str, Nid, usize),
        node: Option<&Node>,
    ) -> Result<(), Wrong> {
        let Some(node) = node else { return Ok(()) };
        let text = node.text()?;
        let (given, length) = (text.to_owned(), text.chars().count());
        if text.is_empty() {
            return Ok(());
        }
        if text.chars().any(char::is_control) {
            return Err(node.wrong(Fault::NameCharacter { key, given }));
        }
        if kind == Nid::COUNTRYNAME && !(length == 2 && text.is_ascii()) {
            return Err(node.wrong(Fault::Country { given }));
        }
        if length > length_max {
            return Err(node.wrong(Fault::NameLength { key, length, length_max }));
        }
        self.parts.push((kind, given));
        Ok(())
    }

    pub(super) fn build(&self) -> Result<X509Name, ErrorStack> {
        let mut builder = X509NameBuilder::new()?;
        for (kind, text) in &self.parts {
            builder.append_entry_by_nid(*kind, text)?;
        }
        Ok(builder.build())
    }
}

//! What a certificate's key may be used for, in cfssl's words.

use openssl::error::ErrorStack;
use openssl::x509::X509Extension;
use openssl::x509::extension::{ExtendedKeyUsage, KeyUsage as KeyUsageBuilder};

use super::fault::{Fault, Wrong, nearest};
use super::json::Node;
use crate::tls::name::Dotted;
use crate::tls::parts::{KeyUsage, Parts};

type SetBit = fn(&mut KeyUsageBuilder) -> &mut KeyUsageBuilder;

/// Words for what the key may do, with its bit. Where two words mean one bit, the first is shown.
const KEY_USAGES: [(&str, KeyUsage, SetBit); 11] = [
    ("digital signature", KeyUsage(0x8000), KeyUsageBuilder::digital_signature),
    ("signing", KeyUsage(0x8000), KeyUsageBuilder::digital_signature),
    ("content commitment", KeyUsage(0x4000), KeyUsageBuilder::non_repudiation),
    // cfssl's own spelling.
    ("content committment", KeyUsage(0x4000), KeyUsageBuilder::non_repudiation),
    ("key encipherment", KeyUsage(0x2000), KeyUsageBuilder::key_encipherment),
    ("data encipherment", KeyUsage(0x1000), KeyUsageBuilder::data_encipherment),
    ("key agreement", KeyUsage(0x0800), KeyUsageBuilder::key_agreement),
    ("cert sign", KeyUsage::CERT_SIGN, KeyUsageBuilder::key_cert_sign),
    ("crl sign", KeyUsage(0x0200), KeyUsageBuilder::crl_sign),
    ("encipher only", KeyUsage(0x0100), KeyUsageBuilder::encipher_only),
    ("decipher only", KeyUsage(0x0080), KeyUsageBuilder::decipher_only),
];

/// Words for what the certificate is for, with the object id.
const PURPOSES: [(&str, &str); 13] = [
    ("any", "2.5.29.37.0"),
    ("server auth", SERVER_AUTH),
    ("client auth", CLIENT_AUTH),
    ("code signing", "1.3.6.1.5.5.7.3.3"),
    ("email protection", "1.3.6.1.5.5.7.3.4"),
    ("s/mime", "1.3.6.1.5.5.7.3.4"),
    ("ipsec end system", "1.3.6.1.5.5.7.3.5"),
    ("ipsec tunnel", "1.3.6.1.5.5.7.3.6"),
    ("ipsec user", "1.3.6.1.5.5.7.3.7"),
    ("timestamping", "1.3.6.1.5.5.7.3.8"),
    ("ocsp signing", "1.3.6.1.5.5.7.3.9"),
    ("microsoft sgc", "1.3.6.1.4.1.311.10.3.3"),
    ("netscape sgc", "2.16.840.1.113730.4.1"),
];
const SERVER_AUTH: &str = "1.3.6.1.5.5.7.3.1";
const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";

/// The usages of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Usages {
    key: KeyUsage,
    /// Object ids.
    purposes: Vec<&'static str>,
}

impl Usages {
    const NONE: Self = Self { key: KeyUsage(0), purposes: Vec::new() };

    /// Those of a CA.
    pub(super) fn of_authority() -> Self {
        let mut usages = Self::NONE;
        usages.add("cert sign");
        usages.add("crl sign");
        usages
    }

    pub(super) fn read(node: &Node) -> Result<Self, Wrong> {
        let mut usages = Self::NONE;
        for one in node.list()? {
            let word = one.text()?;
            if !usages.add(word) {
                let key_words = KEY_USAGES.iter().map(|(word, ..)| *word);
                let known: Vec<_> =
                    key_words.chain(PURPOSES.iter().map(|(word, _)| *word)).collect();
                let (given, nearest) = (word.to_owned(), nearest(word, &known));
                return Err(one.wrong(Fault::Usage { given, nearest, known }));
            }
        }
        if usages == Self::NONE {
            return Err(node.wrong(Fault::NoUsages));
        }
        Ok(usages)
    }

    /// Adds a usage; false if the word is unknown.
    fn add(&mut self, word: &str) -> bool {
        if let Some((_, bit, _)) = KEY_USAGES.iter().find(|(name, ..)| *name == word) {
            self.key = self.key.with(*bit);
            return true;
        }
        let purpose = PURPOSES.iter().find(|(name, _)| *name == word);
        if let Some((_, id)) = purpose
            && !self.purposes.contains(id)
        {
            self.purposes.push(id);
        }
        purpose.is_some()
    }

    pub(super) const fn may_sign_certificates(&self) -> bool {
        self.key.has(KeyUsage::CERT_SIGN)
    }

    pub(super) fn are_for_servers(&self) -> bool {
        self.purposes.contains(&SERVER_AUTH)
    }

    pub(super) fn are_for_clients(&self) -> bool {
        self.purposes.contains(&CLIENT_AUTH)
    }

    /// The extensions that say so in a certificate.
    pub(super) fn extensions(&self) -> Result<Vec<X509Extension>, ErrorStack> {
        let mut extensions = Vec::new();
        if self.key != KeyUsage(0) {
            let mut builder = KeyUsageBuilder::new();
            builder.critical();
            for (_, _, set) in KEY_USAGES.iter().filter(|(_, bit, _)| self.key.has(*bit)) {
                set(&mut builder);
            }
            extensions.push(builder.build()?);
        }
        if !self.purposes.is_empty() {
            let mut builder = ExtendedKeyUsage::new();
            for id in &self.purposes {
                builder.other(id);
            }
            extensions.push(builder.build()?);
        }
        Ok(extensions)
    }
}

/// The words for what a certificate says; unknown purposes come as object ids.
pub(super) fn describe(parts: &Parts<'_>) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut shown = KeyUsage(0);
    for (word, bit, _) in KEY_USAGES {
        if parts.key_usage.is_some_and(|usage| usage.has(bit)) && !shown.has(bit) {
            shown = shown.with(bit);
            words.push(word.to_owned());
        }
    }
    for id in parts.purposes.iter().flatten() {
        let id = Dotted(id).to_string();
        let known = PURPOSES.iter().find(|(_, known)| *known == id);
        words.push(known.map_or(id, |(word, _)| (*word).to_owned()));
    }
    words
}

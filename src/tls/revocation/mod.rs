//! Which clients' certificates are revoked: by the lists of their CAs, and by a list of our own.
//!
//! The gRPC core knows neither, and a connection that exists would be asked nothing more; so this
//! is asked with every call, and of open streams twice a second.
//!
//! Files, lowest first: `holder` (what a certificate is revoked by), `deny_list` (ours), `crl`
//! (those of CAs).

mod crl;
mod deny_list;
mod holder;

use std::collections::HashMap;
use std::path::Path;

use thiserror::Error;

use self::crl::{List, Lists};
use self::deny_list::DenyList;
pub(crate) use self::holder::Holder;
use super::error::TlsError;
use super::moment::Moment;

pub use self::crl::ListFault;
pub use self::deny_list::DenyFault;

/// Where revocations are read from; both files may be absent.
#[derive(Debug, Clone, Copy)]
pub struct RevocationFiles<'a> {
    /// Certificate revocation lists (RFC 5280) in PEM, at most one of each CA, and the certificates
    /// of those CAs that are no roots.
    pub lists: Option<&'a Path>,
    /// Our own list: certificates by their fingerprints, or by issuer and serial number.
    pub deny_list: Option<&'a Path>,
    /// The roots that clients' certificates come from, in PEM.
    pub authorities: &'a Path,
    /// Whether a client is refused if its CA has no list, or one whose time is over.
    pub requires_fresh_lists: bool,
}

/// What is revoked. All calls may run concurrently.
#[derive(Debug, Default)]
pub struct Revocations {
    /// By the encoded name of the CA.
    lists: HashMap<Vec<u8>, List>,
    denied: DenyList,
    /// Issuers in the deny list that are no CA which is known here.
    unknown_issuers: Vec<String>,
    requires_fresh_lists: bool,
}

/// Why a certificate counts for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Revoked {
    /// Its CA says so.
    #[error("the client's certificate, or that of a CA above it, was revoked by its CA")]
    ByAuthority,
    /// Our own list says so.
    #[error("the client's certificate, or that of a CA above it, is on the server's deny list")]
    Denied,
    /// Nobody knows, and the server is to trust nobody then.
    #[error("the revocation list of the client's CA is out of date")]
    ListOutOfDate,
    /// As before.
    #[error("the server has no revocation list of the client's CA")]
    NoList,
}

impl Revocations {
    /// Reads and checks the files.
    ///
    /// # Errors
    ///
    /// `Read`, `NotAFile`, `TooLarge`, `NulByte`, `Damaged` or `NoCertificate` about any of the
    /// files, `List` or `NoList` about the lists, `DenyList` about ours.
    pub fn load(files: RevocationFiles<'_>) -> Result<Self, TlsError> {
        let denied = files.deny_list.map_or_else(|| Ok(DenyList::default()), DenyList::read)?;
        let lists = match files.lists {
            Some(lists) => crl::read(lists, files.authorities, Moment::now())?,
            None if denied.issuers().next().is_none() => Lists::default(),
            None => crl::none(files.authorities)?,
        };
        let unknown = denied.issuers().filter(|issuer| !lists.believed.contains(*issuer));
        let mut unknown_issuers: Vec<String> = unknown.map(str::to_owned).collect();
        unknown_issuers.sort();
        let requires_fresh_lists = files.requires_fresh_lists;
        Ok(Self { lists: lists.by_issuer, denied, unknown_issuers, requires_fresh_lists })
    }

    /// Whether one of `chain`, a client's certificate and those above it, is revoked.
    pub(crate) fn check(&self, chain: &[Holder], now: Moment) -> Result<(), Revoked> {
        chain.iter().try_for_each(|holder| self.check_one(holder, now))
    }

    fn check_one(&self, holder: &Holder, now: Moment) -> Result<(), Revoked> {
        if self.denied.has(holder) {
            return Err(Revoked::Denied);
        }
        match self.lists.get(&holder.issuer) {
            Some(list) if list.has(&holder.serial) => Err(Revoked::ByAuthority),
            Some(list) if self.requires_fresh_lists && now > list.next_update => {
                Err(Revoked::ListOutOfDate)
            }
            None if self.requires_fresh_lists => Err(Revoked::NoList),
            _ => Ok(()),
        }
    }

    /// What an operator should know: the lists whose time is over, a sentence each.
    #[must_use]
    pub fn warnings(&self, now: Moment) -> Vec<String> {
        let stale = self.lists.values().filter(|list| now > list.next_update);
        let then = if self.requires_fresh_lists { "its clients are refused" } else { "it is used" };
        let mut warnings: Vec<String> = stale
            .map(|list| {
                let (issuer, end) = (&list.issuer, list.next_update);
                format!(
                    "the revocation list of {issuer} should have been replaced by {end}: {then}"
                )
            })
            .collect();
        warnings.sort();
        warnings
    }

    /// What else an operator should know: the issuers in our list whose lines match nothing unless
    /// a CA between a client and its root has the name, a sentence each.
    #[must_use]
    pub fn doubts(&self) -> Vec<String> {
        let doubt = |issuer: &String| {
            format!(
                "the deny list has an issuer that is neither a root in tls.client_ca nor a CA in \
                 tls.crl, {issuer:?}: unless a CA below these has exactly that name, its lines \
                 match nothing"
            )
        };
        self.unknown_issuers.iter().map(doubt).collect()
    }

    /// When the first of the CAs' lists is to be replaced; `None` without lists.
    #[must_use]
    pub fn next_update(&self) -> Option<Moment> {
        self.lists.values().map(|list| list.next_update).min()
    }

    /// How many certificates are revoked, by lists and by ours.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lists.values().map(List::len).sum::<usize>() + self.denied.len()
    }

    /// Whether nothing is revoked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

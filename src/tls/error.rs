//! What can be wrong with the files that transport security needs, and what to do about it.

use std::io;
use std::path::PathBuf;

use openssl::error::ErrorStack;
use thiserror::Error;

use super::checks::CertificateFault;
use super::exposure::Exposure;
use super::revocation::{DenyFault, ListFault};
use super::strength::WeakKey;

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Role {
    /// The server's certificate, and after it those that lead to its root.
    #[error("server certificate")]
    ServerCertificate,
    /// The server's private key.
    #[error("server key")]
    ServerKey,
    /// The CAs that sign clients' certificates.
    #[error("client CA")]
    ClientAuthorities,
    /// The certificate of a CA that is to sign others.
    #[error("CA certificate")]
    Authority,
    /// The private key of a CA that is to sign others.
    #[error("CA key")]
    AuthorityKey,
    /// The lists of what CAs have revoked.
    #[error("revocation list")]
    RevocationLists,
    /// The list of certificates that this server takes for nothing.
    #[error("deny list")]
    DenyList,
    /// A certificate to look at.
    #[error("certificate")]
    Inspected,
}

/// Why a file of certificates or keys is of no use. Nothing was handed on.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The file could not be read.
    #[error(
        "cannot read the {role} {}: check the path, and that the user who runs varve may read it",
        path.display()
    )]
    Read {
        /// What the file is for.
        role: Role,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is a directory, a device or the like.
    #[error("the {role} {} is not a regular file: name the PEM file itself", path.display())]
    NotAFile {
        /// What the file is for.
        role: Role,
        /// The file.
        path: PathBuf,
    },
    /// It is far larger than such a file can be.
    #[error(
        "the {role} {} is larger than {bytes_max} bytes: is it the right file?",
        path.display()
    )]
    TooLarge {
        /// What the file is for.
        role: Role,
        /// The file.
        path: PathBuf,
        /// The most that is read.
        bytes_max: u64,
    },
    /// It has a NUL byte, so it is not PEM, and the gRPC core would abort on it.
    #[error(
        "the {role} {} has a NUL byte at {position}: it is not PEM; convert it, as with \
         `openssl x509 -inform DER`",
        path.display()
    )]
    NulByte {
        /// What the file is for.
        role: Role,
        /// The file.
        path: PathBuf,
        /// The place of the first such byte, counted from 0.
        position: usize,
    },
    /// A PEM block in it could not be decoded.
    #[error("the {role} {} is damaged: fetch or make it anew", path.display())]
    Damaged {
        /// What the file is for.
        role: Role,
        /// The file.
        path: PathBuf,
        /// What OpenSSL said.
        source: ErrorStack,
    },
    /// It has no certificate.
    #[error(
        "the {role} {} has no PEM block `BEGIN CERTIFICATE`: is it the right file?",
        path.display()
    )]
    NoCertificate {
        /// What the file is for.
        role: Role,
        /// The file.
        path: PathBuf,
    },
    /// A certificate in it is not what it has to be.
    #[error("the {role} {}, certificate {place} ({subject}): {fault}", path.display())]
    Certificate {
        /// What the file is for.
        role: Role,
        /// The file.
        path: PathBuf,
        /// The certificate's place in the file, counted from 1.
        place: usize,
        /// Its subject, as far as it can be shown.
        subject: String,
        /// What is wrong with it.
        fault: CertificateFault,
    },
    /// A revocation list cannot be used.
    #[error("the revocation list {}, list {place} ({issuer}): {fault}", path.display())]
    List {
        /// The file.
        path: PathBuf,
        /// The list's place in the file, counted from 1.
        place: usize,
        /// Whose it is, as far as it can be shown.
        issuer: String,
        /// What is wrong with it.
        fault: ListFault,
    },
    /// There is no revocation list in the file.
    #[error(
        "the revocation list {} has no PEM block `BEGIN X509 CRL`: is it the right file, and not \
         in DER?",
        path.display()
    )]
    NoList {
        /// The file.
        path: PathBuf,
    },
    /// A line of the deny list cannot be read.
    #[error("the deny list {}, line {line}: {fault}", path.display())]
    DenyList {
        /// The file.
        path: PathBuf,
        /// The line's number, counted from 1.
        line: usize,
        /// What is wrong with it.
        fault: DenyFault,
    },
    /// The private key is not what it has to be.
    #[error("the {role} {}: {fault}", path.display())]
    Key {
        /// What the file is for.
        role: Role,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: KeyFault,
    },
    /// The key is not the one in the certificate.
    #[error(
        "the key {} does not belong to the first certificate in {}: name the two that were made \
         together",
        key.display(),
        certificate.display()
    )]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
}

/// What is wrong with a private key's file.
#[derive(Debug, Error)]
pub enum KeyFault {
    /// It is open to strangers.
    #[error("{0}")]
    Exposed(#[from] Exposure),
    /// It has a passphrase, which a service cannot be asked for.
    #[error("it has a passphrase: store it without one, as `openssl pkey -in FILE -out NEW` does")]
    Encrypted,
    /// It has no private key that OpenSSL can read.
    #[error("it has no readable PEM block of a private key: is it the right file?")]
    Unreadable {
        /// What OpenSSL said.
        source: ErrorStack,
    },
    /// The key is too weak, or of another kind.
    #[error("{0}")]
    Weak(#[from] WeakKey),
}

//! Transport security: who a peer is, and the server's own certificate, key and client CAs.
//!
//! The gRPC core takes PEM bytes as they come, says little about what is wrong with them, and
//! aborts the process on some. So everything it is given is read and checked here first, and a
//! client's identity is read here from its certificate's bytes.
//!
//! Files, lowest first: `der` (elements of the encoding), `name` (distinguished names), `parts` (a
//! certificate's name and extensions), `moment` (points in time), `strength` (which keys and
//! signatures are good enough), `identity` (who a client is), `exposure` (who may read a key
//! file), `error`, `pem` (files into certificates and keys), `checks` (what a certificate must be
//! for its role), `credentials` (the three files together), `revocation` (which certificates count
//! no more).

pub(crate) mod checks;
pub mod credentials;
mod der;
mod error;
pub(crate) mod exposure;
pub mod identity;
mod moment;
pub(crate) mod name;
pub(crate) mod parts;
pub(crate) mod pem;
pub(crate) mod revocation;
pub(crate) mod strength;
#[cfg(test)]
mod tests;

pub use checks::CertificateFault;
pub use credentials::{Credentials, CredentialsWarning};
pub use der::Malformed;
pub use error::{KeyFault, Role, TlsError};
pub use exposure::Exposure;
pub use identity::{IdentityError, Subject};
pub use moment::Moment;
pub use revocation::{DenyFault, ListFault, RevocationFiles, Revocations, Revoked};
pub use strength::{WeakKey, WeakSignature};

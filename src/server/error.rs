//! Why a server does not start.

use std::io;
use std::net::SocketAddr;

use thiserror::Error;

/// Why a server does not start. Nothing is left behind.
#[derive(Debug, Error)]
pub enum StartError {
    /// Another program listens there.
    #[error("{listen} is taken: another program listens on this address")]
    PortTaken {
        /// The address.
        listen: SocketAddr,
    },
    /// The system does not let us listen there.
    #[error("cannot listen on {listen}")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The transport does not listen there although the system would; its own message, in the log,
    /// says why.
    #[error("the transport cannot listen on {listen}")]
    Transport {
        /// The address.
        listen: SocketAddr,
    },
    /// A listener without encryption could be reached from other hosts.
    #[error("a plaintext server may listen on a loopback address only, and {listen} is none")]
    PublicPlaintext {
        /// The address.
        listen: SocketAddr,
    },
    /// The system has no threads for us.
    #[error("cannot start the server's threads")]
    Threads(#[from] io::Error),
    /// The transport itself does not start.
    #[error("cannot start the transport")]
    Core(#[from] grpcio::Error),
}

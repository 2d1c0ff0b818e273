//! The flags that name a server and who the client is.

use std::path::PathBuf;

use clap::Args;

use super::connection::Address;

/// Which server, and as whom.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ClientArgs {
    /// The server, as HOST:PORT; an IPv6 address stands in brackets
    #[arg(long, env = "VARVE_SERVER", default_value = "127.0.0.1:8400", value_name = "HOST:PORT")]
    pub(super) server: Address,
    /// The client's certificate in PEM; its name is the subject that the server knows you by
    #[arg(long, env = "VARVE_CERT", value_name = "FILE", required_unless_present = "plaintext")]
    pub(super) cert: Option<PathBuf>,
    /// The private key of that certificate in PEM
    #[arg(long, env = "VARVE_KEY", value_name = "FILE", required_unless_present = "plaintext")]
    pub(super) key: Option<PathBuf>,
    /// The root certificates in PEM that the server's certificate must come from
    #[arg(long, env = "VARVE_CA", value_name = "FILE", required_unless_present = "plaintext")]
    pub(super) ca: Option<PathBuf>,
    /// The name that the server's certificate must have, if it is not the host of --server
    #[arg(long, env = "VARVE_TLS_NAME", value_name = "NAME")]
    pub(super) tls_name: Option<String>,
    /// Connect without TLS, to a server on this host that runs with --plaintext
    #[arg(long)]
    pub(super) plaintext: bool,
}

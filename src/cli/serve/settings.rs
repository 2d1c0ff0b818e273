//! The flags of the configuration.

use std::env;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::config::{Config, ConfigError, Overrides};
use crate::small_file::Source;

/// The configuration file, and what wins over it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Configuration")]
pub(crate) struct Settings {
    /// The configuration file; /etc/varve/varve.toml if that exists
    #[arg(long, env = "VARVE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where clients connect; port 0 takes a free one [config: listen, default 127.0.0.1:8400]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Where metrics and the status page are, or `off` [config: metrics.listen, default
    /// 127.0.0.1:8401]
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics: Option<String>,
    /// The folder of the logs [config: data_dir, default ./data]
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// The server's certificate in PEM [config: tls.cert]
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Its private key in PEM [config: tls.key]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The root certificates in PEM that clients' certificates must come from [config:
    /// tls.client_ca]
    #[arg(long, value_name = "FILE")]
    client_ca: Option<PathBuf>,
    /// The access control list [config: acl.file]
    #[arg(long, value_name = "FILE")]
    acl: Option<PathBuf>,
    /// No TLS, and everyone on this host is one subject: for tries [config: insecure.plaintext]
    #[arg(long)]
    plaintext: bool,
}

impl Settings {
    /// Reads the configuration.
    pub(crate) fn load(&self) -> Result<Config, ConfigError> {
        self.load_from(Source::Any)
    }

    /// Reads the configuration from `source`, which may be another one each time.
    pub(super) fn load_from(&self, source: Source) -> Result<Config, ConfigError> {
        // systemd joins several folders with colons; the first is the one of the unit we ship.
        let service = env::var("STATE_DIRECTORY").ok().filter(|folders| !folders.is_empty());
        let service_dir = service.as_deref().and_then(|folders| folders.split(':').next());
        self.read(source, service_dir.map(Path::new))
    }

    /// As `load`, with the folder that systemd makes for the service, the default for data.
    pub(crate) fn load_with(&self, service_dir: Option<&Path>) -> Result<Config, ConfigError> {
        self.read(Source::Any, service_dir)
    }

    fn read(&self, source: Source, service_dir: Option<&Path>) -> Result<Config, ConfigError> {
        let overrides = Overrides {
            listen: self.listen.clone(),
            metrics: self.metrics.clone(),
            data_dir: self.data_dir.clone(),
            cert: self.cert.clone(),
            key: self.key.clone(),
            client_ca: self.client_ca.clone(),
            acl: self.acl.clone(),
            plaintext: self.plaintext,
        };
        Config::load_from(source, self.config.as_deref(), &overrides, service_dir)
    }
}

//! What is examined: a configuration, and who would serve with it.

use std::path::{Path, PathBuf};

use super::servant::Servant;
use super::unit::{Systemd, Unit};
use crate::cli::error::CliError;
use crate::cli::serve::settings::Settings;
use crate::config::{Config, Origin};

/// The configuration of a service whose unit says nothing else.
const SERVICE_CONFIG: &str = "/etc/varve/varve.toml";
/// The user of such a service.
const SERVICE_USER: &str = "varve";

/// What is examined.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) config: Config,
    /// Whether it is the configuration that the service is started with, so that the unit's limits
    /// count and not those of this process.
    pub(super) is_service: bool,
    /// The folder that systemd makes before each start of the service.
    pub(super) state_directory: Option<PathBuf>,
    /// Who serves.
    pub(super) servant: Servant,
    me: Servant,
}

impl Case {
    /// Reads the configuration; `user` is who serves, if it was named.
    ///
    /// # Errors
    ///
    /// `Config`, and `NoUser` if `user` is none of this host's.
    pub(super) fn read(
        settings: &Settings,
        user: Option<&str>,
        systemd: &Systemd,
    ) -> Result<Self, CliError> {
        let mut config = settings.load()?;
        let unit = systemd.installed();
        let service_config = unit.and_then(Unit::config);
        let service_config = service_config.as_deref().unwrap_or(Path::new(SERVICE_CONFIG));
        let is_service = config.file.as_deref() == Some(service_config);
        let state_directory = unit.and_then(Unit::state_directory).filter(|_| is_service);
        if let Some(folder) = state_directory.as_deref().filter(|_| has_no_folder(&config)) {
            config = settings.load_with(Some(folder))?;
        }
        let me = Servant::this_process();
        let of_service = unit.map_or(SERVICE_USER, Unit::user);
        let servant = match user {
            Some(name) => Some(Servant::named(name).ok_or_else(|| no_user(name))?),
            None if is_service => Servant::named(of_service),
            None => None,
        };
        let servant = servant.unwrap_or_else(|| me.clone());
        Ok(Self { config, is_service, state_directory, servant, me })
    }

    /// Whether this process may do what the server may: what it cannot read, the server cannot.
    pub(super) fn is_servant(&self) -> bool {
        self.me.is_root() || self.me.user == self.servant.user
    }

    /// What it takes to look at what only the server may.
    pub(super) fn needs(&self) -> String {
        match self.servant.is_root() {
            true => "needs root".to_owned(),
            false => format!("needs root or the user {}", self.servant.name),
        }
    }

    /// The name of who serves.
    pub(super) fn user(&self) -> &str {
        &self.servant.name
    }
}

/// Whether nobody said where the data is.
fn has_no_folder(config: &Config) -> bool {
    let row = config.effective.iter().find(|row| row.key == "data_dir");
    row.is_some_and(|row| row.origin == Origin::Default)
}

fn no_user(name: &str) -> CliError {
    CliError::NoUser { name: name.to_owned() }
}

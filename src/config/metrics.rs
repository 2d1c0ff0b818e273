//! `[metrics]`: where metrics and the status page are to be had, and how much of them.

use std::fmt;
use std::net::SocketAddr;

use super::error::ConfigError;
use super::typed::Typed;
use crate::ops::SeriesMax;

/// More series than anyone wants to pay for.
const SERIES_LIMIT: usize = 100_000;

/// Where metrics and the status page are to be had, and how much of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Where the HTTP listener is; none if it is off.
    pub listen: Option<SocketAddr>,
    /// Of how many logs and readers is told.
    pub series_max: SeriesMax,
}

/// An address or none, as it is typed.
struct Place(Option<SocketAddr>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("off"),
        }
    }
}

impl Place {
    fn parse(text: &str) -> Option<Self> {
        if text == "off" { Some(Self(None)) } else { text.parse().ok().map(Some).map(Self) }
    }
}

/// Reads the section; `flag` wins over its `listen`.
pub(super) fn read(typed: &mut Typed<'_>, flag: Option<&str>) -> Result<Metrics, ConfigError> {
    let Place(listen) = typed.text(
        "metrics.listen",
        flag,
        Place(Some(SocketAddr::from(([127, 0, 0, 1], 8401)))),
        "\"off\", or an IP address and a port such as \"127.0.0.1:8401\"",
        Place::parse,
    )?;
    let is_public = typed.switch("metrics.public", false)?;
    if let Some(listen) = listen.filter(|listen| !is_public && !listen.ip().is_loopback()) {
        return Err(ConfigError::MetricsInPublic { listen: listen.to_string() });
    }
    let default = SeriesMax::default();
    let logs_max = typed.number("metrics.logs_max", default.logs_max, 0..=SERIES_LIMIT)?;
    let readers_max = typed.number("metrics.readers_max", default.readers_max, 0..=SERIES_LIMIT)?;
    Ok(Metrics { listen, series_max: SeriesMax { logs_max, readers_max } })
}

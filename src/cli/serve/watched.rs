//! The listener of metrics and the status page, without which a server serves all the same.

use std::net::TcpListener;
use std::sync::Arc;

use super::passed;
use crate::config::Metrics;
use crate::ops::Ops;
use crate::ops::http::HttpListener;

/// Opens the listener that `config` asks for, or takes the one that systemd passed for it. If there
/// is none to be had the log says why.
pub(super) fn listen(config: &Metrics, ops: &Arc<Ops>) -> Option<HttpListener> {
    let address = config.listen?;
    let bound = passed::metrics().map_or_else(|| TcpListener::bind(address), Ok);
    match bound.and_then(|bound| HttpListener::start(bound, ops)) {
        Ok(listener) => {
            log::info!("event=metrics_listening address={}", listener.address());
            Some(listener)
        }
        Err(error) => {
            let error = error.to_string();
            log::warn!("event=metrics_unavailable address={address} error={error:?}");
            None
        }
    }
}

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
            log::info!(address:% = listener.address(); "metrics_listening");
            Some(listener)
        }
        Err(error) => {
            log::warn!(address:%, error:err; "metrics_unavailable");
            None
        }
    }
}

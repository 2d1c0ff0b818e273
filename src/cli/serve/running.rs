//! A running server, and what signals do to it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::Serialize;
use signal_hook::consts::{SIGHUP, SIGINT};
use signal_hook::iterator::Signals;

use super::access::Access;
use super::{fatal, notify, watched};
use crate::cli::error::CliError;
use crate::cli::output::{self, chain};
use crate::config::Config;
use crate::log::{Logs, Options, OsDisk};
use crate::ops::Ops;
use crate::ops::http::HttpListener;
use crate::server::{Server, ServerOptions};

/// What connections cannot take: enough for the logs to begin segments and to open old ones when
/// strangers use up all descriptors.
const SPARE_DESCRIPTORS: usize = 64;

/// A server with the logs that it serves.
pub(super) struct Running {
    config: Config,
    address: SocketAddr,
    logs: Arc<Logs>,
    server: Server,
    ops: Arc<Ops>,
    /// `None` if it is off, or not to be had.
    http: Option<HttpListener>,
}

/// What a program reads instead of `listening on`.
#[derive(Serialize)]
struct Listening {
    listening: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<SocketAddr>,
}

impl Running {
    /// Recovers the logs and opens the listener.
    pub(super) fn start(config: Config, access: Access) -> Result<Self, CliError> {
        notify::status("recovering logs");
        let storage = Options { on_fatal: Arc::new(fatal::on_fatal), ..config.storage.clone() };
        let disk = OsDisk::with_spare_descriptors(SPARE_DESCRIPTORS);
        let logs = Logs::open(&config.data_dir, Arc::new(disk), storage)?;
        let options = ServerOptions {
            limits: config.limits.clone(),
            legacy_404: config.legacy_404,
            creates_logs: config.creates_logs,
            poll_threads: config.grpc_threads,
            ..ServerOptions::new(config.listen, access.transport, access.policy)
        };
        match Server::start(options, Arc::clone(&logs)) {
            Ok(server) => {
                let address = SocketAddr::new(config.listen.ip(), server.port());
                let series_max = config.metrics.series_max;
                let ops = Arc::new(Ops::new(Arc::clone(&logs), server.observer(), series_max));
                let http = watched::listen(&config.metrics, &ops);
                Ok(Self { config, address, logs, server, ops, http })
            }
            Err(error) => {
                // The reason why nothing is served counts; whatever else fails now is in the log.
                if let Err(error) = logs.close() {
                    log::error!("event=close_failed error={:?}", chain(&error));
                }
                Err(error.into())
            }
        }
    }

    /// Says that calls are taken, to people, programs and systemd.
    pub(super) fn announce(&self, is_json: bool) -> Result<(), CliError> {
        let address = self.address;
        let metrics = self.http.as_ref().map(HttpListener::address);
        let told = match (is_json, metrics) {
            (true, metrics) => output::json(&Listening { listening: address, metrics }),
            (false, None) => output::line(format_args!("listening on {address}")),
            (false, Some(at)) => output::line(format_args!(
                "listening on {address}\nmetrics and status on http://{at}/"
            )),
        };
        match told {
            // A server goes on without anyone who reads its output.
            Err(CliError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {}
            told => told?,
        }
        log::info!(
            "event=listening address={address} data={:?} logs={} version={}",
            self.config.data_dir,
            self.logs.list().len(),
            env!("CARGO_PKG_VERSION")
        );
        notify::ready(&self.status());
        Ok(())
    }

    /// Serves until a signal says to stop, and stops in order. So it does if its listener is deaf,
    /// and fails then: the next start can be reached again.
    pub(super) fn until_stopped(mut self, mut signals: Signals) -> Result<(), CliError> {
        let handle = signals.handle();
        if let Err(error) = self.server.watch_listener(move || handle.close()) {
            log::warn!("event=listener_unwatched error={:?}", error.to_string());
        }
        for signal in signals.forever() {
            if signal == SIGHUP {
                self.reload();
                continue;
            }
            let name = if signal == SIGINT { "SIGINT" } else { "SIGTERM" };
            log::info!("event=stopping signal={name}");
            return self.stop();
        }
        // Nobody else takes the signals away.
        let address = self.address;
        log::error!("event=listener_deaf address={address}");
        self.stop()?;
        Err(CliError::Deaf { address })
    }

    /// Reads certificates and policy again. They change together or not at all.
    fn reload(&self) {
        notify::reloading();
        match Access::load(&self.config) {
            Ok(access) => {
                for warning in access.warnings() {
                    log::warn!("event=check text={warning:?}");
                }
                access.apply(&self.server);
                self.ops.reloads().done();
                log::info!("event=reloaded");
                notify::ready(&self.status());
            }
            Err(error) => {
                self.ops.reloads().refused();
                log::error!("event=reload_refused kept=old error={:?}", chain(&error));
                notify::ready("reload refused, the old files stay in force: see the log");
            }
        }
    }

    /// Ends the calls, then closes the logs; each step is tried whatever became of the one before.
    fn stop(self) -> Result<(), CliError> {
        notify::stopping();
        let stopped = self.server.shutdown();
        if stopped.calls_cancelled || stopped.threads_left > 0 {
            log::warn!("event=calls_cancelled threads_left={}", stopped.threads_left);
        }
        // What is asked from now on would meet logs that close.
        drop(self.http);
        self.logs.close()?;
        log::info!("event=stopped");
        Ok(())
    }

    fn status(&self) -> String {
        format!("serving {} logs on {}", self.logs.list().len(), self.address)
    }
}

//! A running server, and what signals do to it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use signal_hook::consts::{SIGHUP, SIGINT};
use signal_hook::iterator::Signals;

use super::access::Access;
use super::interrupted::Told;
use super::settings::Settings;
use super::watch::{Seen, Watch};
use super::{fatal, notify, reload, watchdog, watched};
use crate::cli::error::CliError;
use crate::cli::output::{self, chain};
use crate::config::{Audit, Config};
use crate::log::{LogOverrides, Logs, Options, OsDisk};
use crate::ops::Ops;
use crate::ops::http::HttpListener;
use crate::own::AUDIT_LOG;
use crate::server::{Server, ServerOptions};

/// What connections cannot take: enough for the logs to begin segments and to open old ones when
/// strangers use up all descriptors.
const SPARE_DESCRIPTORS: usize = 64;

/// A server with the logs that it serves.
pub(super) struct Running {
    settings: Settings,
    /// As it was at the start.
    config: Config,
    address: SocketAddr,
    logs: Arc<Logs>,
    server: Server,
    /// `None` if nobody asked for it.
    watch: Option<Watch>,
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
    /// Recovers the logs and opens the listener. The files were `seen` before `access` was read.
    pub(super) fn start(
        settings: Settings,
        config: Config,
        (seen, access): (Seen, Access),
        told: Told,
    ) -> Result<Self, CliError> {
        notify::status("recovering logs");
        let storage = config.storage.clone();
        let opening = watchdog::while_opening(Arc::clone(&storage.progress)).ok();
        let storage = Options { on_fatal: Arc::new(fatal::on_fatal), ..storage };
        let disk = OsDisk::with_spare_descriptors(SPARE_DESCRIPTORS);
        let interruptible = told.end_while_opening().map_err(CliError::Thread)?;
        let logs = Logs::open(&config.data_dir, Arc::new(disk), storage)?;
        drop((opening, interruptible));
        let options = ServerOptions {
            limits: access.limits,
            legacy_404: config.legacy_404,
            creates_logs: config.creates_logs,
            slow_call: config.logging.slow_call,
            traces: config.logging.traces.clone(),
            audit: config.audit.map(kept),
            poll_threads: config.grpc_threads,
            ..ServerOptions::new(config.listen, access.transport, access.rules)
        };
        match Server::start(options, Arc::clone(&logs)) {
            Ok(server) => {
                let address = SocketAddr::new(config.listen.ip(), server.port());
                let watch = config.watch_every.and_then(|every| watch(seen, every));
                let series_max = config.metrics.series_max;
                let ops = Arc::new(Ops::new(Arc::clone(&logs), server.observer(), series_max));
                let http = watched::listen(&config.metrics, &ops);
                Ok(Self { settings, config, address, logs, server, watch, ops, http })
            }
            Err(error) => {
                // The reason why nothing is served counts; whatever else fails now is in the log.
                if let Err(error) = logs.close() {
                    log::error!(error:% = chain(&error); "close_failed");
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
            address:%, data:% = self.config.data_dir.display(), logs = self.callers_logs(),
            version = env!("CARGO_PKG_VERSION");
            "listening"
        );
        notify::ready(&self.status());
        Ok(())
    }

    /// Serves until a signal says to stop, and stops in order. So it does if its listener is deaf,
    /// and fails then: the next start can be reached again.
    pub(super) fn until_stopped(mut self, mut signals: Signals) -> Result<(), CliError> {
        let _fed = watchdog::while_serving(self.server.vitals()).inspect_err(|error| {
            log::warn!(error:% = error.to_string(); "watchdog_unfed");
        });
        let handle = signals.handle();
        if let Err(error) = self.server.watch_listener(move || handle.close()) {
            log::warn!(error:% = error.to_string(); "listener_unwatched");
        }
        for signal in signals.forever() {
            if signal == SIGHUP {
                self.reload();
                continue;
            }
            let name = if signal == SIGINT { "SIGINT" } else { "SIGTERM" };
            log::info!(signal:% = name; "stopping");
            return self.stop();
        }
        // Nobody else takes the signals away.
        let address = self.address;
        log::error!(address:%; "listener_deaf");
        self.stop()?;
        Err(CliError::Deaf { address })
    }

    /// Reads the files again. What they say changes together or not at all.
    fn reload(&self) {
        notify::reloading();
        match reload::read(&self.settings, &self.config) {
            Ok((config, access)) => {
                access.apply(&self.server);
                if let Some(watch) = &self.watch {
                    watch.look_at(config.reloaded_files());
                }
                self.ops.reloads().done();
                self.server.note_reload(None);
                notify::ready(&self.status());
            }
            Err(error) => {
                self.ops.reloads().refused();
                let why = chain(&error);
                self.server.note_reload(Some(&why));
                notify::ready(&format!(
                    "serving by the old files, the new ones are refused: {why}"
                ));
            }
        }
    }

    /// Ends the calls, then closes the logs; each step is tried whatever became of the one before.
    fn stop(self) -> Result<(), CliError> {
        notify::stopping();
        let stopped = self.server.shutdown();
        if stopped.calls_cancelled || stopped.threads_left > 0 {
            log::warn!(threads_left = stopped.threads_left; "calls_cancelled");
        }
        // What is asked from now on would meet logs that close.
        drop(self.http);
        self.logs.close()?;
        log::info!("stopped");
        Ok(())
    }

    fn status(&self) -> String {
        format!("serving {} logs on {}", self.callers_logs(), self.address)
    }

    /// How many logs there are beside the server's own.
    fn callers_logs(&self) -> usize {
        self.logs.list().iter().filter(|log| log.name() != AUDIT_LOG).count()
    }
}

/// How the log of who changed what is kept.
fn kept(audit: Audit) -> LogOverrides {
    LogOverrides {
        retention_age: Some(audit.retention_age.unwrap_or_default()),
        retention_bytes: Some(audit.retention_bytes),
        ..LogOverrides::default()
    }
}

fn watch(seen: Seen, every: Duration) -> Option<Watch> {
    let started = Watch::start(seen, every);
    started.inspect_err(|e| log::warn!(error:% = e.to_string(); "watch_failed")).ok()
}

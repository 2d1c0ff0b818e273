//! Every key of the configuration: its name, unit, default and range, in the order of the sample.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::audit::{self, Audit};
use super::error::ConfigError;
use super::logging::{self, Logging};
use super::metrics::{self, Metrics};
use super::typed::{Effective, Origin, Typed};
use crate::log::{
    BATCH_BYTES_LIMIT, INDEX_BYTES_MIN, LogSettings, Options, SEGMENT_BYTES_LIMIT,
    SEGMENT_BYTES_MIN,
};
use crate::server::default_poll_threads;
use crate::service::Limits;
use crate::tls::Subject;

/// What flags set; each wins over its key in the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Over `listen`.
    pub listen: Option<String>,
    /// Over `metrics.listen`.
    pub metrics: Option<String>,
    /// Over `data_dir`.
    pub data_dir: Option<PathBuf>,
    /// Over `tls.cert`.
    pub cert: Option<PathBuf>,
    /// Over `tls.key`.
    pub key: Option<PathBuf>,
    /// Over `tls.client_ca`.
    pub client_ca: Option<PathBuf>,
    /// Over `acl.file`.
    pub acl: Option<PathBuf>,
    /// Over `insecure.plaintext`, if set.
    pub plaintext: bool,
}

/// Every key's value, each checked by itself.
pub(super) struct Keys {
    pub(super) listen: SocketAddr,
    pub(super) data_dir: PathBuf,
    pub(super) cert: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) client_ca: Option<PathBuf>,
    pub(super) crl: Option<PathBuf>,
    pub(super) crl_required: bool,
    pub(super) deny_list: Option<PathBuf>,
    pub(super) acl: Option<PathBuf>,
    pub(super) storage: Options,
    pub(super) limits: Limits,
    pub(super) watch_every: Option<Duration>,
    pub(super) legacy_404: bool,
    pub(super) creates_logs: bool,
    pub(super) grpc_threads: usize,
    pub(super) metrics: Metrics,
    pub(super) logging: Logging,
    pub(super) audit: Option<Audit>,
    pub(super) plaintext: bool,
    pub(super) plaintext_subject: Subject,
    pub(super) effective: Vec<Effective>,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// The C core cannot take a larger message.
const MESSAGE_BYTES_LIMIT: u32 = 1 << 30;
/// More readers of one log would not fit the message that lists them.
const READERS_LIMIT: usize = 5000;
/// A record with its framing fits a batch.
const RECORD_BYTES_LIMIT: usize = 63 << 20;
const ANY_BYTES: RangeInclusive<u64> = 0..=1024 * 1024 * GIB;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Keys {
    /// Reads all keys; `data_dir` is the folder of data if nobody sets one.
    pub(super) fn read(
        mut typed: Typed<'_>,
        overrides: &Overrides,
        data_dir: (&Path, Origin),
    ) -> Result<Self, ConfigError> {
        let listen = typed.text(
            "listen",
            overrides.listen.as_deref(),
            SocketAddr::from(([127, 0, 0, 1], 8400)),
            "an IP address and a port such as \"127.0.0.1:8400\" or \"[::1]:8400\"",
            |text| text.parse().ok(),
        )?;
        let data_dir = typed.path_or("data_dir", overrides.data_dir.as_deref(), data_dir)?;
        let cert = typed.path("tls.cert", overrides.cert.as_deref())?;
        let key = typed.path("tls.key", overrides.key.as_deref())?;
        let client_ca = typed.path("tls.client_ca", overrides.client_ca.as_deref())?;
        let crl = typed.path("tls.crl", None)?;
        let crl_required = typed.switch("tls.crl_required", false)?;
        let deny_list = typed.path("tls.deny_list", None)?;
        let acl = typed.path("acl.file", overrides.acl.as_deref())?;
        let defaults = log(&mut typed)?;
        let storage = storage(&mut typed, defaults)?;
        let creates_logs = typed.switch("storage.create_logs", false)?;
        let limits = limits(&mut typed)?;
        let storage = Options { producers_max: producers_max(&mut typed)?, ..storage };
        let watch_every =
            typed.duration_or_never("reload.watch_every", None, Duration::from_secs(1)..=DAY)?;
        let legacy_404 = typed.switch("grpc.legacy_404", false)?;
        let grpc_threads = typed.number("grpc.threads", default_poll_threads(), 1..=64)?;
        let metrics = metrics::read(&mut typed, overrides.metrics.as_deref())?;
        let logging = logging::read(&mut typed)?;
        let storage = Options { slow_sync: logging.slow_sync, ..storage };
        let audit = audit::read(&mut typed)?;
        let (plaintext, plaintext_subject) = plaintext(&mut typed, overrides.plaintext)?;
        Ok(Self {
            listen,
            data_dir,
            cert,
            key,
            client_ca,
            crl,
            crl_required,
            deny_list,
            acl,
            storage,
            limits,
            watch_every,
            legacy_404,
            creates_logs,
            grpc_threads,
            metrics,
            logging,
            audit,
            plaintext,
            plaintext_subject,
            effective: typed.finish()?,
        })
    }
}

/// `[insecure]`: whether everyone is one subject, and which.
fn plaintext(typed: &mut Typed<'_>, flag: bool) -> Result<(bool, Subject), ConfigError> {
    let plaintext = typed.switch_or_flag("insecure.plaintext", flag)?;
    let subject = typed.text(
        "insecure.subject",
        None,
        Subject::new("anonymous").expect("printable ASCII"),
        "1 to 255 printable ASCII characters such as \"anonymous\"",
        |text| Subject::new(text).ok(),
    )?;
    Ok((plaintext, subject))
}

/// `[log]`: what a log gets that sets nothing itself.
fn log(typed: &mut Typed<'_>) -> Result<LogSettings, ConfigError> {
    let default = LogSettings::default();
    Ok(LogSettings {
        segment_bytes_max: typed.bytes(
            "log.segment_bytes_max",
            default.segment_bytes_max,
            SEGMENT_BYTES_MIN..=SEGMENT_BYTES_LIMIT,
        )?,
        index_bytes_max: typed.bytes(
            "log.index_bytes_max",
            default.index_bytes_max,
            INDEX_BYTES_MIN..=GIB,
        )?,
        segment_age_max: typed.duration_or_never(
            "log.segment_age_max",
            None,
            Duration::from_secs(1)..=3650 * DAY,
        )?,
        batch_bytes_max: typed.bytes(
            "log.batch_bytes_max",
            default.batch_bytes_max,
            1..=BATCH_BYTES_LIMIT,
        )?,
        record_bytes_max: None,
        retention_bytes: some(typed.bytes("log.retention_bytes", 0, ANY_BYTES)?),
        retention_age: typed.duration_or_never(
            "log.retention_age",
            None,
            Duration::from_secs(1)..=3650 * DAY,
        )?,
        retain_for_readers_bytes: some(typed.bytes(
            "log.retain_for_readers_bytes",
            0,
            ANY_BYTES,
        )?),
        archive: typed.switch("log.archive", default.archive)?,
    })
}

/// A number of bytes of which zero means none.
fn some(bytes: u64) -> Option<u64> {
    Some(bytes).filter(|bytes| *bytes > 0)
}

/// `[storage]`: how all logs are kept.
fn storage(typed: &mut Typed<'_>, defaults: LogSettings) -> Result<Options, ConfigError> {
    let default = Options::default();
    Ok(Options {
        flushers: typed.number("storage.flushers", default.flushers, 1..=256)?,
        sync_delay_max: typed.duration(
            "storage.sync_delay_max",
            default.sync_delay_max,
            Duration::from_millis(1)..=Duration::from_secs(60),
        )?,
        pending_bytes_max: typed.bytes(
            "storage.pending_bytes_max",
            default.pending_bytes_max,
            64 * KIB..=16 * GIB,
        )?,
        min_free_bytes: typed.bytes(
            "storage.min_free_bytes",
            default.min_free_bytes,
            MIB..=16 * 1024 * GIB,
        )?,
        open_segments_max: typed.number(
            "storage.open_segments_max",
            default.open_segments_max,
            8..=100_000,
        )?,
        busy_segments_max: default.busy_segments_max,
        leaving_logs_max: default.leaving_logs_max,
        logs_max: typed.number("storage.logs_max", default.logs_max, 1..=100_000)?,
        producers_max: default.producers_max,
        readers_per_log_max: typed.number(
            "limits.readers_per_log_max",
            default.readers_per_log_max,
            1..=READERS_LIMIT,
        )?,
        slow_sync: default.slow_sync,
        strict: typed.switch("storage.strict", default.strict)?,
        scrub_bytes_per_s: typed.bytes(
            "storage.scrub_bytes_per_s",
            default.scrub_bytes_per_s,
            0..=16 * GIB,
        )?,
        archive: typed.path("storage.archive_directory", None)?,
        defaults,
        time: default.time,
        progress: default.progress,
        on_fatal: default.on_fatal,
    })
}

/// `[limits]`: how much may go on at once.
fn limits(typed: &mut Typed<'_>) -> Result<Limits, ConfigError> {
    const MANY: RangeInclusive<usize> = 1..=1_000_000;
    let default = Limits::default();
    let mut many = |key, default| typed.number(key, default, MANY);
    Ok(Limits {
        streams_per_connection_max: many(
            "limits.streams_per_connection_max",
            default.streams_per_connection_max,
        )?,
        streams_per_subject_max: many(
            "limits.streams_per_subject_max",
            default.streams_per_subject_max,
        )?,
        streams_max: many("limits.streams_max", default.streams_max)?,
        calls_per_subject_max: many("limits.calls_per_subject_max", default.calls_per_subject_max)?,
        calls_max: many("limits.calls_max", default.calls_max)?,
        queued_reads_max: many("limits.queued_reads_max", default.queued_reads_max)?,
        stream_unacknowledged_max: many(
            "limits.stream_unacknowledged_max",
            default.stream_unacknowledged_max,
        )?,
        stream_unacknowledged_bytes_max: typed.bytes(
            "limits.stream_unacknowledged_bytes_max",
            default.stream_unacknowledged_bytes_max,
            1 << 10..=1 << 30,
        )?,
        record_bytes_max: typed.bytes(
            "limits.record_bytes_max",
            default.record_bytes_max,
            1..=RECORD_BYTES_LIMIT,
        )?,
        message_bytes_max: typed.bytes(
            "limits.message_bytes_max",
            default.message_bytes_max,
            1024..=MESSAGE_BYTES_LIMIT,
        )?,
        append_bytes_per_subject_per_s: typed.bytes(
            "limits.append_bytes_per_subject_per_s",
            default.append_bytes_per_subject_per_s,
            0..=1024 * GIB,
        )?,
        appends_per_subject_per_s: typed.number(
            "limits.appends_per_subject_per_s",
            default.appends_per_subject_per_s,
            0..=1_000_000_000,
        )?,
    })
}

/// In `[limits]`, as users know it; what keeps it is the storage.
fn producers_max(typed: &mut Typed<'_>) -> Result<usize, ConfigError> {
    let default = Options::default().producers_max;
    typed.number("limits.producers_per_log_max", default, 1..=1_000_000)
}

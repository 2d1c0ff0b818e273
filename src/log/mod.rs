//! The log: append-only records with consecutive offsets, durable once they are acknowledged.
//!
//! Records come and go as opaque bytes, a batch at a time. [`Logs`] is a data directory, [`Log`]
//! one named log in it; `docs/FORMAT.md` describes the files and `docs/ARCHITECTURE.md` the way of
//! a record through these modules. A file imports only from floors below its own:
//!
//! | floor | files |
//! |---|---|
//! | 0 | offset, producer, error, codec, width, names, clock, settings, latency, pace, |
//! | | parallel, busy, progress |
//! | 1 | disk, seed, frame, reached, store header, footer |
//! | 2 | lock, copies, store, scan, prefix, index, fill, watermark, group |
//! | 3 | chunk, files, segment, times, producers, intake, active, checkpoint, lines, meta, age, |
//! | | readers, trash, archive, archived, retention, counters |
//! | 4 | recovery, verify, glance |
//! | 5 | engine, scrub, writer, prepared, commit log, flusher, housekeeper, logs, |
//! | | restore, floors |

mod active;
mod age;
mod archive;
mod archived;
mod busy;
mod checkpoint;
mod chunk;
mod clock;
mod codec;
mod commit_log;
mod copies;
mod counters;
mod disk;
mod engine;
mod error;
mod files;
mod fill;
#[cfg(feature = "floors")]
#[doc(hidden)]
pub mod floors;
mod flusher;
mod footer;
mod frame;
mod glance;
mod group;
mod housekeeper;
mod index;
mod intake;
mod latency;
mod lines;
mod lock;
mod logs;
mod meta;
mod names;
mod offset;
mod pace;
mod parallel;
mod prefix;
mod prepared;
mod producer;
mod producers;
mod progress;
mod reached;
mod readers;
mod recovery;
mod restore;
mod retention;
mod scan;
mod scrub;
mod seed;
mod segment;
mod settings;
mod store;
mod store_header;
mod times;
mod trash;
mod verify;
mod watermark;
mod width;
mod writer;

pub use archived::{ArchivedBatch, ArchivedBatches, ArchivedError, ArchivedSegment};
#[cfg(feature = "server")]
pub(crate) use busy::Busy;
pub use chunk::{Chunk, StoredBatch};
pub use clock::{HostTime, SimTime, TimeSource};
pub use commit_log::{
    Append, BackedUp, Description, Log, Observation, SegmentSummary, Summary, Trimmed,
};
pub use counters::Work;
pub use disk::{Disk, File, Lock, Map, Op, OsDisk, Owner, SimDisk, Tear};
pub use error::{
    AckError, AppendError, BackUpError, CreateError, DeleteError, FatalError, IoError, OpenError,
    ReadError, ReaderError, SequenceError, Stopped, TrimError, UpdateError,
};
pub use glance::{Glance, glance};
pub use group::{Pending, Predecessor, Woken};
pub use latency::Percentiles;
pub use logs::{CloseError, DEFAULT_LOG, Logs, MadeBackup, back_up_at_rest};
pub use names::{BackupName, LOG_NAME_BYTES_MAX, LogName, NameError, ReaderName};
pub use offset::{Bounds, Durability, LogId, Offset};
pub use producer::{Producer, ProducerId};
pub use producers::PRODUCER_BATCHES_MAX;
pub use progress::{OpenProgress, Opened};
pub use readers::{Reader, ReaderAction, ReaderOrder};
pub use recovery::{RepairKind, RepairOptions, RepairStep, Repaired, repair};
pub use restore::{Cut, Restore, RestoreError, RestoredLog};
pub use scrub::Scrubbed;
pub use settings::{
    BATCH_BYTES_LIMIT, INDEX_BYTES_MIN, LogOverrides, LogSettings, MAPS_MAX, Options,
    SEGMENT_BYTES_LIMIT, SEGMENT_BYTES_MIN, SettingError,
};
pub use store_header::FORMAT_VERSION;
pub use verify::{Fault, Meaning, Verified, VerifiedLog, VerifyProgress, verify};
pub use watermark::Past;

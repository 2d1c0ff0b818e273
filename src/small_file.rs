//! Reads small files whole: certificates, lists, a configuration.
//!
//! A server reads them again while it serves, on the thread that takes its signals. There nothing
//! may hold that up: neither a pipe into which nobody writes, nor a device that has no end.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;
use thiserror::Error;

/// What the name of a file may stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Whatever has an end, such as what another command writes into a pipe. It is waited for.
    Any,
    /// A regular file, or `/dev/null`.
    #[cfg(feature = "server")]
    Regular,
}

/// Why there are no bytes.
#[derive(Debug, Error)]
pub(crate) enum Unread {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it is not a regular file")]
    NotAFile,
    #[error("it is larger than {bytes_max} bytes")]
    TooLarge { bytes_max: u64 },
}

impl From<Unread> for io::Error {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Io(error) => error,
            Unread::NotAFile => Self::new(ErrorKind::InvalidInput, unread),
            Unread::TooLarge { .. } => Self::new(ErrorKind::FileTooLarge, unread),
        }
    }
}

/// The bytes of the file at `path`, at most `bytes_max`, and its metadata, which is that of the
/// opened file, so that it belongs to the bytes.
pub(crate) fn read(
    path: &Path,
    source: Source,
    bytes_max: u64,
) -> Result<(Vec<u8>, Metadata), Unread> {
    let mut options = File::options();
    if source != Source::Any {
        // To open a pipe waits for somebody who writes into it.
        options.custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed());
    }
    let file = options.read(true).open(path)?;
    let metadata = file.metadata()?;
    if source != Source::Any && !metadata.is_file() && !is_null(&metadata) {
        return Err(Unread::NotAFile);
    }
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).map_or(true, |read| read > bytes_max) {
        return Err(Unread::TooLarge { bytes_max });
    }
    Ok((bytes, metadata))
}

/// Whether it is `/dev/null`, by which people say that a file is to be empty.
fn is_null(metadata: &Metadata) -> bool {
    metadata.rdev() == rustix::fs::makedev(1, 3)
}

#[cfg(test)]
#[cfg(feature = "server")]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    fn text(path: &Path, source: Source) -> Result<String, Unread> {
        read(path, source, 4).map(|(bytes, _)| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn files_are_read_up_to_a_size() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for source in [Source::Any, Source::Regular] {
            fs::write(&path, "1234").unwrap();
            assert_eq!(text(&path, source).unwrap(), "1234");
            fs::write(&path, "12345").unwrap();
            assert!(matches!(text(&path, source), Err(Unread::TooLarge { bytes_max: 4 })));
            let missing = text(&directory.path().join("missing"), source);
            assert!(matches!(missing, Err(Unread::Io(e)) if e.kind() == ErrorKind::NotFound));
        }
    }

    #[test]
    fn a_device_is_read_at_a_start_alone_and_never_without_an_end() {
        let zero = Path::new("/dev/zero");
        assert!(matches!(text(zero, Source::Any), Err(Unread::TooLarge { .. })));
        assert!(matches!(text(zero, Source::Regular), Err(Unread::NotAFile)));
        for source in [Source::Any, Source::Regular] {
            assert_eq!(text(Path::new("/dev/null"), source).unwrap(), "");
        }
    }

    #[test]
    fn a_pipe_is_waited_for_or_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        let mode = rustix::fs::Mode::RWXU;
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0).unwrap();
        assert!(matches!(text(&path, Source::Regular), Err(Unread::NotAFile)));
        let reading = {
            let path = path.clone();
            std::thread::spawn(move || text(&path, Source::Any))
        };
        let mut pipe = File::options().write(true).open(&path).unwrap();
        pipe.write_all(b"12").unwrap();
        drop(pipe);
        assert_eq!(reading.join().unwrap().unwrap(), "12");
    }
}

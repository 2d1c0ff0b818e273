//! Waiting on a socket, for so long and not longer, and never beyond the stop.

use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// Tells of the stop when it is dropped.
#[derive(Debug)]
pub(super) struct Stopper {
    _writer: PipeWriter,
}

/// What the stop is told to: a pipe, so that it can be waited for beside a socket.
#[derive(Debug)]
pub(super) struct Stop(PipeReader);

pub(super) fn pair() -> io::Result<(Stopper, Stop)> {
    let (reader, writer) = io::pipe()?;
    Ok((Stopper { _writer: writer }, Stop(reader)))
}

/// A connection, and how long whatever is done with it may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience<'a> {
    pub(super) stream: &'a TcpStream,
    pub(super) stop: &'a Stop,
    pub(super) deadline: Option<Instant>,
}

impl Stop {
    /// Waits until `socket` has something to take.
    ///
    /// # Errors
    ///
    /// `TimedOut` after the deadline, `Interrupted` after the stop.
    pub(super) fn until_readable(
        &self,
        socket: &impl AsFd,
        deadline: Option<Instant>,
    ) -> io::Result<()> {
        self.until(Some((socket.as_fd(), PollFlags::IN)), deadline)
    }

    /// Waits for `time`.
    ///
    /// # Errors
    ///
    /// `Interrupted` after the stop.
    pub(super) fn wait(&self, time: Duration) -> io::Result<()> {
        match self.until(None, Some(Instant::now() + time)) {
            Err(e) if e.kind() == ErrorKind::TimedOut => Ok(()),
            other => other,
        }
    }

    fn until(
        &self,
        socket: Option<(BorrowedFd<'_>, PollFlags)>,
        deadline: Option<Instant>,
    ) -> io::Result<()> {
        loop {
            let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
            let timeout = left.map(Timespec::try_from).transpose().map_err(io::Error::other)?;
            let stop = PollFd::new(&self.0, PollFlags::IN);
            let waited = match &socket {
                Some((socket, flags)) => {
                    let mut both = [stop, PollFd::from_borrowed_fd(*socket, *flags)];
                    poll(&mut both, timeout.as_ref()).map(|ready| (ready, both[0].revents()))
                }
                None => {
                    let mut alone = [stop];
                    poll(&mut alone, timeout.as_ref()).map(|ready| (ready, alone[0].revents()))
                }
            };
            match waited {
                Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
                Ok((0, _)) => return Err(ErrorKind::TimedOut.into()),
                Ok((_, stopped)) if !stopped.is_empty() => {
                    return Err(ErrorKind::Interrupted.into());
                }
                Ok(_) => return Ok(()),
            }
        }
    }
}

impl Patience<'_> {
    /// Reads what there is, once there is something; 0 bytes at the end.
    pub(super) fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        let mut stream = self.stream;
        loop {
            self.stop.until_readable(stream, self.deadline)?;
            match stream.read(into) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                other => return other,
            }
        }
    }

    pub(super) fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        let mut stream = self.stream;
        while !bytes.is_empty() {
            match stream.write(bytes) {
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.stop.until(Some((stream.as_fd(), PollFlags::OUT)), self.deadline)?;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Takes what still comes, up to `bytes_max`, until the client has left.
    pub(super) fn drain(&self, bytes_max: usize) -> io::Result<()> {
        let mut left = bytes_max;
        let mut taken = [0; 1024];
        while left > 0 {
            match self.read(&mut taken)? {
                0 => break,
                bytes => left = left.saturating_sub(bytes),
            }
        }
        Ok(())
    }
}

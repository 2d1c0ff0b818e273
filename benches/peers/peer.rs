//! What a protocol has to tell so that the works can be done over it.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

/// Bytes that are read at once.
const READ_BYTES: usize = 256 * 1024;

/// How a peer is spoken to. A value is one connection's reading side.
pub(crate) trait Protocol: Send + Sized + 'static {
    /// Where the peer listens unless it is told otherwise.
    const PORT: u16;
    /// Records of the best batch.
    const BATCH_RECORDS: usize;
    /// Records that may be unacknowledged at best.
    const WINDOW: usize;

    /// Connects and says hello.
    fn connect() -> io::Result<Self>;

    /// Makes an empty log.
    fn reset(&mut self) -> io::Result<()>;

    /// Prepares a connection to append.
    fn begin_to_append(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// What tells this connection from the others, where the protocol needs that.
    fn id(&self) -> usize {
        0
    }

    /// The bytes that append `count` times `value` on the connection `id`, the first of them as
    /// record number `first`.
    fn encode(id: usize, out: &mut Vec<u8>, first: usize, count: usize, value: &[u8]);

    /// Reads until more is acknowledged, and returns how many records that is.
    fn acknowledged(&mut self) -> io::Result<usize>;

    /// Begins to read the log from its start; `is_tail` if it is to be followed.
    fn begin_to_read(&mut self, is_tail: bool) -> io::Result<()>;

    /// Reads on, and calls `each` with each value.
    fn read(&mut self, each: &mut dyn FnMut(&[u8])) -> io::Result<()>;

    fn wire(&mut self) -> &mut Wire;
}

/// A connection.
pub(crate) struct Wire {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Wire {
    pub(crate) fn open(port: u16) -> io::Result<Self> {
        let writer = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port)))?;
        writer.set_nodelay(true)?;
        Ok(Self { reader: BufReader::with_capacity(READ_BYTES, writer.try_clone()?), writer })
    }

    /// The side that writes, for another thread.
    pub(crate) fn writer(&self) -> io::Result<TcpStream> {
        self.writer.try_clone()
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes)
    }

    /// Reads a line, without its end, into `line`.
    pub(crate) fn line(&mut self, line: &mut Vec<u8>) -> io::Result<()> {
        line.clear();
        if self.reader.read_until(b'\n', line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.trim_ascii_end().len());
        Ok(())
    }

    /// Fills `buffer` with the next `count` bytes.
    pub(crate) fn take(&mut self, count: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
        buffer.resize(count, 0);
        self.reader.read_exact(buffer)
    }
}

/// The peer does not say what it should.
pub(crate) fn odd(what: &str, said: &[u8]) -> io::Error {
    io::Error::other(format!("{what}: {}", String::from_utf8_lossy(said)))
}

/// A decimal number.
pub(crate) fn number(digits: &[u8]) -> io::Result<i64> {
    let text = str::from_utf8(digits).map_err(io::Error::other)?;
    text.trim().parse().map_err(io::Error::other)
}

//! How many connections wait to be accepted on a listener, from the kernel's table of sockets.
//!
//! The core hands out no listener, and a connection made for a try would succeed without anyone who
//! accepts it. A line of `/proc/self/net/tcp` has its columns apart by blanks: number, local
//! address, remote address, state, queues, and some more of which the tenth is the inode. Numbers
//! are hexadecimal but for the inode. The second queue of a listener is its backlog.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};

use crate::fail_points::fail_point;

const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
const OWN_FILES: &str = "/proc/self/fd";
/// `TCP_LISTEN`.
const LISTENS: &str = "0A";

/// Where the kernel keeps the backlog of a listener of this process.
#[derive(Debug)]
pub(super) struct Backlog {
    table: &'static str,
    inode: u64,
}

/// A listener's line.
#[derive(Debug, PartialEq, Eq)]
struct Listener {
    port: u16,
    waiting: u32,
    inode: u64,
}

impl Backlog {
    /// Finds the listener of this process on `port`.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is none, else what `/proc` answered.
    pub(super) fn of(port: u16) -> io::Result<Self> {
        fail_point!("backlog::of", fails);
        let own = own_sockets()?;
        for table in TABLES {
            let listener =
                find(table, |listener| listener.port == port && own.contains(&listener.inode))?;
            if let Some(Listener { inode, .. }) = listener {
                return Ok(Self { table, inode });
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// How many connections wait now. Takes a file descriptor for a moment.
    pub(super) fn waiting(&self) -> io::Result<u32> {
        fail_point!("backlog::waiting", fails);
        let listener = find(self.table, |listener| listener.inode == self.inode)?;
        listener.map(|listener| listener.waiting).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// The inodes of this process's sockets.
fn own_sockets() -> io::Result<HashSet<u64>> {
    let mut inodes = HashSet::new();
    for entry in fs::read_dir(OWN_FILES)? {
        // One that was closed meanwhile is no listener.
        let Ok(target) = fs::read_link(entry?.path()) else { continue };
        inodes.extend(target.to_str().and_then(inode_of));
    }
    Ok(inodes)
}

/// The inode in `socket:[INODE]`.
fn inode_of(target: &str) -> Option<u64> {
    target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The first listener of `table` that is `wanted`. The kernel lists them before the connections, so
/// that few lines are read.
fn find(table: &str, wanted: impl Fn(&Listener) -> bool) -> io::Result<Option<Listener>> {
    let lines = match File::open(table) {
        Ok(file) => BufReader::new(file).lines(),
        // A host without IPv6.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    for line in lines {
        let listener = read(&line?).filter(|listener| wanted(listener));
        if listener.is_some() {
            return Ok(listener);
        }
    }
    Ok(None)
}

/// The listener that `line` is about, if it is about one.
fn read(line: &str) -> Option<Listener> {
    let mut columns = line.split_ascii_whitespace().skip(1);
    let (_, port) = columns.next()?.rsplit_once(':')?;
    if columns.nth(1)? != LISTENS {
        return None;
    }
    let (_, waiting) = columns.next()?.split_once(':')?;
    Some(Listener {
        port: u16::from_str_radix(port, 16).ok()?,
        waiting: u32::from_str_radix(waiting, 16).ok()?,
        inode: columns.nth(4)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_line_is_read_by_its_columns() {
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt ";
        assert_eq!(read(head), None);
        let listens = "   0: 0100007F:20D0 00000000:0000 0A 00000000:0000001F 00:00000000 00000000 \
                       0        0 104342 1 0000000000000000 100 0 0 10 0";
        assert_eq!(read(listens), Some(Listener { port: 8400, waiting: 31, inode: 104_342 }));
        assert_eq!(read(&listens.replace(" 0A ", " 01 ")), None);
    }

    #[test]
    fn r16_connections_that_nobody_accepts_are_counted() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            // A host without IPv6 has nothing to count there.
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let address = listener.local_addr().unwrap();
            let backlog = Backlog::of(address.port()).unwrap();
            assert_eq!(backlog.waiting().unwrap(), 0);
            let _waiting = [(); 3].map(|()| TcpStream::connect(address).unwrap());
            assert_eq!(backlog.waiting().unwrap(), 3);
            let _accepted = listener.accept().unwrap();
            assert_eq!(backlog.waiting().unwrap(), 2);
            drop(listener);
            assert_eq!(backlog.waiting().unwrap_err().kind(), io::ErrorKind::NotFound);
        }
    }

    #[test]
    fn what_listens_elsewhere_is_not_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        assert_eq!(Backlog::of(port).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}

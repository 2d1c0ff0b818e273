//! How many connections wait to be accepted on a listener of this process.
//!
//! The core hands out no listener, and a connection made for a try would succeed without anyone who
//! accepts it. So the listener is looked for among the open descriptors, and the kernel is asked:
//! of a listening socket `tcpi_unacked` in TCP_INFO is the length of its backlog (Linux,
//! `net/ipv4/tcp.c`). The kernel's table of sockets in `/proc` would not show one that systemd
//! opened for a service with a network of its own.

use std::fs::{self, File};
use std::io;
use std::mem;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd, RawFd};

use rustix::net::sockopt::socket_acceptconn;

use crate::fail_points::fail_point;

const OWN_FILES: &str = "/proc/self/fd";

/// A listener of this process.
#[derive(Debug)]
pub(super) struct Backlog {
    /// A descriptor of its own, so that the number is no other file's later.
    listener: OwnedFd,
}

impl Backlog {
    /// Finds the listener of this process on `port`.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is none, else what the kernel answered.
    pub(super) fn of(port: u16) -> io::Result<Self> {
        fail_point!("backlog::of", fails);
        listener(|address| address.port() == port)
    }

    /// How many connections wait now.
    ///
    /// # Errors
    ///
    /// Also if this process or the host has no descriptor left: then nobody can accept either, and
    /// a backlog says nothing about the listener.
    pub(super) fn waiting(&self) -> io::Result<u32> {
        fail_point!("backlog::waiting", fails);
        let _there_is_one_left = File::open(OWN_FILES)?;
        tcp_info(&self.listener).map(|info| info.tcpi_unacked)
    }
}

/// Whether this process has a listener at `address` already, which somebody passed to it. Any IPv4
/// address is any IPv6 address there: the core takes both for the same.
pub(crate) fn is_passed(address: SocketAddr) -> io::Result<bool> {
    let is_it = |other: SocketAddr| {
        let is_same = other.ip().to_canonical() == address.ip().to_canonical();
        let are_any = other.ip().is_unspecified() && address.ip().is_unspecified();
        other.port() == address.port() && (is_same || are_any)
    };
    match listener(is_it) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The listener with this number, which somebody passed to this process; `None` if it is none.
pub(crate) fn passed(number: RawFd) -> Option<TcpListener> {
    listening(number).map(TcpListener::from)
}

/// The first listener of this process whose address is `wanted`.
fn listener(wanted: impl Fn(SocketAddr) -> bool) -> io::Result<Backlog> {
    for entry in fs::read_dir(OWN_FILES)? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(listener) = number.and_then(listening) else { continue };
        let address = rustix::net::getsockname(&listener)?;
        if SocketAddr::try_from(address).is_ok_and(&wanted) {
            return Ok(Backlog { listener });
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// A descriptor of our own for the listening socket behind this one; `None` if it is anything else.
#[allow(unsafe_code)]
fn listening(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: the number is not -1, as it was listed, and is used at once. Should somebody close it
    // meanwhile, the kernel says so, or it is another file of this process, which is looked at.
    let file = unsafe { BorrowedFd::borrow_raw(number) };
    if !socket_acceptconn(file).unwrap_or(false) {
        return None;
    }
    let own = file.try_clone_to_owned().ok()?;
    // It may have become another one since.
    socket_acceptconn(&own).unwrap_or(false).then_some(own)
}

#[allow(unsafe_code)]
fn tcp_info(socket: &OwnedFd) -> io::Result<libc::tcp_info> {
    // SAFETY: the structure is numbers alone, for which zeros are valid.
    let mut info: libc::tcp_info = unsafe { mem::zeroed() };
    let mut bytes = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).unwrap_or_default();
    // SAFETY: the pointers are to live values, and the kernel writes at most as many bytes as it is
    // told that there are; an older one writes fewer.
    let failed = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut bytes,
        )
    };
    if failed == 0 { Ok(info) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, TcpStream};

    use super::*;

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
        }
    }

    #[test]
    fn what_listens_elsewhere_is_not_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert!(is_passed(address).unwrap());
        drop(listener);
        assert_eq!(Backlog::of(address.port()).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(!is_passed(address).unwrap());
    }

    #[test]
    fn any_address_is_the_same_in_both_families_and_no_other() {
        let Ok(listener) = TcpListener::bind("[::]:0") else { return };
        let port = listener.local_addr().unwrap().port();
        let passed = |ip: IpAddr| is_passed(SocketAddr::new(ip, port)).unwrap();
        assert!(passed("::".parse().unwrap()) && passed("0.0.0.0".parse().unwrap()));
        assert!(!passed("127.0.0.1".parse().unwrap()));
    }
}

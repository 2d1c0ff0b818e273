//! Who listens where the server is to listen: the kernel's tables of sockets, without a try, which
//! would take the port from a server that starts at that moment.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use super::case::Case;
use super::finding::Finding;
use crate::cli::exit::{IO, TAKEN};
use crate::log::Owner;

/// The state `LISTEN` in the tables.
const LISTEN: &str = "0A";

/// A socket that listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Socket {
    address: SocketAddr,
    user: u32,
    inode: u64,
}

/// What is known of who else may listen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Neighbours {
    /// Who has the data directory, which is the server.
    pub(super) owner: Option<Owner>,
    /// Whether systemd opens the ports.
    pub(super) has_sockets: bool,
}

/// Looks at the addresses of `case`.
pub(super) fn look(case: &Case, neighbours: Neighbours) -> Vec<Finding> {
    let sockets = sockets();
    let addresses =
        [("port", Some(case.config.listen)), ("metrics_port", { case.config.metrics.listen })];
    let addresses = addresses.into_iter().filter_map(|(check, at)| at.map(|at| (check, at)));
    let judged = addresses.map(|(check, address)| {
        let socket = sockets.iter().find(|socket| conflict(address, socket.address));
        let finding = match socket {
            Some(socket) => taken(check, address, holder(*socket, neighbours)),
            None => free(check, address, neighbours.owner.is_some())
                .or_else(|| privileged(case, check, address))
                .unwrap_or_else(|| unbindable(check, address)),
        };
        // Without metrics a server starts all the same.
        if check == "port" { finding } else { Finding { serve_exit_code: None, ..finding } }
    });
    judged.collect()
}

/// Every socket that listens in this network namespace.
fn sockets() -> Vec<Socket> {
    let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    tables.into_iter().flat_map(|path| parse(&read(path))).collect()
}

/// A row is `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode`.
fn parse(table: &str) -> Vec<Socket> {
    let row = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if fields.get(3) != Some(&LISTEN) {
            return None;
        }
        let (ip, port) = fields.get(1)?.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        Some(Socket {
            address: SocketAddr::new(ip_of(ip)?, port),
            user: fields.get(7)?.parse().ok()?,
            inode: fields.get(9)?.parse().ok()?,
        })
    };
    table.lines().filter_map(row).collect()
}

/// Addresses are words of four bytes, each as the host's processor has them in memory.
fn ip_of(digits: &str) -> Option<IpAddr> {
    let words = (0..digits.len()).step_by(8).map(|at| {
        let word = u32::from_str_radix(digits.get(at..at + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    });
    let bytes: Vec<u8> = words.collect::<Option<Vec<_>>>()?.concat();
    if let Ok(four) = <[u8; 4]>::try_from(bytes.as_slice()) {
        return Some(Ipv4Addr::from(four).into());
    }
    let sixteen = <[u8; 16]>::try_from(bytes.as_slice()).ok()?;
    Some(Ipv6Addr::from(sixteen).to_canonical())
}

/// Whether both cannot be listened on at once. Any IPv6 address takes the IPv4 addresses as well.
fn conflict(wanted: SocketAddr, other: SocketAddr) -> bool {
    let is_any = wanted.ip().is_unspecified() || other.ip().is_unspecified();
    let is_same = wanted.ip().to_canonical() == other.ip().to_canonical();
    wanted.port() != 0 && wanted.port() == other.port() && (is_any || is_same)
}

/// Whose a socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Holder {
    /// The server that has the data directory.
    Server(u32),
    /// systemd, for the server.
    Systemd,
    /// A program by its name.
    Other(String),
    /// Of this user, and no more is to be seen.
    Unknown(u32),
}

fn holder(socket: Socket, neighbours: Neighbours) -> Holder {
    let server = neighbours.owner.and_then(|owner| owner.pid);
    if let Some(pid) = server.filter(|pid| has(*pid, socket.inode) == Ok(true)) {
        return Holder::Server(pid);
    }
    if neighbours.has_sockets {
        return Holder::Systemd;
    }
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    match numbers.into_iter().find(|pid| has(*pid, socket.inode) == Ok(true)) {
        Some(pid) => {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            Holder::Other(format!("{} (process {pid})", name.trim()))
        }
        None => Holder::Unknown(socket.user),
    }
}

/// Whether the process has the socket open.
fn has(pid: u32, inode: u64) -> Result<bool, io::ErrorKind> {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).map_err(|error| error.kind())?;
    let name = format!("socket:[{inode}]");
    let mut links = files.flatten().filter_map(|file| fs::read_link(file.path()).ok());
    Ok(links.any(|link| link.to_str() == Some(&name)))
}

fn taken(check: &'static str, address: SocketAddr, holder: Holder) -> Finding {
    match holder {
        Holder::Server(pid) => {
            Finding::ok(check, format!("the server of this data, process {pid}, has {address}"))
        }
        Holder::Systemd => Finding::ok(check, format!("systemd has {address} for the server")),
        Holder::Other(who) => {
            let found = format!("{address} is taken by {who}");
            let remedy = "stop that program, or name another address";
            Finding::fault(check, found, remedy).ends_serve(TAKEN)
        }
        Holder::Unknown(user) => {
            let why = format!("{address} is taken by a process of user {user}; which, needs root");
            Finding::not_looked_at(check, why)
        }
    }
}

/// `None` if more is to be asked before it is called free.
fn free(check: &'static str, address: SocketAddr, has_server: bool) -> Option<Finding> {
    if address.port() == 0 {
        return Some(Finding::note(check, format!("{address}: each start takes another port")));
    }
    has_server.then(|| {
        let found = format!(
            "nobody listens on {address}, and a server has the data: it recovers, or was started \
             with other flags"
        );
        Finding::note(check, found)
    })
}

fn privileged(case: &Case, check: &'static str, address: SocketAddr) -> Option<Finding> {
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").ok()?;
    let first: u16 = first.trim().parse().ok()?;
    if case.servant.is_root() || address.port() >= first {
        return None;
    }
    let found = format!("{address}: ports below {first} are for root, not for {}", case.user());
    Some(Finding::fault(check, found, "name a higher port").ends_serve(IO))
}

/// Whether the host has the address is tried with another port.
fn unbindable(check: &'static str, address: SocketAddr) -> Finding {
    match TcpListener::bind(SocketAddr::new(address.ip(), 0)) {
        Ok(_) => Finding::ok(check, format!("{address} is free")),
        Err(error) => {
            let found = format!("cannot listen on {address}: {error}");
            let remedy = "name an address that this host has: `ip address` lists them";
            Finding::fault(check, found, remedy).ends_serve(IO)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;
    use crate::cli::doctor::finding::Verdict;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_kernels_table_tells_who_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let six = TcpListener::bind("[::1]:0").unwrap();
        let known = sockets();
        for listener in [&listener, &six] {
            let address = listener.local_addr().unwrap();
            let socket = known.iter().find(|socket| socket.address == address).unwrap();
            let pid = std::process::id();
            assert_eq!(has(pid, socket.inode), Ok(true), "{}", listener.as_raw_fd());
            let owner = Some(Owner { pid: Some(pid) });
            let neighbours = Neighbours { owner, has_sockets: false };
            assert_eq!(holder(*socket, neighbours), Holder::Server(pid));
            let other = holder(*socket, Neighbours { owner: None, has_sockets: false });
            assert!(matches!(other, Holder::Other(_)), "{other:?}");
        }
        assert_eq!(parse("  sl  local_address\n junk\n"), []);
    }

    #[test]
    fn any_address_conflicts_with_each() {
        let pairs = [
            ("127.0.0.1:8400", "127.0.0.1:8400", true),
            ("127.0.0.1:8400", "127.0.0.1:8401", false),
            ("127.0.0.1:8400", "127.0.0.2:8400", false),
            ("127.0.0.1:8400", "[::]:8400", true),
            ("0.0.0.0:8400", "10.0.0.1:8400", true),
            ("[::ffff:127.0.0.1]:8400", "127.0.0.1:8400", true),
            ("127.0.0.1:0", "0.0.0.0:0", false),
        ];
        for (wanted, other, is_conflict) in pairs {
            assert_eq!(conflict(at(wanted), at(other)), is_conflict, "{wanted} {other}");
        }
    }

    #[test]
    fn a_port_is_ours_or_somebody_elses() {
        let judge = |holder| taken("port", at("127.0.0.1:8400"), holder);
        assert_eq!(judge(Holder::Server(7)).verdict, Verdict::Ok);
        assert_eq!(judge(Holder::Systemd).verdict, Verdict::Ok);
        let other = judge(Holder::Other("nginx (process 7)".to_owned()));
        assert_eq!((other.verdict, other.serve_exit_code), (Verdict::Fault, Some(TAKEN)));
        assert_eq!(judge(Holder::Unknown(7)).verdict, Verdict::NotLookedAt);
        let free = |address, has_server| free("port", at(address), has_server).map(|f| f.verdict);
        assert_eq!(free("127.0.0.1:0", false), Some(Verdict::Note));
        assert_eq!(free("127.0.0.1:1", true), Some(Verdict::Note));
        assert_eq!(free("127.0.0.1:1", false), None);
        assert_eq!(unbindable("port", at("127.0.0.1:1")).verdict, Verdict::Ok);
        assert_eq!(unbindable("port", at("203.0.113.1:1")).serve_exit_code, Some(IO));
    }
}

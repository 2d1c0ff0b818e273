//! The journal's own protocol: an event with its fields, each of which can be asked for.
//!
//! A datagram per event: `KEY=value` lines, and for a value with a newline the key, a newline, its
//! length in 8 bytes, little endian, the value and a newline. Source: systemd's description of its
//! native journal protocol. A library for these forty lines would bring a dozen others.

use std::io;
use std::os::unix::net::UnixDatagram;

use super::event::{Event, Field};
use super::{form, priority};

const SOCKET: &str = "/run/systemd/journal/socket";
/// Whose fields they are: `VARVE_EVENT`, `VARVE_LOG`.
const PREFIX: &str = "VARVE_";

/// The way to the journal. All calls may run concurrently.
#[derive(Debug)]
pub(super) struct Journal(UnixDatagram);

impl Journal {
    /// # Errors
    ///
    /// If there is no journal to be had.
    pub(super) fn connect() -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(SOCKET)?;
        Ok(Self(socket))
    }

    /// # Errors
    ///
    /// If the journal takes nothing; the event is to be told in another way then.
    pub(super) fn send(&self, event: &Event, module: &str) -> io::Result<()> {
        self.0.send(&entry(event, module)).map(drop)
    }
}

fn entry(event: &Event, module: &str) -> Vec<u8> {
    let mut entry = Vec::new();
    put(&mut entry, "MESSAGE", &form::text(event));
    put(&mut entry, "PRIORITY", &priority(event.level).to_string());
    put(&mut entry, "SYSLOG_IDENTIFIER", "varve");
    put(&mut entry, "VARVE_EVENT", &event.name);
    put(&mut entry, "VARVE_MODULE", module);
    for (key, field) in &event.fields {
        let (Field::Text(value) | Field::Bare(value)) = field;
        put(&mut entry, &format!("{PREFIX}{}", key.to_ascii_uppercase()), value);
    }
    entry
}

fn put(entry: &mut Vec<u8>, key: &str, value: &str) {
    entry.extend(key.as_bytes());
    if value.contains('\n') {
        entry.push(b'\n');
        let length = u64::try_from(value.len()).unwrap_or(u64::MAX);
        entry.extend(length.to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend(value.as_bytes());
    entry.push(b'\n');
}

#[cfg(test)]
mod tests {
    use log::Level;
    use log::kv::Value;

    use super::super::event::tests::event;
    use super::*;

    #[test]
    fn each_field_can_be_asked_for() {
        let fields = [("log", Value::from("orders")), ("untold", Value::from(3))];
        let entry = entry(&event(Level::Warn, "denied", &fields), "varve::audit");
        assert_eq!(
            String::from_utf8(entry).unwrap(),
            "MESSAGE=level=warn event=denied log=orders untold=3\nPRIORITY=4\n\
             SYSLOG_IDENTIFIER=varve\nVARVE_EVENT=denied\nVARVE_MODULE=varve::audit\n\
             VARVE_LOG=orders\nVARVE_UNTOLD=3\n"
        );
    }

    #[test]
    fn a_value_cannot_be_taken_for_another_field() {
        let fields = [("subject", Value::from("a\nPRIORITY=0"))];
        let entry = entry(&event(Level::Info, "denied", &fields), "varve::audit");
        let told = b"VARVE_SUBJECT\n\x0c\0\0\0\0\0\0\0a\nPRIORITY=0\n";
        assert!(entry.ends_with(told), "{:?}", entry.escape_ascii().to_string());
        let before = entry.strip_suffix(told).unwrap();
        let mut lines = before.split(|byte| *byte == b'\n');
        assert!(lines.all(|line| !line.starts_with(b"PRIORITY=0")));
    }
}

//! NATS JetStream, over its text protocol. It has no batches: what goes out together is many
//! publishes.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::peer::{Protocol, Wire, number, odd};

/// No verbosity, and headers, which flow control comes in.
const HELLO: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"protocol\":1,\
    \"lang\":\"bench\",\"version\":\"0\"}\r\n";
const STREAM: &str = r#"{"name":"bench","subjects":["bench.>"],"storage":"file",
    "retention":"limits","max_consumers":-1,"max_msgs":-1,"max_bytes":-1,"max_age":0,
    "discard":"old","num_replicas":1}"#;
/// A consumer that is sent records at a subject.
const CONSUMER: &str = r#"{"stream_name":"bench","config":{"deliver_policy":"all",
    "deliver_subject":"SUBJECT","ack_policy":"none","replay_policy":"instant","max_deliver":1,
    "flow_control":true,"idle_heartbeat":5000000000,"num_replicas":1,"mem_storage":true}}"#;

pub(crate) struct Nats {
    wire: Wire,
    /// Its inbox is its own: all connections see what is sent to one.
    id: usize,
    line: Vec<u8>,
    body: Vec<u8>,
}

impl Protocol for Nats {
    const PORT: u16 = 4222;
    const BATCH_RECORDS: usize = 500;
    const WINDOW: usize = 16_000;

    fn connect() -> io::Result<Self> {
        static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);
        let id = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
        let (line, body) = (Vec::new(), Vec::new());
        let mut nats = Self { wire: Wire::open(Self::PORT)?, id, line, body };
        nats.wire.line(&mut nats.line)?;
        let subscriptions = format!("SUB _INBOX.{id}.* 1\r\nSUB _INBOX.d.{id} 2\r\n");
        nats.wire.send([HELLO, &subscriptions].concat().as_bytes())?;
        Ok(nats)
    }

    fn id(&self) -> usize {
        self.id
    }

    fn reset(&mut self) -> io::Result<()> {
        // It need not be there.
        self.ask("$JS.API.STREAM.DELETE.bench", "")?;
        self.ask("$JS.API.STREAM.CREATE.bench", STREAM)?;
        self.refuse_errors()
    }

    fn encode(id: usize, out: &mut Vec<u8>, _first: usize, count: usize, value: &[u8]) {
        let head = format!("PUB bench.s _INBOX.{id}.1 {}\r\n", value.len());
        for _ in 0..count {
            out.extend_from_slice(head.as_bytes());
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
    }

    fn acknowledged(&mut self) -> io::Result<usize> {
        self.message()?;
        if self.body.starts_with(b"{\"stream\"") { Ok(1) } else { Err(odd("nats", &self.body)) }
    }

    fn begin_to_read(&mut self, _is_tail: bool) -> io::Result<()> {
        // The answer and the first records may come in any order.
        let consumer = CONSUMER.replace("SUBJECT", &format!("_INBOX.d.{}", self.id));
        self.publish("$JS.API.CONSUMER.CREATE.bench", &consumer)
    }

    fn read(&mut self, each: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let message = self.message()?;
        match message.reply {
            // Nothing but headers: flow control, which wants an answer.
            Some(reply) if message.is_empty => {
                self.wire.send(format!("PUB {reply} 0\r\n\r\n").as_bytes())
            }
            _ if message.is_empty => Ok(()),
            _ if message.is_delivery => {
                each(&self.body[..self.body.len() - 2]);
                Ok(())
            }
            _ => self.refuse_errors(),
        }
    }

    fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }
}

/// A message whose body was read.
struct Message {
    reply: Option<String>,
    /// There is nothing but headers.
    is_empty: bool,
    is_delivery: bool,
}

impl Nats {
    fn publish(&mut self, subject: &str, body: &str) -> io::Result<()> {
        let (id, bytes) = (self.id, body.len());
        self.wire.send(format!("PUB {subject} _INBOX.{id}.0 {bytes}\r\n{body}\r\n").as_bytes())
    }

    fn ask(&mut self, subject: &str, body: &str) -> io::Result<()> {
        self.publish(subject, body)?;
        self.message().map(drop)
    }

    fn refuse_errors(&self) -> io::Result<()> {
        let has_error = self.body.windows(8).any(|part| part == b"\"error\":");
        if has_error { Err(odd("nats", &self.body)) } else { Ok(()) }
    }

    /// Reads on to the next message.
    fn message(&mut self) -> io::Result<Message> {
        let has_headers = loop {
            self.wire.line(&mut self.line)?;
            match &self.line[..] {
                line if line.starts_with(b"MSG ") => break false,
                line if line.starts_with(b"HMSG ") => break true,
                b"PING" => self.wire.send(b"PONG\r\n")?,
                line if line.starts_with(b"-ERR") => return Err(odd("nats", line)),
                _ => {}
            }
        };
        let words: Vec<_> = self.line.split(|byte| *byte == b' ').collect();
        let word = |place: usize| words.get(place).copied().unwrap_or_default();
        // The subject, the subscription, perhaps a reply subject, the headers' size, all bytes.
        let sizes = 1 + usize::from(has_headers);
        let reply = (words.len() == 3 + sizes + 1).then(|| String::from_utf8_lossy(word(3)).into());
        let bytes = number(word(words.len() - 1))?;
        let is_empty = has_headers && number(word(words.len() - 2))? == bytes;
        let is_delivery = word(2) == b"2";
        let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
        self.wire.take(bytes + 2, &mut self.body)?;
        Ok(Message { reply, is_empty, is_delivery })
    }
}

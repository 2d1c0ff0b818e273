//! RabbitMQ Streams, over its stream protocol. Values are sent as they are: the broker does not
//! look into them.

use std::io;

use super::peer::{Protocol, Wire, odd};

const DECLARE_PUBLISHER: u16 = 1;
const PUBLISH: u16 = 2;
const PUBLISH_CONFIRM: u16 = 3;
const PUBLISH_ERROR: u16 = 4;
const SUBSCRIBE: u16 = 7;
const DELIVER: u16 = 8;
const CREDIT: u16 = 9;
const CREATE: u16 = 13;
const DELETE: u16 = 14;
const PEER_PROPERTIES: u16 = 17;
const SASL_HANDSHAKE: u16 = 18;
const SASL_AUTHENTICATE: u16 = 19;
const TUNE: u16 = 20;
const OPEN: u16 = 21;
const OK: u16 = 1;
/// Chunks that the broker may send ahead.
const CREDITS: u16 = 20;
/// Where a chunk's entries begin in a delivery: behind the subscription and the chunk's header.
const ENTRIES_AT: usize = 49;

pub(crate) struct Rabbit {
    wire: Wire,
    frame: Vec<u8>,
    correlation: u32,
}

impl Protocol for Rabbit {
    const PORT: u16 = 5552;
    const BATCH_RECORDS: usize = 200;
    const WINDOW: usize = 20_000;

    fn connect() -> io::Result<Self> {
        let wire = Wire::open(Self::PORT)?;
        let mut rabbit = Self { wire, frame: Vec::new(), correlation: 0 };
        rabbit.call(PEER_PROPERTIES, &0_u32.to_be_bytes())?;
        rabbit.call(SASL_HANDSHAKE, &[])?;
        let credentials = b"\0guest\0guest";
        let mut plain = text("PLAIN");
        plain.extend((credentials.len() as u32).to_be_bytes());
        plain.extend(credentials);
        rabbit.call(SASL_AUTHENTICATE, &plain)?;
        while rabbit.next()? != TUNE {}
        // The frame size that it offers, and no heartbeats.
        let tuned = [&rabbit.frame[4..8], &[0; 4]].concat();
        rabbit.wire.send(&framed(TUNE, &tuned))?;
        rabbit.call(OPEN, &text("/"))?;
        Ok(rabbit)
    }

    fn reset(&mut self) -> io::Result<()> {
        let name = text("bench");
        // It need not be there.
        self.ask(DELETE, &name)?;
        self.call(CREATE, &[&name[..], &[0; 4]].concat())
    }

    fn begin_to_append(&mut self) -> io::Result<()> {
        // Without a name for the publisher nothing is deduplicated.
        self.call(DECLARE_PUBLISHER, &[&[0][..], &text(""), &text("bench")].concat())
    }

    fn encode(_id: usize, out: &mut Vec<u8>, first: usize, count: usize, value: &[u8]) {
        let bytes = 4 + 1 + 4 + count * (12 + value.len());
        out.extend((bytes as u32).to_be_bytes());
        out.extend(PUBLISH.to_be_bytes());
        out.extend(1_u16.to_be_bytes());
        out.push(0);
        out.extend((count as u32).to_be_bytes());
        for number in first..first + count {
            out.extend((number as u64).to_be_bytes());
            out.extend((value.len() as u32).to_be_bytes());
            out.extend_from_slice(value);
        }
    }

    fn acknowledged(&mut self) -> io::Result<usize> {
        loop {
            match self.next()? {
                PUBLISH_CONFIRM => return Ok(long(&self.frame[5..])? as usize),
                PUBLISH_ERROR => return Err(odd("rabbit", b"a record was refused")),
                _ => {}
            }
        }
    }

    fn begin_to_read(&mut self, _is_tail: bool) -> io::Result<()> {
        let from_the_first = 1_u16.to_be_bytes();
        let name = text("bench");
        let request =
            [&[0][..], &name, &from_the_first, &CREDITS.to_be_bytes(), &0_u32.to_be_bytes()];
        self.call(SUBSCRIBE, &request.concat())
    }

    fn read(&mut self, each: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        while self.next()? != DELIVER {}
        self.wire.send(&framed(CREDIT, &[&[0][..], &1_u16.to_be_bytes()].concat()))?;
        // The header and the subscription's number, the chunk's magic and type, then a count.
        let mut entries = short(&self.frame[4 + 1 + 2..])?;
        let mut rest = &self.frame[4 + ENTRIES_AT..];
        while entries > 0 {
            let bytes = long(rest)? as usize;
            each(&rest[4..4 + bytes]);
            rest = &rest[4 + bytes..];
            entries -= 1;
        }
        Ok(())
    }

    fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }
}

impl Rabbit {
    /// Sends a command and returns the code that it is answered with.
    fn ask(&mut self, command: u16, body: &[u8]) -> io::Result<u16> {
        self.correlation += 1;
        let request = [&self.correlation.to_be_bytes()[..], body].concat();
        self.wire.send(&framed(command, &request))?;
        while self.next()? != command {}
        short(&self.frame[8..])
    }

    fn call(&mut self, command: u16, body: &[u8]) -> io::Result<()> {
        match self.ask(command, body)? {
            OK => Ok(()),
            code => Err(odd("rabbit", format!("command {command} answered {code}").as_bytes())),
        }
    }

    /// Reads a frame and returns its command.
    fn next(&mut self) -> io::Result<u16> {
        self.wire.take(4, &mut self.frame)?;
        let bytes = long(&self.frame)? as usize;
        self.wire.take(bytes, &mut self.frame)?;
        // A response has the highest bit set.
        Ok(short(&self.frame)? & 0x7fff)
    }
}

fn framed(command: u16, body: &[u8]) -> Vec<u8> {
    let bytes = (body.len() + 4) as u32;
    [&bytes.to_be_bytes()[..], &command.to_be_bytes(), &1_u16.to_be_bytes(), body].concat()
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat()
}

fn short(bytes: &[u8]) -> io::Result<u16> {
    bytes.first_chunk().map(|chunk| u16::from_be_bytes(*chunk)).ok_or_else(cut)
}

fn long(bytes: &[u8]) -> io::Result<u32> {
    bytes.first_chunk().map(|chunk| u32::from_be_bytes(*chunk)).ok_or_else(cut)
}

fn cut() -> io::Error {
    odd("rabbit", b"a frame is too short")
}

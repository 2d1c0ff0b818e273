//! Redis Streams, over RESP2. A batch is a transaction of `XADD`s.

use std::io;

use super::peer::{Protocol, Wire, number, odd};

/// Entries that are asked for at once.
const READ_RECORDS: usize = 5000;

pub(crate) struct Redis {
    wire: Wire,
    line: Vec<u8>,
    bulk: Vec<u8>,
    /// The id of the last entry that was read.
    last: Vec<u8>,
    is_tail: bool,
}

impl Protocol for Redis {
    const PORT: u16 = 6379;
    const BATCH_RECORDS: usize = 1000;
    const WINDOW: usize = 2000;

    fn connect() -> io::Result<Self> {
        let (line, bulk, last) = (Vec::new(), Vec::new(), b"0-0".to_vec());
        Ok(Self { wire: Wire::open(Self::PORT)?, line, bulk, last, is_tail: false })
    }

    fn reset(&mut self) -> io::Result<()> {
        let mut command = Vec::new();
        put(&mut command, &[b"DEL", b"bench"]);
        self.wire.send(&command)?;
        self.reply(&mut |_| {}).map(drop)
    }

    fn encode(_id: usize, out: &mut Vec<u8>, _first: usize, count: usize, value: &[u8]) {
        let is_batch = count > 1;
        if is_batch {
            put(out, &[b"MULTI"]);
        }
        for _ in 0..count {
            put(out, &[b"XADD", b"bench", b"*", b"d", value]);
        }
        if is_batch {
            put(out, &[b"EXEC"]);
        }
    }

    fn acknowledged(&mut self) -> io::Result<usize> {
        let mut ids = 0;
        // `QUEUED` for each command of a transaction, and at its end all ids.
        while ids == 0 {
            self.reply(&mut |_| ids += 1)?;
        }
        Ok(ids)
    }

    fn begin_to_read(&mut self, is_tail: bool) -> io::Result<()> {
        self.is_tail = is_tail;
        Ok(())
    }

    fn read(&mut self, each: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let mut command = Vec::new();
        if self.is_tail {
            let read = [&b"XREAD"[..], b"BLOCK", b"5000", b"STREAMS", b"bench", &self.last];
            put(&mut command, &read);
        } else {
            let (from, count) = ([b"(", &self.last[..]].concat(), READ_RECORDS.to_string());
            put(&mut command, &[b"XRANGE", b"bench", &from, b"+", b"COUNT", count.as_bytes()]);
        }
        self.wire.send(&command)?;
        // An entry is its id, a field's name and its value; before all XREAD names the stream.
        let (mut place, mut last) = (0, std::mem::take(&mut self.last));
        let head = usize::from(self.is_tail);
        self.reply(&mut |bulk| {
            if place >= head {
                match (place - head) % 3 {
                    0 => {
                        last.clear();
                        last.extend_from_slice(bulk);
                    }
                    2 => each(bulk),
                    _ => {}
                }
            }
            place += 1;
        })?;
        self.last = last;
        if place == 0 { Err(odd("nothing to read behind", &self.last)) } else { Ok(()) }
    }

    fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }
}

impl Redis {
    /// Reads one reply of any shape; `each` gets every string of bytes.
    fn reply(&mut self, each: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let mut left = 1;
        while left > 0 {
            left -= 1;
            self.wire.line(&mut self.line)?;
            let (kind, rest) = self.line.split_first().ok_or_else(|| odd("an empty reply", b""))?;
            match kind {
                b'+' | b':' => {}
                b'*' => left += number(rest)?.max(0),
                b'$' => {
                    if let Ok(bytes) = usize::try_from(number(rest)?) {
                        self.wire.take(bytes + 2, &mut self.bulk)?;
                        each(&self.bulk[..bytes]);
                    }
                }
                _ => return Err(odd("redis", &self.line)),
            }
        }
        Ok(())
    }
}

fn put(out: &mut Vec<u8>, words: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

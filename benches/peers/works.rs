//! What is measured, over any of the protocols.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use serde_json::Value;

use super::Args;
use super::figures::{self, latencies, note};
use super::peer::{Protocol, odd};

/// Records that are not acknowledged.
#[derive(Default)]
struct Window {
    unacknowledged: Mutex<usize>,
    fewer: Condvar,
}

/// Appends in the best batches over one connection, with a thread that sends and one that takes the
/// acknowledgements.
pub(crate) fn append<P: Protocol>(args: &Args) -> io::Result<Value> {
    let mut peer = P::connect()?;
    peer.reset()?;
    peer.begin_to_append()?;
    let batch = args.batch_records.unwrap_or(P::BATCH_RECORDS);
    let (records, window) = (args.records, args.window.unwrap_or(P::WINDOW).max(batch));
    let (value, id, mut writer) = (value(args.record_bytes), peer.id(), peer.wire().writer()?);
    let waiting = Arc::new(Window::default());
    let shared = Arc::clone(&waiting);
    let began = Instant::now();
    let sender = thread::spawn(move || {
        let (mut sent, mut message) = (0, Vec::new());
        while sent < records {
            let count = batch.min(records - sent);
            shared.wait_for_room(count, window);
            message.clear();
            P::encode(id, &mut message, sent, count, &value);
            writer.write_all(&message)?;
            sent += count;
        }
        io::Result::Ok(())
    });
    let mut done = 0;
    while done < records {
        let count = peer.acknowledged()?;
        done += count;
        waiting.acknowledge(count, batch);
    }
    let took = began.elapsed();
    sender.join().unwrap()?;
    Ok(figures::of(records, took, &latencies()))
}

impl Window {
    fn wait_for_room(&self, count: usize, window: usize) {
        let mut unacknowledged = self.unacknowledged.lock();
        self.fewer.wait_while(&mut unacknowledged, |waiting| *waiting + count > window);
        *unacknowledged += count;
    }

    /// The sender is woken once there is room for another batch, not for each record.
    fn acknowledge(&self, count: usize, batch: usize) {
        let mut unacknowledged = self.unacknowledged.lock();
        let before = *unacknowledged / batch;
        *unacknowledged -= count;
        if *unacknowledged / batch < before {
            self.fewer.notify_one();
        }
    }
}

/// On each of some connections one record after the other, each sent when the one before it is
/// acknowledged. One thread goes round, so the client wakes up seldom; an acknowledgement counts
/// when its turn comes.
pub(crate) fn call<P: Protocol>(args: &Args) -> io::Result<Value> {
    let mut peers = (0..args.callers).map(|_| P::connect()).collect::<io::Result<Vec<_>>>()?;
    peers.first_mut().map_or(Ok(()), Protocol::reset)?;
    let (value, mut message) = (value(args.record_bytes), Vec::new());
    let mut latencies = latencies();
    let mut sent = Vec::new();
    for peer in &mut peers {
        peer.begin_to_append()?;
        sent.push(Instant::now());
    }
    let (began, mut records) = (Instant::now(), 0);
    let end = began + args.time();
    for (number, peer) in peers.iter_mut().enumerate() {
        sent[number] = send_one(peer, &mut message, records, &value)?;
    }
    while Instant::now() < end {
        for (number, peer) in peers.iter_mut().enumerate() {
            while peer.acknowledged()? == 0 {}
            note(&mut latencies, sent[number].elapsed());
            records += 1;
            sent[number] = send_one(peer, &mut message, records, &value)?;
        }
    }
    Ok(figures::of(records, began.elapsed(), &latencies))
}

fn send_one<P: Protocol>(
    peer: &mut P,
    message: &mut Vec<u8>,
    number: usize,
    value: &[u8],
) -> io::Result<Instant> {
    message.clear();
    P::encode(peer.id(), message, number, 1, value);
    let now = Instant::now();
    peer.wire().send(message)?;
    Ok(now)
}

/// Reads the records that `append` left.
pub(crate) fn read<P: Protocol>(args: &Args) -> io::Result<Value> {
    let mut peer = P::connect()?;
    let (mut records, mut misfits) = (0, 0);
    let began = Instant::now();
    peer.begin_to_read(false)?;
    while records < args.records {
        peer.read(&mut |value| {
            records += 1;
            misfits += usize::from(value.len() != args.record_bytes);
        })?;
    }
    let took = began.elapsed();
    if misfits > 0 {
        return Err(odd("values of another size", misfits.to_string().as_bytes()));
    }
    Ok(figures::of(records, took, &latencies()))
}

/// Appends at a rate, each record with the time when it was due, and reads them as they come.
pub(crate) fn tail<P: Protocol>(args: &Args) -> io::Result<Value> {
    let (mut reader, mut appender) = (P::connect()?, P::connect()?);
    reader.reset()?;
    reader.begin_to_read(true)?;
    appender.begin_to_append()?;
    let origin = Instant::now();
    let interval = Duration::from_nanos(1_000_000_000 / args.rate);
    let records = usize::try_from(args.rate * args.seconds).unwrap();
    let (id, mut writer) = (appender.id(), appender.wire().writer()?);
    let mut value = value(args.record_bytes.max(8));
    let sender = thread::spawn(move || {
        let mut message = Vec::new();
        for number in 0..records {
            let due = interval * u32::try_from(number).unwrap();
            thread::sleep(due.saturating_sub(origin.elapsed()));
            value[..8].copy_from_slice(&(due.as_nanos() as u64).to_le_bytes());
            message.clear();
            P::encode(id, &mut message, number, 1, &value);
            writer.write_all(&message)?;
        }
        io::Result::Ok(())
    });
    let acknowledger = thread::spawn(move || {
        let mut done = 0;
        while done < records {
            done += appender.acknowledged()?;
        }
        io::Result::Ok(())
    });
    let (mut latencies, mut seen) = (latencies(), 0);
    while seen < records {
        reader.read(&mut |value| {
            let due = Duration::from_nanos(u64::from_le_bytes(*value.first_chunk().unwrap()));
            note(&mut latencies, origin.elapsed().saturating_sub(due));
            seen += 1;
        })?;
    }
    let took = origin.elapsed();
    sender.join().unwrap()?;
    acknowledger.join().unwrap()?;
    Ok(figures::of(records, took, &latencies))
}

fn value(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|place| b'a' + (place * 7 % 26) as u8).collect()
}

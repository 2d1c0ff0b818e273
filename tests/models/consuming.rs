//! Consumers at the watermark, and in segments that come and go.

use shuttle::thread;
use varve::log::{Durability, Offset, ReadError, Stopped};

use crate::commit::{offset, produce, told};
use crate::explore::explore;
use crate::world::{World, roomy_segments, tiny_segments};

/// A consumer that reads from the start until it has read `count` batches.
fn consume(world: &World, count: usize) -> thread::JoinHandle<Vec<String>> {
    let world = world.clone();
    thread::spawn(move || {
        // What is written and not synced is not there.
        let early = |at| match world.read(at) {
            Ok(text) => Some(text),
            Err(ReadError::OutOfRange { .. }) => None,
            Err(other) => panic!("{other:?}"),
        };
        let late = |at| {
            let end = world.wait(world.log.past(at)).outcome.unwrap();
            assert!(end > at, "woken for {at:?} at {end:?}");
            world.read(at).unwrap()
        };
        (0..count).map(offset).map(|at| early(at).unwrap_or_else(|| late(at))).collect()
    })
}

/// Producers of two levels, and consumers who see all of it in one order.
fn produce_and_consume(world: &World) {
    let consumers = [consume(world, 4), consume(world, 4)];
    let levels = [Durability::Synced, Durability::Buffered];
    let producers = levels.into_iter().enumerate();
    let producers = producers.map(|(n, level)| produce(world, n, level)).collect();
    told(producers);
    let [one, two] = consumers.map(|consumer| consumer.join().unwrap());
    assert_eq!(one, two);
    assert_eq!(world.assert_kept(), one);
    world.close();
}

#[test]
fn r2_consumers_see_only_what_is_durable_and_all_of_it() {
    explore(
        "r2_consumers_see_only_what_is_durable_and_all_of_it",
        "2 producers and 2 consumers at the watermark",
        || produce_and_consume(&World::new(roomy_segments())),
    );
}

#[test]
fn r2_r4_a_log_rolls_while_it_is_written_and_read() {
    explore(
        "r2_r4_a_log_rolls_while_it_is_written_and_read",
        "2 producers and 2 consumers across rolls",
        || produce_and_consume(&World::new(tiny_segments())),
    );
}

#[test]
fn r2_r8_a_trim_takes_segments_from_under_readers_and_nothing_else() {
    explore(
        "r2_r8_a_trim_takes_segments_from_under_readers_and_nothing_else",
        "a trim, 2 readers and a producer",
        || {
            let world = World::new(tiny_segments());
            let before = told(vec![produce(&world, 0, Durability::Synced)]).len();
            told(vec![produce(&world, 1, Durability::Synced)]);
            let readers: Vec<_> = (0..2).map(|_| read_what_is_there(&world)).collect();
            let producer = produce(&world, 2, Durability::Synced);
            let trimmed = world.log.trim(offset(before + 1)).unwrap();
            assert_eq!(trimmed.start, offset(before), "whole segments");
            told(vec![producer]);
            readers.into_iter().for_each(|reader| reader.join().unwrap());
            assert_eq!(world.log.bounds().start, trimmed.start);
            let kept = world.assert_kept();
            assert_eq!(kept.len(), 6 - usize::try_from(trimmed.start.get()).unwrap());
            world.close();
        },
    );
}

/// Reads the first batches over and over, of which some are being trimmed.
fn read_what_is_there(world: &World) -> thread::JoinHandle<()> {
    let world = world.clone();
    thread::spawn(move || {
        for at in (0..24).map(|n| offset(n % 4)) {
            match world.log.read(at, 1) {
                Ok(chunk) => assert_eq!(chunk.batches().next().unwrap().base_offset, at),
                Err(ReadError::OutOfRange { start, end, .. }) => {
                    assert!(at < start && start <= end, "{at:?} is not below {start:?}");
                    assert!(world.log.bounds().start >= start);
                }
                Err(other) => panic!("{other:?}"),
            }
            // The oldest record of all is the start, as it moves.
            let oldest = world.log.offset_at_time(0).unwrap();
            assert!(oldest <= world.log.bounds().start);
        }
        world.read(offset(3)).unwrap();
    })
}

/// A consumer that goes on until the log stops.
pub fn consume_to_the_end(world: &World) -> thread::JoinHandle<(Vec<String>, Stopped)> {
    let world = world.clone();
    thread::spawn(move || {
        let mut seen = Vec::new();
        loop {
            let next: Offset = offset(seen.len());
            if let Err(stopped) = world.wait(world.log.past(next)).outcome {
                return (seen, stopped);
            }
            match world.read(next) {
                Ok(text) => seen.push(text),
                Err(ReadError::Deleted) => return (seen, Stopped::Deleted),
                Err(other) => panic!("{other:?}"),
            }
        }
    })
}

//! Producers that send the same batches at the same time: each is in the log once.

use shuttle::thread::{self, JoinHandle};
use varve::log::{Durability, Producer, ProducerId};

use crate::commit::told;
use crate::explore::explore;
use crate::world::{Told, World, tiny_segments};

/// Sends the batches of one producer in order, each once the one before was answered.
fn send(world: &World, level: Durability) -> JoinHandle<Vec<Told>> {
    let world = world.clone();
    thread::spawn(move || {
        let id = ProducerId::from_bytes([7; 16]).unwrap();
        let batch = |sequence| (format!("<batch {sequence}>"), Producer { id, epoch: 0, sequence });
        let send = |(text, producer): (String, _)| world.append_as(&text, level, Some(producer));
        (0..3).map(batch).map(send).collect()
    })
}

#[test]
fn r3_a_batch_that_is_sent_twice_at_once_is_appended_once() {
    explore(
        "r3_a_batch_that_is_sent_twice_at_once_is_appended_once",
        "one producer's batches sent by 3 threads",
        || {
            let world = World::new(tiny_segments());
            let levels = [Durability::Synced, Durability::Written, Durability::Synced];
            let senders = levels.map(|level| send(&world, level));
            let [one, two, three] = senders.map(|sender| told(vec![sender]));
            assert_eq!(one, two);
            assert_eq!(one, three);
            assert_eq!(world.assert_kept(), ["<batch 0>", "<batch 1>", "<batch 2>"]);
            world.close();
        },
    );
}

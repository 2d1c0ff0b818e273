//! Readers that commit their positions, while the logs are closed.

use shuttle::thread::{self, JoinHandle};
use varve::log::{Durability, Offset, ReaderAction, ReaderError, ReaderName, ReaderOrder};

use crate::commit::{offset, produce, told};
use crate::explore::explore;
use crate::world::{World, roomy_segments};

fn name(reader: usize) -> ReaderName {
    ReaderName::parse(&format!("reader-{reader}")).unwrap()
}

/// Commits each offset up to the end, and returns the last that was answered.
fn commit(world: &World, reader: usize) -> JoinHandle<Option<Offset>> {
    let world = world.clone();
    thread::spawn(move || {
        let mut answered = None;
        for at in (0..=2).map(offset) {
            let action = ReaderAction::Commit { offset: at, force: false };
            let subject = "someone".to_owned();
            let order = ReaderOrder { name: name(reader), subject, any_owner: false, action };
            match world.log.change_readers(&[order]).remove(0) {
                Ok(reader) => answered = Some(reader.offset),
                Err(ReaderError::Closed) => break,
                // Another thread of this reader's was ahead.
                Err(ReaderError::Ahead { current, .. }) => assert!(current > at),
                Err(other) => panic!("{other:?}"),
            }
        }
        answered
    })
}

#[test]
fn r5_r17_answered_commits_are_kept() {
    explore("r5_r17_answered_commits_are_kept", "3 readers' threads and a close", || {
        let world = World::new(roomy_segments());
        told(vec![produce(&world, 0, Durability::Synced)]);
        let readers = [0, 0, 1];
        let commits = readers.map(|reader| commit(&world, reader));
        world.close();
        let (_logs, log) = world.after_power_cut();
        for (reader, commit) in readers.into_iter().zip(commits) {
            let answered = commit.join().unwrap();
            let kept = log.reader(&name(reader)).unwrap().map(|reader| reader.offset);
            assert!(kept >= answered, "{answered:?} was answered, and {kept:?} was kept");
        }
    });
}

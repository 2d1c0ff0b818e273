//! The end of a log, and of all logs, while it is in use.

use shuttle::thread;
use varve::log::{Durability, Stopped};

use crate::commit::{produce, told};
use crate::consuming::consume_to_the_end;
use crate::explore::explore;
use crate::world::{Refused, Told, World, tiny_segments};

#[test]
fn r3_r17_a_close_finishes_what_was_taken_and_refuses_the_rest() {
    explore(
        "r3_r17_a_close_finishes_what_was_taken_and_refuses_the_rest",
        "a close under 2 producers and a consumer",
        || {
            let world = World::new(tiny_segments());
            let consumer = consume_to_the_end(&world);
            let levels = [Durability::Synced, Durability::Written];
            let producers = levels.into_iter().enumerate();
            let producers = producers.map(|(n, level)| produce(&world, n, level)).collect();
            world.logs.close().unwrap();
            let told = told(producers);
            let taken = told.iter().filter(|told| matches!(told, Told::Acknowledged(_))).count();
            let refused = |told: &&Told| **told == Told::Refused(Refused::Closed);
            assert_eq!(taken + told.iter().filter(refused).count(), told.len(), "{told:?}");
            let (seen, stopped) = consumer.join().unwrap();
            assert_eq!(stopped, Stopped::Closed);
            let kept = world.assert_kept();
            assert_eq!(kept.len(), taken, "all that was taken is durable, whatever its level");
            assert_eq!(seen, kept[..seen.len()]);
            world.close();
        },
    );
}

#[test]
fn r3_r8_a_deletion_tells_all_who_use_the_log() {
    explore(
        "r3_r8_a_deletion_tells_all_who_use_the_log",
        "a deletion under 2 producers and a consumer",
        || {
            let world = World::new(tiny_segments());
            let doomed = world.with_log("doomed");
            let consumer = consume_to_the_end(&doomed);
            let producers = (0..2).map(|n| produce(&doomed, n, Durability::Synced)).collect();
            let deleter = {
                let logs = world.logs.clone();
                thread::spawn(move || logs.delete("doomed", None, None).unwrap())
            };
            for told in told(producers) {
                let fine = matches!(told, Told::Acknowledged(_) | Told::Refused(Refused::Deleted));
                assert!(fine, "{told:?}");
            }
            deleter.join().unwrap();
            let (_, stopped) = consumer.join().unwrap();
            assert_eq!(stopped, Stopped::Deleted);
            // The name is free for another log, which has nothing of the first.
            let next = world.with_log("doomed");
            told(vec![produce(&next, 7, Durability::Synced)]);
            assert_eq!(next.assert_kept().len(), 2);
            world.close();
        },
    );
}

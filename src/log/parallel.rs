//! Does the same to many things at once, so that what waits for the disk shares its flushes.

use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Mutex, thread};

/// Has up to `threads` threads, this one among them, do `work` to each of `items`; returns what
/// came of it in their order.
pub(crate) fn each<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(items.len()));
    let run = || {
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(n) else {
                return;
            };
            let result = work(item);
            done.lock().push((n, result));
        }
    };
    thread::scope(|scope| {
        for n in 1..threads.min(items.len()) {
            // Without it the others have more to do.
            let _unstarted =
                thread::Builder::new().name(format!("many-{n}")).spawn_scoped(scope, run);
        }
        run();
    });
    let mut done = done.into_inner();
    done.sort_unstable_by_key(|(n, _)| *n);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_is_worked_on_once_and_results_keep_its_place() {
        let items: Vec<usize> = (0..1000).collect();
        for threads in [0, 1, 7] {
            let worked = AtomicUsize::new(0);
            let done = each(threads, &items, |n| {
                worked.fetch_add(1, Ordering::Relaxed);
                n * 2
            });
            assert_eq!(worked.into_inner(), items.len());
            assert!(done.into_iter().eq((0..1000).map(|n| n * 2)));
        }
    }
}

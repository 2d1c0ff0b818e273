//! Waits as a model's thread does: parked until it is woken, and every wake-up counted.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use shuttle::sync::Condvar;
use varve::log::{SimDisk, Tear};

/// One who waits, and what the disk held for good when they were woken last.
///
/// Nobody else wakes them: a thread that shuttle parks is woken by nobody now and then, and that
/// would hide a wake-up that was lost.
#[derive(Debug)]
pub struct Waiter {
    disk: SimDisk,
    parked: AtomicU32,
    wakes: shuttle::sync::Mutex<u32>,
    woken: Condvar,
    then: Mutex<Option<SimDisk>>,
}

impl Waiter {
    fn new(disk: &SimDisk) -> Self {
        let (parked, disk) = (AtomicU32::new(0), disk.clone());
        let (wakes, woken) = (shuttle::sync::Mutex::new(0), Condvar::new());
        Self { disk, parked, wakes, woken, then: Mutex::default() }
    }

    fn park(&self) {
        let parked = self.parked.fetch_add(1, Ordering::Relaxed) + 1;
        let wakes = self.wakes.lock().unwrap();
        drop(self.woken.wait_while(wakes, |wakes| *wakes < parked).unwrap());
    }

    /// They were told as often as they asked to be.
    pub fn assert_told_once(&self) {
        let (wakes, parked) = (*self.wakes.lock().unwrap(), self.parked.load(Ordering::Relaxed));
        assert_eq!(wakes, parked, "woken {wakes} times, and waited {parked} times");
    }
}

impl Wake for Waiter {
    fn wake(self: Arc<Self>) {
        let cut = self.disk.after_power_cut(Tear::LoseAll);
        *self.then.lock().unwrap() = Some(cut);
        *self.wakes.lock().unwrap() += 1;
        self.woken.notify_one();
    }
}

/// What a wait came to.
pub struct Waited<T> {
    pub outcome: T,
    /// What a power cut would have left when it was known.
    pub cut: SimDisk,
    pub waiter: Arc<Waiter>,
}

/// Blocks this thread until the future is ready.
pub fn wait<T: Future + Unpin>(disk: &SimDisk, mut future: T) -> Waited<T::Output> {
    let waiter = Arc::new(Waiter::new(disk));
    let waker = Waker::from(Arc::clone(&waiter));
    loop {
        match Pin::new(&mut future).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(outcome) => {
                let then = waiter.then.lock().unwrap().take();
                let cut = then.unwrap_or_else(|| disk.after_power_cut(Tear::LoseAll));
                return Waited { outcome, cut, waiter };
            }
            Poll::Pending => waiter.park(),
        }
    }
}

//! A thread that looks at something again and again, for as long as somebody wants to know.

use std::io;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

/// The thread; it ends with this value.
pub(super) struct Looking {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Looking {
    /// Has a thread called `name` look after each `every`, which is when it looks first.
    pub(super) fn start(
        name: &str,
        every: Duration,
        mut look: impl FnMut() + Send + 'static,
    ) -> io::Result<Self> {
        let (stop, stopped) = bounded::<()>(0);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                look();
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has ended the process.
            let _ended = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_ends_with_its_value() {
        let (tell, told) = bounded(0);
        let looking = Looking::start("test", Duration::from_millis(1), move || {
            let _heard = tell.send_timeout((), Duration::from_millis(1));
        });
        assert_eq!(told.recv(), Ok(()));
        drop(looking.unwrap());
        assert!(told.recv().is_err());
    }
}

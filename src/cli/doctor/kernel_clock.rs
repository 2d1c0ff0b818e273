//! What the kernel knows of its own clock: whether something keeps it right, and how far off it may
//! be (`adjtimex(2)`, which `rustix` does not have).

use std::io;
use std::mem;

/// The clock as the kernel judges it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KernelClock {
    /// Whether something, such as an NTP daemon, said lately that it is right.
    pub(super) is_synchronized: bool,
    /// The largest error that it may have, in microseconds.
    pub(super) error_max_us: u64,
}

impl KernelClock {
    pub(super) fn look() -> io::Result<Self> {
        // SAFETY: the structure is plain numbers, of which zeros are valid; with no mode set the
        // kernel changes nothing and fills it in.
        #[allow(unsafe_code)]
        let (state, clock) = unsafe {
            let mut clock: libc::timex = mem::zeroed();
            (libc::adjtimex(&raw mut clock), clock)
        };
        if state == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            is_synchronized: state != libc::TIME_ERROR && clock.status & libc::STA_UNSYNC == 0,
            error_max_us: u64::try_from(clock.maxerror).unwrap_or(u64::MAX),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_of_its_clock() {
        let clock = KernelClock::look().unwrap();
        // The kernel lets the error grow to 16 s and then calls the clock unsynchronized.
        assert!(clock.error_max_us <= 20_000_000, "{clock:?}");
        assert!(!clock.is_synchronized || clock.error_max_us < 16_000_000, "{clock:?}");
    }
}

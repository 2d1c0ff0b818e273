//! When to try again, and when to give up.

use std::time::{Duration, Instant};

use clap::Args;

use crate::cli::human;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How long a client tries again.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct RetryArgs {
    /// How long to try again after a connection broke or the server was busy; 0 not at all
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = human::duration)]
    retry_for: Duration,
}

/// The tries since the last success.
#[derive(Debug)]
pub(crate) struct Retry {
    limit: Duration,
    began: Option<Instant>,
    pause: Duration,
}

impl From<RetryArgs> for Retry {
    fn from(args: RetryArgs) -> Self {
        Self { limit: args.retry_for, began: None, pause: FIRST_PAUSE }
    }
}

impl Retry {
    /// Forgets the failures before: something went well.
    pub(crate) fn succeeded(&mut self) {
        (self.began, self.pause) = (None, FIRST_PAUSE);
    }

    /// Whether nothing went well since a failure.
    pub(crate) fn is_trying(&self) -> bool {
        self.began.is_some()
    }

    /// How long a client goes on trying.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// How long to wait after a failure at `now` before the next try, at least `at_least`; `None`
    /// once it is time to give up. Each wait is twice the one before, to a limit.
    pub(crate) fn after(&mut self, now: Instant, at_least: Duration) -> Option<Duration> {
        let began = *self.began.get_or_insert(now);
        let left = self.limit.checked_sub(now.saturating_duration_since(began))?;
        if left.is_zero() {
            return None;
        }
        let pause = self.pause.max(at_least).min(left);
        self.pause = self.pause.saturating_mul(2).min(LONGEST_PAUSE);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry(limit_s: u64) -> Retry {
        Retry::from(RetryArgs { retry_for: Duration::from_secs(limit_s) })
    }

    #[test]
    fn waits_double_to_a_limit_and_end_in_time() {
        let (mut retry, mut now) = (retry(10), Instant::now());
        let mut pauses_ms = Vec::new();
        while let Some(pause) = retry.after(now, Duration::ZERO) {
            pauses_ms.push(pause.as_millis());
            now += pause;
        }
        assert_eq!(pauses_ms, [100, 200, 400, 800, 1600, 2000, 2000, 2000, 900]);
    }

    #[test]
    fn a_success_begins_anew() {
        let (mut retry, now) = (retry(1), Instant::now());
        assert!(retry.after(now, Duration::ZERO).is_some());
        assert!(retry.after(now + Duration::from_secs(1), Duration::ZERO).is_none());
        retry.succeeded();
        assert!(!retry.is_trying());
        let again = retry.after(now + Duration::from_secs(1), Duration::ZERO);
        assert_eq!(again, Some(FIRST_PAUSE));
    }

    #[test]
    fn the_server_may_ask_for_a_longer_wait() {
        let (mut retry, now) = (retry(10), Instant::now());
        assert_eq!(retry.after(now, Duration::from_secs(5)), Some(Duration::from_secs(5)));
    }

    #[test]
    fn no_time_means_no_try() {
        assert_eq!(retry(0).after(Instant::now(), Duration::ZERO), None);
    }
}

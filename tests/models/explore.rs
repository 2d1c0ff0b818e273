//! Runs a model under many schedules, and says how to run the one that failed again.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use shuttle::scheduler::{
    PctScheduler, RandomScheduler, Scheduler, UncontrolledNondeterminismCheckScheduler,
};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

/// So many schedules come from one seed, because the second kind of scheduler learns from the first
/// of them how long a run is.
const PER_SEED: usize = 100;
/// What a model runs by itself.
const SCHEDULES: usize = 10_000;
const TIME: Duration = Duration::from_secs(6);
const SAY_EVERY: Duration = Duration::from_secs(5);
/// A run that takes more steps than this goes round in circles.
const STEPS_MAX: usize = 200_000;
/// The threads' stacks; the storage's own are larger.
const STACK_BYTES: usize = 256 << 10;

/// How cargo finds the model: the server's are among its own tests.
const SUITE: &str = if cfg!(feature = "server") {
    "--release --lib"
} else {
    "--no-default-features --test models"
};

/// Runs `model` under as many schedules as the environment says. The test that calls this is
/// `test`; `what` says what was tried.
///
/// Every other seed is random at each step. The others run the thread of the highest priority, and
/// change priorities at 1 to 5 places: that finds what needs one thread to be very late.
pub fn explore(test: &str, what: &str, model: fn()) {
    let started = Arc::new(AtomicUsize::new(0));
    if let Some(seed) = number("VARVE_REPLAY") {
        run(seed, PER_SEED, &started, model);
        return println!("cases: {PER_SEED} schedules of seed {seed}, {what}");
    }
    let asked = number("VARVE_SCHEDULES").map(|n| usize::try_from(n).unwrap());
    let schedules = asked.unwrap_or(SCHEDULES);
    let first = number("VARVE_SEED").unwrap_or_else(seed_of_the_moment);
    let (began, mut said) = (Instant::now(), Instant::now());
    let mut done = 0;
    while done < schedules && (asked.is_some() || began.elapsed() < TIME) {
        let seed = first.wrapping_add((done / PER_SEED) as u64);
        let count = PER_SEED.min(schedules - done);
        catch_unwind(AssertUnwindSafe(|| run(seed, count, &started, model))).unwrap_or_else(
            |panic| {
                let n = started.load(Ordering::Relaxed);
                say(&format!(
                    "{test} failed in schedule {n}; again by:\n  \
                     VARVE_REPLAY={seed} cargo test --features models {SUITE} {test}"
                ));
                resume_unwind(panic)
            },
        );
        done += count;
        if said.elapsed() >= SAY_EVERY {
            said = Instant::now();
            say(&format!("{test}: {done} of {schedules} schedules"));
        }
    }
    println!("cases: {done} schedules, {what}");
}

/// Runs `model` twice under each of some schedules: a schedule must say all that a run depends on,
/// or no failure could be run again.
pub fn assert_replays(model: fn()) {
    let schedules = RandomScheduler::new_from_seed(seed_of_the_moment(), PER_SEED);
    run_under(UncontrolledNondeterminismCheckScheduler::new(schedules), model);
    println!("cases: {PER_SEED} schedules, run twice");
}

fn run(seed: u64, schedules: usize, started: &Arc<AtomicUsize>, model: fn()) {
    let started = Arc::clone(started);
    let model = move || {
        started.fetch_add(1, Ordering::Relaxed);
        model();
    };
    if seed.is_multiple_of(2) {
        run_under(RandomScheduler::new_from_seed(seed, schedules), model);
    } else {
        let changes = 1 + usize::try_from(seed / 2 % 5).unwrap();
        run_under(PctScheduler::new_from_seed(seed, changes + 1, schedules), model);
    }
}

fn run_under(scheduler: impl Scheduler + 'static, model: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
    config.silence_warnings = true;
    // A seed says the same in less space.
    config.failure_persistence = FailurePersistence::None;
    Runner::new(scheduler, config).run(model);
}

/// Says something at once, also from a test whose output is held back.
fn say(line: &str) {
    let _unheard = writeln!(std::io::stderr().lock(), "{line}");
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}, which is no number")))
}

fn seed_of_the_moment() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    // Rounded, so that the seeds of two runs rarely meet.
    now.as_secs() * 1_000_000
}

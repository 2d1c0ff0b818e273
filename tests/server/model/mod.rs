//! The whole interface against a model: random calls of every kind to the real program, with stops
//! and kills in between, and after each call the answer that the model gives.
//!
//! `VARVE_MODEL_SEED` repeats a run, which a failure names; what a kill meets on its way differs
//! all the same. `VARVE_MODEL_STEPS` makes a run longer. `ledger` is the model, `making` makes up
//! requests, `rig` runs the program; `producing`, `consuming`, `readers`, `administering`,
//! `looking`, `lives` and `changing` are the kinds of steps. In `crowd` many clients act at once,
//! `keeper` among them.

mod administering;
mod changing;
mod consuming;
mod crowd;
mod keeper;
mod ledger;
mod lives;
mod looking;
mod making;
mod producing;
mod readers;
mod rig;
#[path = "../../rng.rs"]
mod rng;

use std::hash::{BuildHasher as _, RandomState};

use varve::log::DEFAULT_LOG;
use varve::proto::admin_service::LogSettings;

use self::ledger::Ledger;
use self::lives::End;
use self::making::Maker;
use self::rig::Rig;
use self::rng::Rng;

const SEED_VAR: &str = "VARVE_MODEL_SEED";
const STEPS_VAR: &str = "VARVE_MODEL_STEPS";

/// One server with what it must hold.
struct Walk {
    rng: Rng,
    maker: Maker,
    rig: Rig,
    ledgers: Vec<Ledger>,
    /// Logs that were deleted.
    gone: Vec<Ledger>,
    ends: Vec<End>,
    /// How many changes were under way at an end and not answered.
    lost_answers: u64,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Produce,
    ProduceStream,
    ProduceFirst,
    Consume,
    ConsumeStream,
    ConsumeFirst,
    Commit,
    LookAtReaders,
    DeleteReader,
    Create,
    Delete,
    Update,
    Trim,
    List,
    Describe,
    AskForOneGone,
    End(End),
}

const STEPS: [(u64, Step); 18] = [
    (30, Step::Produce),
    (8, Step::ProduceStream),
    (3, Step::ProduceFirst),
    (20, Step::Consume),
    (10, Step::ConsumeStream),
    (5, Step::ConsumeFirst),
    (8, Step::Commit),
    (4, Step::LookAtReaders),
    (1, Step::DeleteReader),
    (6, Step::Create),
    (6, Step::Delete),
    (4, Step::Update),
    (5, Step::Trim),
    (2, Step::List),
    (3, Step::Describe),
    (2, Step::AskForOneGone),
    (4, Step::End(End::Kill)),
    (2, Step::End(End::Stop)),
];

impl Walk {
    fn new(seed: u64) -> Self {
        let rig = Rig::new();
        let told = rig.look(DEFAULT_LOG).expect("a log that is always there");
        let default = Ledger::new(DEFAULT_LOG, &told.log.log_id, LogSettings::default());
        Self {
            rng: Rng::new(seed),
            maker: Maker::new(),
            rig,
            ledgers: vec![default],
            gone: Vec::new(),
            ends: Vec::new(),
            lost_answers: 0,
        }
    }

    /// The place of the log that has this name now.
    fn position(&self, name: &str) -> Option<usize> {
        self.ledgers.iter().position(|ledger| ledger.name == name)
    }

    fn step(&mut self, step: Step) {
        let log = self.rng.below(self.ledgers.len() as u64) as usize;
        match step {
            Step::Produce => self.produce(log),
            Step::ProduceStream => self.produce_stream(log),
            Step::ProduceFirst => self.produce_first(),
            Step::Consume => self.consume(log),
            Step::ConsumeStream => self.consume_stream(log),
            Step::ConsumeFirst => self.consume_first(),
            Step::Commit => self.commit(log),
            Step::LookAtReaders => self.look_at_readers(log),
            Step::DeleteReader => self.delete_reader(log),
            Step::Create => self.create(),
            Step::Delete => {
                self.delete(log);
                self.ask_for_the_last_gone();
            }
            Step::Update => self.update(log),
            Step::Trim => self.trim(log),
            Step::List => self.list(),
            Step::Describe => drop(self.describe(log)),
            Step::AskForOneGone => self.ask_for_one_gone(),
            Step::End(end) => self.end_life(end),
        }
    }
}

/// Says how to repeat a run that fails.
struct Repeat {
    seed: u64,
    steps: u64,
    doing: String,
}

impl Drop for Repeat {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { seed, steps, doing } = self;
            println!("failed at {doing}; repeat with {SEED_VAR}={seed} {STEPS_VAR}={steps}");
        }
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}: {text}")))
}

fn repeat(steps: u64) -> Repeat {
    let seed = variable(SEED_VAR).unwrap_or_else(|| RandomState::new().hash_one(0));
    Repeat { seed, steps: variable(STEPS_VAR).unwrap_or(steps), doing: "the start".to_owned() }
}

#[test]
fn r1_to_r5_r15_r17_what_is_read_is_what_was_answered_whatever_ends_the_server() {
    let mut repeat = repeat(600);
    let mut walk = Walk::new(repeat.seed);
    walk.outgrow_window(0);
    for n in 0..repeat.steps {
        let step = walk.rng.weighted(&STEPS);
        repeat.doing = format!("step {n}, {step:?}");
        walk.step(step);
    }
    repeat.doing = "the end".to_owned();
    for end in [End::Kill, End::Stop] {
        walk.end_life(end);
        (0..walk.ledgers.len()).for_each(|log| walk.read_all(log));
    }
    let kills = walk.ends.iter().filter(|end| **end == End::Kill).count();
    let all = || walk.gone.iter().chain(&walk.ledgers);
    let batches: usize = all().map(|ledger| ledger.entries.len()).sum();
    let lost: u64 = all().map(|ledger| ledger.lost).sum();
    let (steps, gone, unanswered) = (repeat.steps, walk.gone.len(), walk.lost_answers);
    println!("cases: {steps} steps, {kills} kills, {batches} batches kept, {lost} lost in memory");
    println!(
        "cases: {} logs, {gone} deleted; {unanswered} changes lost their answers",
        all().count()
    );
}

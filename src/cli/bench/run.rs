//! A run from its connections to its figures: warm up, measure, let what is in flight be answered.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_executor::block_on;
use futures_util::future::AbortHandle;
use grpcio::{Client, Environment};

use super::batch::{Batch, Stamp, Turns};
use super::consuming::{self, Consumer, Reading};
use super::error::BenchError;
use super::meter::{Done, Fault, Latencies, Meter};
use super::pace::Pace;
use super::plan::{Plan, What};
use super::process::{Memory, Process};
use super::producing::{self, Producer};
use crate::cli::client::connection::Connection;
use crate::cli::client::error::ClientError;
use crate::cli::error::CliError;
use crate::cli::human::about_us;
use crate::cli::interrupt::{Interrupt, Signal};
use crate::cli::progress::{Progress, Unit};

/// How often the progress is looked at.
const TICK: Duration = Duration::from_millis(100);
/// How soon an end is noticed that one waits for.
const SOON: Duration = Duration::from_millis(5);
/// How long what is in flight may take to be answered when the time is over.
const LAST_ANSWERS: Duration = Duration::from_secs(10);
/// How long consumers may take to have a first answer.
const READY: Duration = Duration::from_secs(30);

/// What was measured.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) took: Duration,
    pub(super) produced: Flow,
    pub(super) consumed: Flow,
    /// Paced batches that were due in time and not sent.
    pub(super) late: u64,
    /// Batches that were sent and not answered in the end.
    pub(super) unanswered: u64,
    pub(super) server: Option<Used>,
    pub(super) client: Option<Used>,
    pub(super) interrupted: Option<Signal>,
}

/// What went one way.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) done: Done,
    pub(super) latencies: Latencies,
}

/// What a process took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Used {
    pub(super) pid: u32,
    pub(super) cpu: Duration,
    pub(super) memory: Memory,
}

/// A run that goes on.
pub(super) struct Run<'a> {
    plan: &'a Plan,
    connections: Vec<Connection>,
    server: Option<Process>,
    meter: Arc<Meter>,
    stamp: Stamp,
    consumers: Vec<AbortHandle>,
    interrupt: Interrupt,
    progress: Progress,
}

/// Where the counters stood when the measuring began.
struct Mark {
    at: Instant,
    produced: Done,
    consumed: Done,
    server: Option<Duration>,
    client: Option<Duration>,
}

impl<'a> Run<'a> {
    /// Connects, and finds the server's process.
    pub(super) fn open(plan: &'a Plan) -> Result<Self, CliError> {
        let target = &plan.target;
        target.check()?;
        let environment = Arc::new(Environment::new(target.client_threads));
        let count = plan.connections().1.end;
        let open = |_| Connection::open_in(Arc::clone(&environment), &target.client);
        let connections = (0..count).map(open).collect::<Result<Vec<_>, _>>()?;
        for connection in &connections {
            block_on(connection.connect())?;
        }
        let by_port = || connections.first()?.local_port().and_then(Process::listening_on);
        let server = match target.server_pid {
            Some(pid) => {
                Some(Process::of(pid).map_err(|source| BenchError::NoProcess { pid, source })?)
            }
            None => by_port(),
        };
        let mut run = [0; 8];
        openssl::rand::rand_bytes(&mut run).map_err(CliError::Random)?;
        Ok(Self {
            plan,
            connections,
            server,
            meter: Arc::new(Meter::new()),
            stamp: Stamp::new(run),
            consumers: Vec::new(),
            interrupt: Interrupt::watch()?,
            progress: Progress::new(None, Unit::Records, true),
        })
    }

    /// Runs to the end of its time, or until a signal or a fault ends it. The fault comes beside
    /// what was measured before.
    pub(super) fn measure(mut self) -> (Measured, Result<(), CliError>) {
        let mut interrupted = None;
        if self.follows() {
            self.start_consumers();
            interrupted = self.wait_for_consumers();
        }
        let mut mark = self.mark();
        if !self.follows() {
            self.start_consumers();
        }
        self.start_producers();
        if interrupted.is_none() && !self.reads_once() {
            interrupted = self.wait(self.plan.target.warmup);
            mark = self.mark();
        }
        if interrupted.is_none() {
            interrupted = self.wait(self.plan.target.duration);
        }
        self.meter.stop();
        let mut measured = self.read(&mark, interrupted);
        self.end();
        // What was due in time counts, also if its answer came later.
        measured.produced.latencies = self.meter.produced.take_latencies();
        measured.consumed.latencies = self.meter.consumed.take_latencies();
        measured.late = self.meter.late.load(Ordering::Relaxed);
        let sent = self.meter.sent.load(Ordering::Relaxed);
        measured.unanswered = sent.saturating_sub(self.meter.produced.done().messages);
        let fault = self.meter.take_fault().map(|fault| self.explain(fault));
        (measured, fault.map_or(Ok(()), Err))
    }

    /// Whether the consumers are there before the producers.
    fn follows(&self) -> bool {
        self.plan.consuming.is_some_and(|consuming| consuming.what == What::Coming)
    }

    fn start_consumers(&mut self) {
        let Some(consuming) = self.plan.consuming else {
            return;
        };
        let reading = match consuming.what {
            What::Held { unary, once } => Reading::Held { unary, once },
            What::Coming => Reading::Coming(self.stamp),
        };
        let clients = self.clients(self.plan.connections().1);
        for client in clients.iter().cycle().take(consuming.consumers) {
            let (meter, log) = (Arc::clone(&self.meter), self.plan.target.log.clone());
            self.consumers.push(consuming::start(Consumer { meter, log, reading }, client));
        }
    }

    fn start_producers(&self) {
        let Some(producing) = &self.plan.producing else {
            return;
        };
        let stamp = self.follows().then_some(self.stamp);
        let batches = producing.logs.iter().map(|log| Batch::new(&producing.shape, log, stamp));
        let turns = Arc::new(Turns::new(batches));
        let clients = self.clients(self.plan.connections().0);
        let (producers, began) = (wide(producing.producers), Instant::now());
        for (number, client) in (0..producers).zip(clients.iter().cycle()) {
            let records = u64::from(producing.shape.records);
            let pace = Pace::new(producing.rate, records, (number, producers), began);
            let (meter, turns) = (Arc::clone(&self.meter), Arc::clone(&turns));
            let producer = Producer { meter, turns, pace };
            match producing.unary {
                true => producing::calls(producer, client),
                false => producing::stream(producer, client, producing.in_flight),
            }
        }
    }

    fn clients(&self, connections: Range<usize>) -> Vec<Client> {
        let connections = self.connections.get(connections).unwrap_or_default();
        connections.iter().map(Connection::raw).collect()
    }

    fn wait_for_consumers(&mut self) -> Option<Signal> {
        let (all, began) = (self.consumers.len(), Instant::now());
        while self.meter.ready.load(Ordering::Acquire) < all && !self.meter.is_stopped() {
            if began.elapsed() > READY {
                self.meter.fail(Fault::NotReady);
            }
            if let Err(signal) = self.interrupt.sleep(SOON) {
                return Some(signal);
            }
        }
        None
    }

    fn reads_once(&self) -> bool {
        let reads_once = |what| matches!(what, What::Held { once: true, .. });
        self.plan.consuming.is_some_and(|consuming| reads_once(consuming.what))
    }

    /// Begins to measure.
    fn mark(&self) -> Mark {
        // What happened before was to warm up.
        let _warm = (self.meter.produced.take_latencies(), self.meter.consumed.take_latencies());
        let cpu = |process: Process| process.cpu().ok();
        Mark {
            at: Instant::now(),
            produced: self.meter.produced.done(),
            consumed: self.meter.consumed.done(),
            server: self.server.and_then(cpu),
            client: cpu(Process::own()),
        }
    }

    /// Lets the run go on for so long; ends early by a signal, a fault, or when all is read.
    fn wait(&mut self, time: Duration) -> Option<Signal> {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || self.meter.is_stopped() || self.meter.running() == 0 {
                return None;
            }
            self.show(left);
            let pause = if self.reads_once() { SOON } else { TICK };
            if let Err(signal) = self.interrupt.sleep(left.min(pause)) {
                return Some(signal);
            }
        }
    }

    fn show(&mut self, left: Duration) {
        let side = match self.plan.producing {
            Some(_) => &self.meter.produced,
            None => &self.meter.consumed,
        };
        self.progress.set(side.done().records, || {
            let us =
                |part| about_us(u64::try_from(side.quantile(part).as_micros()).unwrap_or(u64::MAX));
            format!("p50 {}, p99 {}, {}s left", us(0.5), us(0.99), left.as_secs())
        });
    }

    fn read(&self, mark: &Mark, interrupted: Option<Signal>) -> Measured {
        let took = mark.at.elapsed();
        let flow = |done: Done| Flow { done, latencies: super::meter::latencies() };
        let used = |process: Process, before: Duration| {
            let (cpu, memory) = (process.cpu().ok()?, process.memory().ok()?);
            Some(Used { pid: process.pid, cpu: cpu.saturating_sub(before), memory })
        };
        let server = self.server.zip(mark.server);
        Measured {
            took,
            produced: flow(self.meter.produced.done().since(mark.produced)),
            consumed: flow(self.meter.consumed.done().since(mark.consumed)),
            late: 0,
            unanswered: 0,
            server: server.and_then(|(process, before)| used(process, before)),
            client: mark.client.and_then(|before| used(Process::own(), before)),
            interrupted,
        }
    }

    /// Ends the run: producers get their last answers, then the consumers are cut off.
    fn end(&mut self) {
        let consumers = self.consumers.len();
        let patience = Instant::now() + LAST_ANSWERS;
        let mut is_over = |running: usize, meter: &Meter| {
            while meter.running() > running && Instant::now() < patience {
                if self.interrupt.sleep(SOON).is_err() {
                    std::thread::sleep(SOON);
                }
            }
        };
        is_over(consumers, &self.meter);
        self.consumers.iter().for_each(AbortHandle::abort);
        is_over(0, &self.meter);
    }

    fn explain(&self, fault: Fault) -> CliError {
        let why = match (fault, self.connections.first()) {
            (Fault::EmptyLog, _) => {
                return BenchError::EmptyLog { log: self.plan.target.log.clone() }.into();
            }
            (Fault::NotReady, _) => ClientError::Silent { patience: READY },
            (Fault::Call(error), Some(connection)) => connection.explain(error),
            (Fault::Call(source), None) => ClientError::Broken { source },
            (Fault::Unfitting(what), _) => ClientError::Unfitting { what },
            (Fault::EndedEarly, _) => ClientError::EndedEarly,
        };
        why.into()
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

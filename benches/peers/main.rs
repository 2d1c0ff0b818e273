//! What another log server does with the works that Varve is measured by, through a client that
//! does as little as can be: so that the server is measured and not its client.
//!
//! `cargo bench --bench peers -- redis append` measures a server that runs on this host, in
//! plaintext, and prints one line of JSON. `scripts/bench` starts the servers and runs them all.
//! Records go into a log of the peer's called `bench`, which is deleted first.
//!
//! Files: `peer` (what a protocol has to tell), `redis`, `rabbit` and `nats` (the protocols),
//! `works` (what is measured), `figures`.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::as_conversions,
    clippy::indexing_slicing,
    missing_docs
)]

mod figures;
mod nats;
mod peer;
mod rabbit;
mod redis;
mod works;

use std::io;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use self::nats::Nats;
use self::peer::Protocol;
use self::rabbit::Rabbit;
use self::redis::Redis;

/// Measures another log server with a minimal client.
#[derive(Clone, Debug, Parser)]
struct Args {
    peer: Peer,
    work: Work,
    /// Bytes of a record's value
    #[arg(long, default_value_t = 100)]
    record_bytes: usize,
    /// Records to append, or to read
    #[arg(long, default_value_t = 1_000_000)]
    records: usize,
    /// Records of a batch, where the peer has batches
    #[arg(long)]
    batch_records: Option<usize>,
    /// Records that may be unacknowledged
    #[arg(long)]
    window: Option<usize>,
    /// Connections that each append one record after the other
    #[arg(long, default_value_t = 1)]
    callers: usize,
    /// Records per second of the work `tail`
    #[arg(long, default_value_t = 1000)]
    rate: u64,
    /// How long the works `call` and `tail` go on
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Peer {
    Redis,
    Rabbit,
    Nats,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Work {
    /// Over one connection, in the best batches
    Append,
    /// One record at a time on each of some connections
    Call,
    /// Read what `append` left
    Read,
    /// Append at a rate, and read it from another connection
    Tail,
}

impl Args {
    fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    match args.peer {
        Peer::Redis => measure::<Redis>(&args),
        Peer::Rabbit => measure::<Rabbit>(&args),
        Peer::Nats => measure::<Nats>(&args),
    }
}

fn measure<P: Protocol>(args: &Args) -> io::Result<()> {
    let figures = match args.work {
        Work::Append => works::append::<P>(args)?,
        Work::Call => works::call::<P>(args)?,
        Work::Read => works::read::<P>(args)?,
        Work::Tail => works::tail::<P>(args)?,
    };
    println!("{figures}");
    Ok(())
}

//! The command line: flags in, exit code out.
//!
//! Each command has its file, or its folder if it is more than one idea. A command returns a
//! result; the error and its causes are printed once, at the end, by `output`.

mod acl;
mod backup;
mod bench;
mod certs;
mod client;
mod completions;
mod config;
mod consume;
mod doctor;
mod dump;
mod environment;
mod error;
mod escape;
mod exit;
mod hex;
mod hint;
mod human;
mod info;
mod interrupt;
mod log;
mod man;
mod output;
mod produce;
mod progress;
mod reader;
mod repair;
mod restore;
mod serve;
mod table;
mod varint;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

const ABOUT: &str = "\
A durable commit log over gRPC: append-only records with consecutive offsets, acknowledged once they
are on disk, over mutual TLS with an access control list.

A first try on one host, without TLS:
  echo 'p, anonymous, *, *' > acl.csv
  varve serve --plaintext --acl acl.csv &
  echo hello | varve produce --plaintext
  varve consume --plaintext";

#[derive(Debug, Parser)]
#[command(name = "varve", version, about = "A durable commit log over gRPC", long_about = ABOUT)]
#[command(after_help = exit::TABLE, max_term_width = 100)]
struct Cli {
    /// Write results as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Produce(produce::Produce),
    Consume(consume::Consume),
    Log(log::LogCommand),
    Reader(reader::ReaderCommand),
    Info(info::Info),
    Dump(dump::Dump),
    Verify(verify::Verify),
    Repair(repair::Repair),
    Backup(backup::Backup),
    Restore(restore::Restore),
    Bench(bench::BenchCommand),
    Certs(certs::Certs),
    Acl(acl::Acl),
    Config(config::ConfigCommand),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
    Man(man::ManCommand),
}

/// Runs the command that the process was started with. To be called first of all in `main`.
pub fn main() -> ExitCode {
    let dropped = environment::clean();
    let cli = Cli::parse();
    let is_json = cli.json;
    output::exit(match cli.command {
        Command::Serve(command) => command.run(is_json, &dropped),
        Command::Produce(command) => command.run(is_json),
        Command::Consume(command) => command.run(is_json),
        Command::Log(command) => command.run(is_json),
        Command::Reader(command) => command.run(is_json),
        Command::Info(command) => command.run(is_json),
        Command::Dump(command) => command.run(is_json),
        Command::Verify(command) => command.run(is_json),
        Command::Repair(command) => command.run(is_json),
        Command::Backup(command) => command.run(is_json),
        Command::Restore(command) => command.run(is_json),
        Command::Bench(command) => command.run(is_json),
        Command::Certs(command) => command.run(is_json),
        Command::Acl(command) => command.run(is_json),
        Command::Config(command) => command.run(is_json),
        Command::Doctor(command) => command.run(is_json),
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use clap::{Command, CommandFactory as _};

    use super::Cli;

    /// The parser checks this itself, but not in the profile that the tests are built with: there
    /// one of two flags of a name takes the place of the other in silence.
    fn assert_flags_differ(command: &Command) {
        let (mut names, mut ids) = (HashSet::new(), HashSet::new());
        for arg in command.get_arguments() {
            assert!(ids.insert(arg.get_id().clone()), "{}: {}", command.get_name(), arg.get_id());
            let short = arg.get_short().map(|short| short.to_string());
            let long = arg.get_long().map(str::to_owned);
            for name in short.into_iter().chain(long) {
                assert!(names.insert(name.clone()), "{}: {name}", command.get_name());
            }
        }
        command.get_subcommands().for_each(assert_flags_differ);
    }

    #[test]
    fn the_flags_do_not_contradict_each_other() {
        let mut command = Cli::command();
        command.build();
        assert_flags_differ(&command);
        command.debug_assert();
    }
}

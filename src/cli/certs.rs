//! `varve certs`: a CA for trials and small installations, and what it issues.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::error::CliError;
use super::output;
use crate::certs::{self, CaOrder, LeafOrder, Summary, Written};

const EXAMPLES: &str = "\
Examples, with the requests in the folder certs:
  varve certs ca certs/ca-csr.json
  varve certs issue server certs/server-csr.json --config certs/ca-config.json
  varve certs issue client certs/root-client-csr.json --config certs/ca-config.json
  varve certs inspect ca.pem server.pem

Requests and profiles are files in the JSON of cfssl. Keys are written for their owner alone, and
nothing is overwritten without --force.";

/// Make and look at certificates
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Certs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a CA: NAME.pem and NAME-key.pem
    Ca(Ca),
    /// Issue a certificate: NAME.pem and NAME-key.pem
    Issue(Issue),
    /// Show what certificates say, the subject that a server takes a client for included
    Inspect(Inspect),
}

#[derive(Debug, Args)]
struct Ca {
    /// The request, in cfssl's JSON, such as certs/ca-csr.json
    request: PathBuf,
    /// The name of the two files
    #[arg(long, default_value = "ca")]
    name: String,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
struct Issue {
    /// The signing profile, such as server or client
    profile: String,
    /// The request, in cfssl's JSON, such as certs/server-csr.json
    request: PathBuf,
    /// The signing profiles, in cfssl's JSON, such as certs/ca-config.json
    #[arg(long, value_name = "FILE", default_value = "ca-config.json")]
    config: PathBuf,
    /// The CA's certificate
    #[arg(long, value_name = "FILE", default_value = "ca.pem")]
    ca: PathBuf,
    /// The CA's private key
    #[arg(long, value_name = "FILE", default_value = "ca-key.pem")]
    ca_key: PathBuf,
    /// The name of the two files; that of the request, without `-csr`, if there is none
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
struct Target {
    /// The folder for the two files
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    out: PathBuf,
    /// Replace files that are there already
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
struct Inspect {
    /// Files of certificates in PEM
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// What was made, for programs.
#[derive(Serialize)]
struct Report<'a> {
    certificate: &'a Path,
    key: &'a Path,
    warnings: Vec<String>,
    summary: &'a Summary,
}

impl Certs {
    /// Runs the command.
    pub(super) fn run(self, is_json: bool) -> Result<ExitCode, CliError> {
        match self.command {
            Command::Ca(ca) => report(&ca.make()?, is_json)?,
            Command::Issue(issue) => report(&issue.make()?, is_json)?,
            Command::Inspect(inspect) => inspect.show(is_json)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Ca {
    fn make(&self) -> Result<Written, CliError> {
        Ok(certs::make_ca(&CaOrder {
            request: &self.request,
            out_dir: &self.target.out,
            name: &self.name,
            force: self.target.force,
        })?)
    }
}

impl Issue {
    fn make(&self) -> Result<Written, CliError> {
        let stem = self.request.file_stem().unwrap_or_default().to_string_lossy();
        let name = self.name.as_deref().unwrap_or(stem.strip_suffix("-csr").unwrap_or(&stem));
        Ok(certs::issue(&LeafOrder {
            ca_cert: &self.ca,
            ca_key: &self.ca_key,
            config: &self.config,
            profile: &self.profile,
            request: &self.request,
            out_dir: &self.target.out,
            name,
            force: self.target.force,
        })?)
    }
}

impl Inspect {
    fn show(&self, is_json: bool) -> Result<(), CliError> {
        for (place, file) in self.files.iter().enumerate() {
            let inspection = certs::inspect(file)?;
            if is_json {
                output::json(&inspection)?;
                continue;
            }
            let gap = if place == 0 { "" } else { "\n" };
            output::line(format_args!("{gap}{}:\n{inspection}", file.display()))?;
        }
        Ok(())
    }
}

fn report(written: &Written, is_json: bool) -> Result<(), CliError> {
    let warnings: Vec<String> = written.warnings.iter().map(ToString::to_string).collect();
    if is_json {
        let (certificate, key) = (written.certificate.as_path(), written.key.as_path());
        return output::json(&Report { certificate, key, warnings, summary: &written.summary });
    }
    for warning in warnings {
        output::note(format_args!("varve: warning: {warning}"));
    }
    output::line(format_args!(
        "{}\n\nwrote {} and {}",
        written.summary,
        written.certificate.display(),
        written.key.display()
    ))
}

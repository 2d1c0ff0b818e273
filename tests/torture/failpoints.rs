//! The `varve` command with fail points, of which the environment variable `FAILPOINTS` says what
//! they do, as in `writer::sync=panic`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let _scenario = fail::FailScenario::setup();
    varve::cli::main()
}

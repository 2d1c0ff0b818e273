//! The `varve` command: everything of it is in the library's `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    varve::cli::main()
}

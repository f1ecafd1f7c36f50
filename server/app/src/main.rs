//! The program `writ`: arguments in, exit code out. What the verbs do is in `cli`, and what they
//! do it with is in the library.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    writ::tls::install_provider();
    match cli::run(std::env::args_os()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

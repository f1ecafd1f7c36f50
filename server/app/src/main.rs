//! The program `writ`: arguments in, exit code out. What the verbs do is in `cli`, and what they
//! do it with is in the library.

mod cli;

use std::ffi::OsString;
use std::process::ExitCode;

use writ::policies::COMPILE_CHILD;

fn main() -> ExitCode {
    // Before anything is opened or started: this process is to have nothing that a module could get.
    if is_compile_child(std::env::args_os()) {
        return writ_sandbox::compile_child();
    }
    writ::tls::install_provider();
    match cli::run(std::env::args_os()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Whether a server started this process to compile a policy for it.
fn is_compile_child(arguments: impl IntoIterator<Item = OsString>) -> bool {
    let mut arguments = arguments.into_iter().skip(1);
    let first = arguments.next();
    first.is_some_and(|first| first == COMPILE_CHILD) && arguments.next().is_none()
}

//! The compiling process for this crate's tests.

fn main() -> std::process::ExitCode {
    writ_sandbox::compile_child()
}

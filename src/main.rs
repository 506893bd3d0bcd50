//! The binary: everything it can do is in [`hivesync::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    hivesync::cli::main()
}

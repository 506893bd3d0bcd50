//! What commands print. Results go to stdout, everything else to stderr; a
//! pipe that is closed early (`| head`) is no error.

use std::io::{IsTerminal, Write};

use serde::Serialize;

use crate::error::Error;

/// A line of result.
pub fn print(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// A result as JSON.
pub fn print_json(value: &impl Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => print(text),
        Err(error) => fail(&Error::internal("could not encode the answer").caused_by(error)),
    }
}

/// Tells the person at the terminal what failed: the code to look up in
/// `docs/errors.md`, the message and its causes.
pub fn fail(error: &Error) {
    let word = console::Style::new().red().bold().for_stderr();
    let code = error.code.as_str();
    let chain = error.chain();
    let told = chain
        .strip_prefix(code)
        .and_then(|rest| rest.strip_prefix(": "))
        .unwrap_or(&chain);
    let _ = writeln!(
        std::io::stderr().lock(),
        "{} {told}",
        word.apply_to(format_args!("error[{code}]:")),
    );
}

/// Whether stdout shows colours: a terminal, and `NO_COLOR` not set.
#[must_use]
pub fn colours() -> bool {
    std::io::stdout().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A line beside the results.
pub fn print_aside(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

//! What the verbs print: results to standard output, all else to standard error.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use anyhow::{Error, Result};
use clap::builder::Styles;

use crate::output::text;

/// The exit code of a program that panics, as Rust has it.
const PANICKED: u8 = 101;

/// Says something beside the results: to standard error, so that the results can be piped. Each line of
/// `text` is printed on a line of its own.
pub fn note(text: &str) {
    for line in text.lines() {
        let _ = writeln!(io::stderr(), "{}", text::escape(line));
    }
}

/// Reports what went wrong, coloured as clap's own errors are.
pub fn warn(error: &Error) {
    let style = Styles::styled();
    let style = style.get_error();
    let _ = writeln!(anstream::stderr(), "{style}error:{style:#} {}", text::error(error));
}

/// Ends the program with the error that ended a verb. Whoever reads the output may have seen enough, as
/// `mnist … | head` has: that is no error.
pub fn failed(error: &Error) -> ExitCode {
    let closed_pipe = |error: &io::Error| error.kind() == ErrorKind::BrokenPipe;
    if error.downcast_ref().is_some_and(closed_pipe) {
        return ExitCode::SUCCESS;
    }
    warn(error);
    ExitCode::FAILURE
}

/// Shows the panic that ended the program.
pub fn panicked(panic: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "{panic}");
    ExitCode::from(PANICKED)
}

/// Writes a value as one line of JSON.
pub fn print_json(out: &mut impl Write, value: &impl serde::Serialize) -> Result<()> {
    // By way of a string: the error of a closed pipe must stay an io::Error.
    Ok(writeln!(out, "{}", serde_json::to_string(value)?)?)
}

//! What the commands print: results to standard output, all else to standard error.

use std::fmt;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Error, Result};
use clap::builder::Styles;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::output::text;

/// The exit code of a program that panics, as Rust has it.
const PANICKED: u8 = 101;

/// Whether only results, warnings and errors are shown.
static QUIET: AtomicBool = AtomicBool::new(false);
/// What notes begin with that are shown anyway.
const WARNING: &str = "warning: ";

/// From now on, shows only results, warnings and errors.
pub fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Whether only results, warnings and errors are shown.
pub fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Says where a file was written, beside the results.
pub fn saved(path: &Path) {
    note(&format!("Saved: {}", path.display()));
}

/// Says something beside the results, in one line: to standard error, so that the results can be
/// piped.
pub fn note(line: &str) {
    if is_quiet() && !line.starts_with(WARNING) {
        return;
    }
    let _ = writeln!(io::stderr(), "{}", text::escape(line));
}

/// Reports what went wrong, coloured as clap's own errors are.
pub fn warn(error: &Error) {
    let styles = Styles::styled();
    let style = styles.get_error();
    let _ = writeln!(anstream::stderr(), "{style}error:{style:#} {}", text::error(error));
}

/// A progress bar that looks like `template`, hidden where standard error is not a terminal.
pub fn bar(template: &str) -> ProgressBar {
    let target = match io::stderr().is_terminal() && !is_quiet() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(Some(0), target);
    let style = ProgressStyle::with_template(template).expect("the template is valid");
    bar.set_style(style.progress_chars("=>."));
    bar
}

/// Standard output cannot be written to.
#[derive(Debug)]
struct OutputError(io::Error);

impl fmt::Display for OutputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot write to standard output")
    }
}

impl std::error::Error for OutputError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// Results on their way to standard output, kept until they are flushed.
#[derive(Debug, Default)]
#[must_use = "what is not flushed is lost"]
pub struct Results(Vec<u8>);

impl Results {
    /// Adds a line, escaped, since it may hold the name of a file.
    pub fn line(&mut self, line: &str) {
        self.text(&text::escape(line));
        self.text("\n");
    }

    /// Adds text of the program's own making, as it is.
    pub fn text(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    /// Adds a value as one line of JSON.
    pub fn json(&mut self, value: &impl Serialize) -> Result<()> {
        self.text(&text::json(value)?);
        self.text("\n");
        Ok(())
    }

    /// Adds a row of CSV (RFC 4180); names of files are quoted where they need it, and escaped only
    /// on a terminal.
    pub fn csv(&mut self, row: impl Iterator<Item = String>) {
        let row = row.map(quoted).collect::<Vec<_>>().join(",");
        match io::stdout().is_terminal() {
            true => self.text(&text::escape(&row)),
            false => self.text(&row),
        }
        self.text("\n");
    }

    /// Writes what was added since the last time.
    pub fn flush(&mut self) -> Result<()> {
        let mut out = io::stdout().lock();
        let written = out.write_all(&self.0).and_then(|()| out.flush());
        self.0.clear();
        written.map_err(|error| OutputError(error).into())
    }
}

/// A field of CSV.
fn quoted(field: String) -> String {
    match field.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field,
    }
}

/// Prints one line of results.
pub fn print(line: &str) -> Result<()> {
    let mut results = Results::default();
    results.line(line);
    results.flush()
}

/// Prints numbers, one a line.
pub fn print_numbers(numbers: &[usize]) -> Result<()> {
    let mut results = Results::default();
    numbers.iter().for_each(|number| results.line(&number.to_string()));
    results.flush()
}

/// Prints a value as one line of JSON.
pub fn print_json(value: &impl Serialize) -> Result<()> {
    let mut results = Results::default();
    results.json(value)?;
    results.flush()
}

/// Prints text of the program's own making, as it is.
pub fn print_text(text: &str) -> Result<()> {
    let mut results = Results::default();
    results.text(text);
    results.flush()
}

/// The exit code of a command that reports what failed and goes on; of one that could not go on, if
/// that is only because nobody reads its output any more.
pub fn ended(done: Result<()>, some_failed: bool) -> Result<ExitCode> {
    match done {
        Err(error) if !(some_failed && is_closed_pipe(&error)) => Err(error),
        _ if some_failed => Ok(ExitCode::FAILURE),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Whoever read the output has seen enough, as in `mnist … | head`.
fn is_closed_pipe(error: &Error) -> bool {
    error.downcast_ref().is_some_and(|OutputError(error)| error.kind() == ErrorKind::BrokenPipe)
}

/// Shows the error that ended a command, and returns its exit code. A closed pipe is not an error.
pub fn failed(error: &Error) -> ExitCode {
    if let Some(usage) = error.downcast_ref::<clap::Error>() {
        let shown = usage.print().and_then(|()| io::stdout().flush());
        return match shown {
            Err(error) if !usage.use_stderr() => failed(&OutputError(error).into()), // as help
            _ => u8::try_from(usage.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from),
        };
    }
    if is_closed_pipe(error) {
        return ExitCode::SUCCESS;
    }
    warn(error);
    ExitCode::FAILURE
}

/// Ends the program because its standard output was closed before it began.
pub fn no_output() -> ExitCode {
    failed(&OutputError(io::Error::new(ErrorKind::NotConnected, "it is closed")).into())
}

/// Shows the panic that ended the program.
pub fn panicked(panic: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "{panic}");
    ExitCode::from(PANICKED)
}

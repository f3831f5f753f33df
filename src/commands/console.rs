//! What the verbs print.

use std::io::{self, Write};

use anyhow::Result;

/// Says something beside the results: to standard error, so that the results can be piped.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Writes a value as one line of JSON.
pub fn print_json(out: &mut impl Write, value: &impl serde::Serialize) -> Result<()> {
    // By way of a string: the error of a closed pipe must stay an io::Error.
    Ok(writeln!(out, "{}", serde_json::to_string(value)?)?)
}

//! The program `mnist`.

use std::io::{self, Write};
use std::panic;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use clap::Parser;
use tch_mnist::commands::cli::Cli;
use tch_mnist::output::text;

/// The exit code of a program that panics, as Rust has it.
const PANICKED: u8 = 101;

fn main() -> ExitCode {
    // A panic of a decoder becomes an error of its file: only those that come up here are shown.
    let last = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&last);
    panic::set_hook(Box::new(move |panic| {
        let trace = std::backtrace::Backtrace::capture();
        *kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = format!("{panic}\n{trace}");
    }));
    match panic::catch_unwind(|| Cli::parse().run()) {
        Ok(Ok(code)) => code,
        Ok(Err(error)) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            let _ = writeln!(io::stderr(), "{}", text::error(&error));
            ExitCode::FAILURE
        }
        Err(_) => {
            let panic = last.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let _ = writeln!(io::stderr(), "{panic}");
            ExitCode::from(PANICKED)
        }
    }
}

/// Whoever read our output has seen enough, as in `mnist … | head`: no error.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

//! The program `mnist`.

mod memory;
mod surroundings;

use std::env;
use std::panic;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::anyhow;
use clap::Parser;
use tch_mnist::commands::cli::Cli;
use tch_mnist::commands::console;
use tch_mnist::output::text;

#[cfg(feature = "torch")]
tch_mnist::mkl_kernels_by_processor!();
#[cfg(feature = "torch")]
tch_mnist::openmp_sleeps_where_busy!();

fn main() -> ExitCode {
    let last_panic = keep_panics();
    let parsed = Cli::try_parse();
    let is_for_output = parsed.as_ref().map_or_else(|error| !error.use_stderr(), |_| true);
    if is_for_output && surroundings::output_is_closed() {
        return console::no_output();
    }
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // It holds what was given, which may be the name of a hostile file.
            let escaped = env::args_os().map(|given| text::escape(&given.to_string_lossy()));
            let error = Cli::try_parse_from(escaped).err().unwrap_or(error);
            return console::failed(&error.into());
        }
    };
    if surroundings::folder_is_gone() {
        return console::failed(&anyhow!(
            "the current folder cannot be used: it was deleted; change to another"
        ));
    }
    match panic::catch_unwind(|| cli.run()) {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => console::failed(&error),
        Err(_) => console::panicked(&last_panic.lock().unwrap_or_else(PoisonError::into_inner)),
    }
}

/// Keeps the text of the last panic instead of showing it: a decoder's becomes an error of its
/// file, and only one that ends the program is shown.
fn keep_panics() -> Arc<Mutex<String>> {
    let last = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&last);
    panic::set_hook(Box::new(move |panic| {
        let trace = std::backtrace::Backtrace::capture();
        *kept.lock().unwrap_or_else(PoisonError::into_inner) = format!("{panic}\n{trace}");
    }));
    last
}

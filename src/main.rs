//! The program `mnist`.

use std::panic;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Parser;
use tch_mnist::commands::cli::Cli;
use tch_mnist::commands::console;

tch_mnist::mkl_kernels_by_processor!();

fn main() -> ExitCode {
    let last_panic = keep_panics();
    match panic::catch_unwind(|| Cli::parse().run()) {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => console::failed(&error),
        Err(_) => console::panicked(&last_panic.lock().unwrap_or_else(PoisonError::into_inner)),
    }
}

/// Keeps the text of the last panic instead of showing it: a decoder's becomes an error of its file, and
/// only one that ends the program is shown.
fn keep_panics() -> Arc<Mutex<String>> {
    let last = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&last);
    panic::set_hook(Box::new(move |panic| {
        let trace = std::backtrace::Backtrace::capture();
        *kept.lock().unwrap_or_else(PoisonError::into_inner) = format!("{panic}\n{trace}");
    }));
    last
}

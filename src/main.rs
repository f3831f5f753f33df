//! The program `mnist`.

use std::io::{self, Write};
use std::panic;
use std::process::ExitCode;

use clap::Parser;
use tch_mnist::commands::cli::Cli;
use tch_mnist::files::input;
use tch_mnist::output::text;

fn main() -> ExitCode {
    let show = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !input::is_contained() {
            show(panic);
        }
    }));
    match Cli::parse().run() {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{}", text::error(&error));
            ExitCode::FAILURE
        }
    }
}

/// Whoever read our output has seen enough, as in `mnist … | head`: no error.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

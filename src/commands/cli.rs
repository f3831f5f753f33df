//! The command line: the subcommands, each with its own arguments in [`crate::commands`].

use std::fmt::Display;
use std::process::ExitCode;

use anyhow::{Error, Result};
use clap::error::ErrorKind;
use clap::{ColorChoice, CommandFactory, Parser, Subcommand};

use crate::commands::args::machine;
#[cfg(feature = "serve")]
use crate::commands::serve;
use crate::commands::{
    batch, compare, completions, console, convert, dataset, doctor, evaluate, predict, read, show,
    summary, train,
};
use crate::output::text;

/// Train, compare and apply a two-layer network that reads handwritten digits
#[derive(Debug, Parser)]
#[command(name = "mnist", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print results, warnings and errors only: no notes, no progress
    #[arg(long, short, global = true)]
    quiet: bool,
    /// When to use colours [default: on a terminal, unless NO_COLOR is set]
    #[arg(long, global = true, value_name = "WHEN", default_value_t, hide_default_value = true)]
    color: ColorChoice,
}

#[derive(Debug, Subcommand)]
enum Command {
    Train(train::Args),
    Compare(compare::Args),
    Evaluate(evaluate::Args),
    Predict(predict::Args),
    Read(read::Args),
    Batch(batch::Args),
    #[cfg(feature = "serve")]
    Serve(serve::Args),
    Show(show::Args),
    Summary(summary::Args),
    Convert(convert::Args),
    Dataset(dataset::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
}

impl Cli {
    /// Runs the chosen command and returns the exit code.
    pub fn run(self) -> Result<ExitCode> {
        if self.quiet {
            console::be_quiet();
        }
        match self.color {
            ColorChoice::Auto => anstream::ColorChoice::Auto,
            ColorChoice::Always => anstream::ColorChoice::Always,
            ColorChoice::Never => anstream::ColorChoice::Never,
        }
        .write_global();
        machine::within_memory(|| match self.command {
            #[cfg(feature = "torch")]
            Command::Train(args) => args.run(),
            #[cfg(feature = "torch")]
            Command::Compare(args) => args.run(),
            #[cfg(feature = "torch")]
            Command::Evaluate(args) => args.run(),
            #[cfg(not(feature = "torch"))]
            Command::Train(_) | Command::Compare(_) | Command::Evaluate(_) => {
                anyhow::bail!(machine::NO_LIBTORCH)
            }
            Command::Predict(args) => args.run(),
            Command::Read(args) => args.run(),
            Command::Batch(args) => args.run(),
            #[cfg(feature = "serve")]
            Command::Serve(args) => args.run(),
            Command::Show(args) => args.run(),
            Command::Summary(args) => args.run(),
            Command::Convert(args) => args.run(),
            Command::Dataset(args) => args.run(),
            Command::Doctor(args) => args.run(),
            Command::Completions(args) => args.run(),
        })
    }
}

/// Wrong usage of the subcommand `name` that only its own code can see. The program shows it as
/// clap's own errors, with the usage, and ends with exit code 2.
pub fn wrong_usage(name: &str, message: impl Display) -> Error {
    let message = text::escape(&message.to_string());
    let mut cli = Cli::command();
    cli.build();
    let error = match cli.find_subcommand_mut(name) {
        Some(command) => command.error(ErrorKind::ValueValidation, message),
        None => cli.error(ErrorKind::ValueValidation, message),
    };
    error.into()
}

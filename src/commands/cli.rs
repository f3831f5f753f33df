//! The command line: one subcommand per verb, each with its own arguments in [`crate::commands`].

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::commands::args::machine;
use crate::commands::{compare, convert, doctor, evaluate, predict, read, show, summary, train};

/// Trains and applies a two-layer handwritten-digit network on libtorch.
#[derive(Debug, Parser)]
#[command(name = "mnist", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Train(train::Args),
    Compare(compare::Args),
    Evaluate(evaluate::Args),
    Predict(predict::Args),
    Read(read::Args),
    Show(show::Args),
    Summary(summary::Args),
    Convert(convert::Args),
    Doctor(doctor::Args),
}

impl Cli {
    /// Runs the chosen verb and returns the exit code.
    pub fn run(self) -> Result<ExitCode> {
        machine::within_memory(|| match self.command {
            Command::Train(args) => args.run(),
            Command::Compare(args) => args.run(),
            Command::Evaluate(args) => args.run(),
            Command::Predict(args) => args.run(),
            Command::Read(args) => args.run(),
            Command::Show(args) => args.run(),
            Command::Summary(args) => args.run(),
            Command::Convert(args) => args.run(),
            Command::Doctor(args) => args.run(),
        })
    }
}

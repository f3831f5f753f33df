//! `mnist completions`: what a shell completes.

use std::process::ExitCode;

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::{Shell, generate};

use super::cli::Cli;
use super::console::print_text;

/// Print a script that has a shell complete commands, options and their values
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    shell: Shell,
}

impl Args {
    /// Prints the script.
    pub fn run(&self) -> Result<ExitCode> {
        let mut script = Vec::new();
        generate(self.shell, &mut Cli::command(), "mnist", &mut script);
        print_text(&String::from_utf8(script)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

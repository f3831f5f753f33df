//! Writes the manual pages of `mnist` and its commands: `cargo run --example man FOLDER`.

use anyhow::{Context, Result};
use clap::CommandFactory;
use tch_mnist::commands::cli::Cli;

fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).context("usage: man FOLDER")?;
    Ok(clap_mangen::generate_to(Cli::command(), folder)?)
}

//! `mnist summary`: the layers and their parameters.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use super::args::weights::WeightsArgs;
use super::console::{note, print_json, print_text};
use crate::output::text;

/// Show the layers, their output shapes and numbers of parameters
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    weights: WeightsArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Prints the table.
    pub fn run(&self) -> Result<ExitCode> {
        let (loaded, name) = self.weights.load()?;
        let layers = loaded.arrays.layers();
        if self.json {
            let parameters: i64 = layers.iter().map(|layer| layer.parameters).sum();
            print_json(&json!({"weights": name, "layers": layers, "parameters": parameters}))?;
        } else {
            note(&format!("Weights: {name}"));
            print_text(&text::summary(&layers))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

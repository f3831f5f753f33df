//! `mnist show`: digits, mistakes, confusion and weights as figures.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use anstream::{AutoStream, ColorChoice};
use anyhow::Result;
use terminal_size::{Height, Width, terminal_size};

use super::args::data::DataArgs;
use super::args::weights::WeightsArgs;
use super::console::{note, print, print_text};
use crate::output::plot::{self, Digits, Figure, terminal};
use crate::weights::Loaded;

#[cfg(feature = "torch")]
mod test_set;

/// Show digits of the test set, mistakes, the confusion matrix or the first layer's weights
///
/// By default, shows the first digit of the test set. On a terminal it is drawn in coloured half
/// blocks (unless NO_COLOR is set), elsewhere in plain characters; --output writes it to a file.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    weights: WeightsArgs,
    /// Write the figure to this file; its extension chooses the format: .png or .svg
    #[arg(long, value_name = "FILE", value_parser = plot::file_name)]
    output: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct What {
    /// Digits of the test set by number, from 0
    #[arg(long, value_name = "I", num_args = 1.., value_delimiter = ',')]
    index: Vec<usize>,
    /// The first digits of the test set, in this many rows and columns [default: 10x10]
    #[arg(long, value_name = "ROWSxCOLUMNS", num_args = 0..=1, default_missing_value = "10x10", value_parser = grid)]
    grid: Option<(usize, usize)>,
    /// Digits of the test set that the weights get wrong, the most confident mistakes first
    #[arg(long)]
    errors: bool,
    /// The confusion matrix on the test set
    #[arg(long)]
    confusion: bool,
    /// Weights of the first layer, the units with the largest weights first
    #[arg(long)]
    weights_map: bool,
}

/// Characters in a line where there is no terminal.
const DEFAULT_WIDTH: usize = 80;

fn width() -> usize {
    terminal_size().map_or(DEFAULT_WIDTH, |(Width(width), _)| width.into())
}

fn grid(text: &str) -> Result<(usize, usize), String> {
    let sides = text.split_once('x').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    sides
        .filter(|(rows, columns)| (1..=50).contains(rows) && (1..=50).contains(columns))
        .ok_or_else(|| "choose rows and columns from 1 to 50, as in 10x10".into())
}

impl Args {
    /// Shows the figure, or writes it to a file.
    pub fn run(&self) -> Result<ExitCode> {
        if let Some(path) = &self.output {
            self.weights.prepare_output(path)?;
        }
        if self.what.weights_map {
            let filters = self.weights()?.arrays.filters().to_vec();
            return self.show(&plot::weights_map(filters, self.most()));
        }
        #[cfg(not(feature = "torch"))]
        anyhow::bail!(super::args::machine::NO_LIBTORCH);
        #[cfg(feature = "torch")]
        self.of_test_set()
    }

    fn weights(&self) -> Result<Loaded> {
        let (loaded, name) = self.weights.load()?;
        note(&format!("Weights: {name}"));
        Ok(loaded)
    }

    fn show(&self, digits: &Digits) -> Result<ExitCode> {
        self.finish(digits, |color, width| terminal::digits(digits, color, width))
    }

    fn finish(
        &self,
        figure: &impl Figure,
        characters: impl FnOnce(bool, usize) -> String,
    ) -> Result<ExitCode> {
        match &self.output {
            Some(path) => {
                plot::save(figure, path)?;
                print(&format!("Saved: {}", path.display()))?;
            }
            None => {
                let color = AutoStream::choice(&io::stdout()) != ColorChoice::Never;
                print_text(&characters(color, width()))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The most tiles to show where the user has not said how many: on a terminal, those that fit
    /// it.
    fn most(&self) -> usize {
        match terminal_size() {
            Some((Width(width), Height(height)))
                if self.output.is_none() && io::stdout().is_terminal() =>
            {
                terminal::tiles_that_fit(width.into(), height.into()).min(plot::MOST)
            }
            _ => plot::MOST,
        }
    }
}

//! Figures of the test set: its digits, and what weights make of them.

use std::process::ExitCode;

use anyhow::{Context, Result};
use mnist_image::Digit;
use tch::Device;

use super::Args;
use crate::dataset::Samples;
use crate::network::model::Model;
use crate::output::plot::{self, Confusion, Digits, Palette, Tile, terminal};
use crate::training::evaluation;
use crate::weights;

impl Args {
    /// Shows what is asked for of the test set.
    pub(super) fn of_test_set(&self) -> Result<ExitCode> {
        let test = self.data.load()?.test;
        if self.what.confusion {
            return self.confusion(&test);
        }
        self.show(&match self.what.errors {
            true => self.errors(&test)?,
            false => self.digits(&test)?,
        })
    }

    fn digits(&self, test: &Samples) -> Result<Digits> {
        let digits = test.digits()?;
        let labels = Vec::<i64>::try_from(&test.labels)?;
        let tile = |index: usize, caption: String| {
            let digit: &Digit = digits.get(index).with_context(|| {
                format!("there is no digit {index}; the test set has 0 to {}", digits.len() - 1)
            })?;
            Ok(Tile::digit(digit, caption))
        };
        let label = |index: usize| labels.get(index).copied().unwrap_or_default();
        let first = match self.what.index[..] {
            [] => Some(0).filter(|_| self.what.grid.is_none()),
            [one] => Some(one),
            _ => None,
        };
        if let Some(index) = first {
            return Ok(Digits {
                tiles: vec![tile(index, String::new())?],
                title: format!("Label: {}", label(index)),
                note: format!("digit {index} of the test set"),
                columns: 1,
                palette: Palette::Ink,
            });
        }
        let (title, indices, columns) = match self.what.grid {
            Some((rows, columns)) => {
                let count = digits.len().min(rows * columns);
                (format!("The first {count} digits of the test set"), (0..count).collect(), columns)
            }
            None => {
                let indices = self.what.index.clone();
                let columns = indices.len().min(10);
                ("Digits of the test set".into(), indices, columns)
            }
        };
        let caption = |index| match self.what.grid {
            Some(_) => label(index).to_string(),
            None => format!("{index}: {}", label(index)),
        };
        let note = if self.what.grid.is_some() { "label" } else { "number: label" };
        let tiles = indices.iter().map(|index| tile(*index, caption(*index)));
        Ok(Digits {
            title,
            note: note.into(),
            tiles: tiles.collect::<Result<_>>()?,
            columns,
            palette: Palette::Ink,
        })
    }

    fn model(&self) -> Result<Model> {
        weights::model(&self.weights()?, Device::Cpu)
    }

    fn errors(&self, test: &Samples) -> Result<Digits> {
        let model = self.model()?;
        Ok(plot::mistakes(&evaluation::mistakes(&model, test)?, "test set", self.most()))
    }

    fn confusion(&self, test: &Samples) -> Result<ExitCode> {
        let model = self.model()?;
        let evaluation = evaluation::evaluate(&model, test)?;
        let title =
            format!("Confusion on the test set, accuracy {:.2}%", 100. * evaluation.accuracy);
        let confusion = Confusion { title, counts: evaluation.confusion };
        self.finish(&confusion, |color, _| terminal::confusion(&confusion, color))
    }
}

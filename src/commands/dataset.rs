//! `mnist dataset`: data sets from one form into another.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;

use super::args::choices::{Choice, name, one_of};
use super::args::data::{ImagesArgs, MNIST, note_emnist};
use super::cli::wrong_usage;
use super::console::print;
use crate::dataset::export::{self, Format};
use crate::dataset::{Labelled, Split, folders, layout};
use crate::files::atomic;

/// Names of the formats.
const FORMATS: &[Choice<Format>] = &[
    ("idx", "MNIST's four files, gzipped, as other programs read them", Format::Idx),
    ("png", "Images in folders: train/7/00000.png and so on", Format::Png),
];

/// Write data sets as IDX files or as images in folders
///
/// Images are brought into MNIST's form, and several sets become one.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder to write, which is made
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// Data sets: folders of images in folders 0 to 9 or in those of train and test, folders in
    /// MNIST's or EMNIST's layout, raw or .gz, or `mnist`, the one that is built in
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// How to write them
    #[arg(long, value_parser = one_of(FORMATS), default_value = name(FORMATS, Format::Idx))]
    format: Format,
    /// Exchange rows and columns of the images in folders of IDX files: EMNIST's lie so
    #[arg(long)]
    transpose: bool,
    #[command(flatten)]
    images: ImagesArgs,
}

impl Args {
    /// Reads the data sets and writes one.
    pub fn run(&self) -> Result<ExitCode> {
        atomic::check_folder(&self.output)?;
        if self.transpose && self.inputs.iter().all(|input| is_upright(input)) {
            let message = "--transpose is for folders of IDX files, and no INPUT is one";
            return Err(wrong_usage("dataset", message));
        }
        let mut all = Split::default();
        for input in &self.inputs {
            let Split { train, test } = self.read(input)?;
            all.train.extend(train);
            all.test.extend(test);
        }
        export::write(&all, self.format, &self.output)?;
        let (train, test) = (all.train.len(), all.test.len());
        print(&format!(
            "Saved: {}, {train} images to train on, {test} to test on",
            self.output.display()
        ))?;
        Ok(ExitCode::SUCCESS)
    }

    fn read(&self, input: &Path) -> Result<Split> {
        if input.as_os_str() == MNIST {
            return built_in();
        }
        if is_upright(input) {
            return self.images.read(input);
        }
        let mut split = layout::read(input)?;
        if !self.transpose {
            note_emnist(input);
            return Ok(split);
        }
        for Labelled { digit, .. } in split.train.iter_mut().chain(&mut split.test) {
            *digit = layout::transposed(digit);
        }
        Ok(split)
    }
}

/// Whether it is the MNIST that is built in, or a folder of images: their images lie upright.
fn is_upright(input: &Path) -> bool {
    input.as_os_str() == MNIST || (!layout::is_layout(input) && folders::is_of_images(input))
}

#[cfg(feature = "torch")]
fn built_in() -> Result<Split> {
    layout::read(&crate::dataset::builtin::kept()?)
}

#[cfg(not(feature = "torch"))]
fn built_in() -> Result<Split> {
    anyhow::bail!("this build does not include MNIST; download it, and name its folder")
}

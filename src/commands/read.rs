//! `mnist read`: photographs and scans of several digits → text.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use image::{DynamicImage, GrayImage, ImageFormat};
use serde_json::json;

use super::args::inference::InferenceArgs;
use super::args::share;
use super::cli::wrong_usage;
use super::console::{self, Results, note, warn};
use crate::files::atomic;
use crate::files::{self, input};
use crate::network::classifier::Classifier;
use crate::output::plot;
use crate::output::text;
use crate::reading::{self, ReadDigit};
use crate::weights;
use mnist_image::decode::{self, Budget};
use mnist_image::page;

/// The last of the images that `--stages` writes.
const DIGITS: &str = "digits.png";

/// Read the digits of a photograph or scan, line by line
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Images of any number of digits each, in any format that `predict` takes
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    #[command(flatten)]
    inference: InferenceArgs,
    /// Print `?` for digits with a confidence below this, from 0 to 1
    #[arg(long, value_name = "P", default_value_t = 0., value_parser = share::<f32>)]
    min_confidence: f32,
    /// Draw boxes and labels on a single image and write it to this file; the extension chooses the
    /// format
    #[arg(long, value_name = "OUT.png", value_parser = annotated)]
    annotate: Option<PathBuf>,
    /// Write what each stage of reading a single image saw to this folder, as PNG files
    #[arg(long, value_name = "DIR")]
    stages: Option<PathBuf>,
    /// Take everything that is written for digits: letters, hyphens and scribbles, too
    #[arg(long)]
    accept_all: bool,
    /// Print JSON, one object per line for each image
    #[arg(long)]
    json: bool,
}

fn annotated(name: &str) -> Result<PathBuf, String> {
    match ImageFormat::from_path(name).is_ok_and(|format| format.can_write()) {
        true => Ok(name.into()),
        false => Err("the file name must end in .png, .jpg or another image extension".into()),
    }
}

impl Args {
    /// Prints the lines of each image; one that cannot be read is reported, and the others go on.
    pub fn run(&self) -> Result<ExitCode> {
        let alone = [("--annotate", &self.annotate), ("--stages", &self.stages)];
        if let Some((option, _)) = alone.iter().find(|(_, path)| path.is_some())
            && self.images.len() > 1
        {
            let message = format!("{option} takes one image, not {}", self.images.len());
            return Err(wrong_usage("read", message));
        }
        if let Some(path) = &self.annotate {
            atomic::prepare_from(path, &self.images[0])?;
        }
        if let Some(folder) = &self.stages {
            atomic::prepare(&folder.join(DIGITS))?;
        }
        let (model, machine) = self.inference.start(None)?;
        let verifier = machine.classifier(weights::verifier()?)?;
        let mut failed = false;
        let done = self.read(&*model, &*verifier, &mut failed);
        console::ended(done, failed)
    }

    fn read(
        &self,
        model: &dyn Classifier,
        verifier: &dyn Classifier,
        failed: &mut bool,
    ) -> Result<()> {
        let budget = Budget::default();
        for path in &self.images {
            let read = input::contained(|| {
                let decoded = files::image::open(path, &budget)?;
                let grey = decode::grey(&decoded.image);
                let lines = match &self.stages {
                    Some(folder) => staged(model, verifier, &grey, folder)?,
                    None => reading::read(model, verifier, &grey)?,
                };
                Ok((decoded, lines))
            });
            match read.with_context(|| format!("cannot read the image {}", path.display())) {
                Ok((decoded, mut lines)) => {
                    let read = lines.iter_mut().flatten();
                    read.for_each(|digit| digit.answer.is_digit |= self.accept_all);
                    self.show(path, &decoded.image, &lines)?;
                }
                Err(error) => {
                    *failed = true;
                    warn(&error);
                }
            }
        }
        Ok(())
    }

    fn show(&self, path: &Path, image: &DynamicImage, lines: &[Vec<ReadDigit>]) -> Result<()> {
        let name = path.display();
        if lines.is_empty() {
            note(&format!("{name}: no writing found"));
        } else if !lines.iter().flatten().any(|digit| digit.answer.is_digit) {
            note(&format!("{name}: no digits found in what is written (--accept-all reads it)"));
        }
        if let Some(output) = &self.annotate {
            let drawn = plot::annotate(decode::on_white(image), lines, self.min_confidence)?;
            // By way of memory: on a full disk, `save` leaves half a file and says nothing.
            let mut bytes = Cursor::new(Vec::new());
            drawn
                .write_to(&mut bytes, ImageFormat::from_path(output)?)
                .with_context(|| format!("cannot write {}", output.display()))?;
            atomic::write_bytes(output, bytes.get_ref())?;
        }
        let mut results = Results::default();
        let text = |line: &Vec<ReadDigit>| text::line(line, self.min_confidence);
        if self.json {
            let lines: Vec<_> =
                lines.iter().map(|line| json!({"text": text(line), "digits": line})).collect();
            results.json(&json!({"path": name.to_string(), "lines": lines}))?;
        } else {
            if self.images.len() > 1 {
                results.line(&format!("{name}:"));
            }
            let lines = lines.iter().map(text).filter(|text| !text.is_empty());
            lines.for_each(|text| results.line(&text));
        }
        results.flush()
    }
}

/// Reads a page and writes what each stage saw of it to a folder.
fn staged(
    model: &dyn Classifier,
    verifier: &dyn Classifier,
    grey: &GrayImage,
    folder: &Path,
) -> Result<Vec<Vec<ReadDigit>>> {
    let mut stages = Vec::new();
    let found = page::find_and_show(grey, &mut |name, stage| stages.push((name, stage.clone())));
    for (name, stage) in &stages {
        plot::save_image(&stage.clone().into(), &folder.join(format!("{name}.png")))?;
    }
    if let Some((_, mask)) = stages.last() {
        let drawn = plot::stages::candidates(mask, &found);
        plot::save_image(&drawn.into(), &folder.join("candidates.png"))?;
    }
    let lines = reading::read_lines(model, verifier, &found)?;
    plot::save(&plot::stages::digits(&lines), &folder.join(DIGITS))?;
    Ok(lines)
}

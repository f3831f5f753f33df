//! `mnist read`: photographs and scans of several digits → text.

use std::io::{self, Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use image::{DynamicImage, ImageFormat};
use serde_json::json;

use super::args::machine::MachineArgs;
use super::args::share;
use super::args::weights::WeightsArgs;
use super::console::{note, print_json, warn};
use crate::files::atomic;
use crate::files::{self, input};
use crate::output::plot;
use crate::output::text;
use crate::reading::{self, Read};
use crate::weights;
use mnist_image::decode::{self, Budget};

/// Read the digits of a photograph or scan, line by line
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Pictures of any number of digits each, in any format that `predict` takes
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    #[command(flatten)]
    weights: WeightsArgs,
    /// Print `?` for digits that are less sure than this, from 0 to 1
    #[arg(long, value_name = "P", default_value_t = 0., value_parser = share::<f32>)]
    min_confidence: f32,
    /// Draw boxes and labels on the picture (one only), into this file, whose extension names the
    /// format
    #[arg(long, value_name = "OUT.png")]
    annotate: Option<PathBuf>,
    #[command(flatten)]
    machine: MachineArgs,
    /// Print JSON, one object a line for each picture
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Prints the lines of each picture; one that cannot be read is reported, and the rest go on.
    pub fn run(&self) -> Result<ExitCode> {
        if let Some(path) = &self.annotate {
            if self.images.len() > 1 {
                bail!("--annotate draws one picture, but {} are given", self.images.len());
            }
            format(path)?;
            atomic::prepare_from(path, &self.images[0])?;
        }
        let (model, _) = self.weights.start(&self.machine, None)?;
        let cutter = weights::cutter(model.device())?;
        let budget = Budget::default();
        let mut failed = false;
        for path in &self.images {
            let read = input::contained(|| {
                let decoded = files::image::open(path, &budget)?;
                let lines = reading::read(&model, &cutter, &decode::grey(&decoded.image))?;
                Ok((decoded, lines))
            });
            match read.with_context(|| format!("cannot read the image {}", path.display())) {
                Ok((decoded, lines)) => self.show(path, &decoded.image, &lines)?,
                Err(error) => {
                    failed = true;
                    warn(&error);
                }
            }
        }
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    fn show(&self, path: &Path, picture: &DynamicImage, lines: &[Vec<Read>]) -> Result<()> {
        let name = path.display();
        if lines.is_empty() {
            note(&format!("{name}: nothing is written there"));
        }
        if let Some(output) = &self.annotate {
            let drawn = plot::annotate(decode::on_white(picture), lines, self.min_confidence)?;
            // By way of memory: on a full disk, `save` leaves half a file and says nothing.
            let mut bytes = Cursor::new(Vec::new());
            drawn
                .write_to(&mut bytes, format(output)?)
                .with_context(|| format!("cannot write {}", output.display()))?;
            atomic::write_bytes(output, bytes.get_ref())?;
        }
        let mut out = io::stdout().lock();
        if self.json {
            let lines: Vec<_> = lines
                .iter()
                .map(|line| json!({"text": text::line(line, self.min_confidence), "digits": line}))
                .collect();
            return print_json(&mut out, &json!({"path": name.to_string(), "lines": lines}));
        }
        if self.images.len() > 1 {
            writeln!(out, "{name}:")?;
        }
        for line in lines {
            writeln!(out, "{}", text::line(line, self.min_confidence))?;
        }
        Ok(())
    }
}

fn format(path: &Path) -> Result<ImageFormat> {
    ImageFormat::from_path(path)
        .with_context(|| format!("cannot write {}; end it in .png", path.display()))
}

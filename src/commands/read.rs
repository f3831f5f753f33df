//! `mnist read`: photographs and scans of several digits → text.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::available_parallelism;

use anyhow::{Context, Result};
use image::{GrayImage, ImageFormat, RgbImage};

use super::args::inference::InferenceArgs;
use super::args::{images, share};
use super::cli::wrong_usage;
use super::console::{self, Results, note, saved, warn};
use crate::files::atomic;
use crate::files::{self, input};
use crate::network::classifier::Classifier;
use crate::output::plot;
use crate::output::{row, text};
use crate::reading::stream::{PAGES_AHEAD, in_order};
use crate::reading::{self, ReadDigit};
use crate::weights;
use mnist_image::decode::{self, Budget};
use mnist_image::page::{self, Lattice};

/// The last two of the images that `--stages` writes, and all of them.
const CANDIDATES: &str = "candidates.png";
const DIGITS: &str = "digits.png";
const STAGES: [&str; 6] =
    ["paper.png", "ink.png", "upright.png", "without-lines.png", CANDIDATES, DIGITS];

/// A page, with the writing found on it.
struct Seen {
    found: Vec<Vec<Lattice>>,
    /// The stages by name, if they are to be shown.
    stages: Vec<(&'static str, GrayImage)>,
    /// The page itself, if it is to be annotated.
    image: Option<RgbImage>,
}

/// Read the digits of a photograph or scan, line by line
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Images of any number of digits each, in any format that `predict` takes; a folder stands for
    /// the images in it, and `-` for a list of paths on standard input, one per line
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    #[command(flatten)]
    inference: InferenceArgs,
    /// Print `?` for digits with a confidence below this, from 0 to 1
    #[arg(long, value_name = "P", default_value_t = 0., value_parser = share::<f32>)]
    min_confidence: f32,
    /// Draw boxes and labels on a single image and write it to this file; the extension chooses
    /// the format
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
            && !images::is_one(&self.images)
        {
            let message = format!("{option} takes one image");
            return Err(wrong_usage("read", message));
        }
        let stages = self.stages.iter().flat_map(|folder| STAGES.map(|name| folder.join(name)));
        for path in stages.clone() {
            atomic::refuse_link(&path)?;
        }
        for path in self.annotate.iter().cloned().chain(stages) {
            atomic::prepare_from(&path, &self.images[0])?;
            self.inference.weights.prepare_output(&path)?;
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
        let (show, keep) = (self.stages.is_some(), self.annotate.is_some());
        let look = move |path: Result<PathBuf>| {
            path.map(|path| {
                let seen = see(&path, show, keep, &budget);
                (path, seen)
            })
        };
        let threads = available_parallelism()?.get();
        in_order(threads, PAGES_AHEAD * threads, images::all(self.images.clone()), look, |ready| {
            for (_, looked) in ready {
                let (path, seen) = match looked {
                    Ok(looked) => looked,
                    Err(error) => {
                        *failed = true;
                        warn(&error);
                        continue;
                    }
                };
                let read = seen.and_then(|seen| {
                    if let Some(folder) = &self.stages {
                        seen.save_stages(folder)?;
                    }
                    let lines = reading::read_lines(model, verifier, &seen.found)?;
                    if let Some(folder) = &self.stages {
                        plot::save(&plot::stages::digits(&lines), &folder.join(DIGITS))?;
                        saved(folder);
                    }
                    Ok((seen.image, lines))
                });
                match read.with_context(|| format!("cannot read the image {}", path.display())) {
                    Ok((image, mut lines)) => {
                        let read = lines.iter_mut().flatten();
                        read.for_each(|digit| digit.answer.is_digit |= self.accept_all);
                        self.show(&path, image, &lines)?;
                    }
                    Err(error) => {
                        *failed = true;
                        warn(&error);
                    }
                }
            }
            Ok(())
        })
    }

    fn show(&self, path: &Path, image: Option<RgbImage>, lines: &[Vec<ReadDigit>]) -> Result<()> {
        let name = path.display();
        if lines.is_empty() {
            note(&format!("{name}: no writing found"));
        } else if !lines.iter().flatten().any(|digit| digit.answer.is_digit) {
            note(&format!("{name}: no digits found in what is written (--accept-all reads it)"));
        }
        if let Some((output, image)) = self.annotate.as_ref().zip(image) {
            let drawn = plot::annotate(image, lines, self.min_confidence)?;
            // By way of memory: on a full disk, `save` leaves half a file and says nothing.
            let mut bytes = Cursor::new(Vec::new());
            drawn
                .write_to(&mut bytes, ImageFormat::from_path(output)?)
                .with_context(|| format!("cannot write {}", output.display()))?;
            atomic::write_bytes(output, bytes.get_ref())?;
            saved(output);
        }
        let mut results = Results::default();
        let text = |line: &Vec<ReadDigit>| text::line(line, self.min_confidence);
        if self.json {
            results.json(&row::page(&name.to_string(), lines, self.min_confidence))?;
        } else {
            if !images::is_one(&self.images) {
                results.line(&format!("{name}:"));
            }
            let lines = lines.iter().map(text).filter(|text| !text.is_empty());
            lines.for_each(|text| results.line(&text));
        }
        results.flush()
    }
}

/// Finds the writing on a page, and keeps what was seen on the way if that is to be shown, and the
/// image if it is to be annotated.
fn see(path: &Path, show: bool, keep: bool, budget: &Budget) -> Result<Seen> {
    input::contained(|| {
        let decoded = files::image::open(path, budget)?;
        let mut stages = Vec::new();
        let found = page::find_and_show(&decode::grey(&decoded.image), &mut |name, stage| {
            if show {
                stages.push((name, stage.clone()));
            }
        });
        Ok(Seen { found, stages, image: keep.then(|| decode::on_white(&decoded.image)) })
    })
}

impl Seen {
    /// Writes what each stage saw to a folder.
    fn save_stages(&self, folder: &Path) -> Result<()> {
        for (name, stage) in &self.stages {
            plot::save_image(&stage.clone().into(), &folder.join(format!("{name}.png")))?;
        }
        if let Some((_, mask)) = self.stages.last() {
            let drawn = plot::stages::candidates(mask, &self.found);
            plot::save_image(&drawn.into(), &folder.join(CANDIDATES))?;
        }
        Ok(())
    }
}

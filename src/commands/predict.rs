//! `mnist predict`: which digit an image shows.

use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::available_parallelism;

use ::image::RgbImage;
use anyhow::{Context, Result};
use serde::Serialize;

use super::args::inference::InferenceArgs;
use super::cli::wrong_usage;
use super::console::{self, Results, note, warn};
use crate::CLASSES;
use crate::files::image as files_image;
use crate::files::{atomic, input, paths};
use crate::network::classifier::Classifier;
use crate::network::verifier::Answer;
use crate::output::plot::{self, Explanation};
use crate::output::text;
use crate::reading::stream::{AHEAD, classify, in_order};
use crate::weights;
use mnist_image::decode::{self, Budget};
use mnist_image::{Digit, single};

/// The path that stands for a list of paths on standard input.
const LIST: &str = "-";

/// Classify images of single digits
#[derive(Debug, clap::Args)]
#[command(mut_arg("threads", |arg| arg.help("Threads that libtorch uses on the CPU; images are decoded on all cores [default: 1]")))]
pub struct Args {
    /// Images of one digit each, of any size: PNG, JPEG, BMP, GIF, WebP, TIFF or PNM; `-` reads a
    /// list of paths from standard input, one per line (for an image itself, use /dev/stdin)
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    #[command(flatten)]
    inference: InferenceArgs,
    /// Show the K most probable digits of each image; JSON always has all ten
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=CLASSES as i64))]
    top: u8,
    /// Explain the prediction of a single image as a figure: the image, what the network saw of
    /// it, and all ten probabilities; the extension chooses the format: .png or .svg
    #[arg(long, value_name = "OUT.png", value_parser = plot::file_name)]
    explain: Option<PathBuf>,
    /// Take every image for a digit, whatever it shows
    #[arg(long)]
    accept_all: bool,
    /// Print JSON, one object per line
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    path: &'a str,
    #[serde(flatten)]
    answer: &'a Answer,
}

/// An image, read.
struct Seen {
    path: PathBuf,
    digit: Digit,
    /// How many more digits there may be.
    others: usize,
    /// The image itself, where it is to be explained.
    input: Option<RgbImage>,
}

impl Args {
    /// Prints a line for each image; one that cannot be read is reported, and the others go on.
    pub fn run(&self) -> Result<ExitCode> {
        if let Some(path) = &self.explain {
            if self.images.len() > 1 || self.images[0].as_os_str() == LIST {
                return Err(wrong_usage("predict", "--explain takes one image"));
            }
            atomic::prepare_from(path, &self.images[0])?;
        }
        // One thread: the cores are for decoding, and libtorch's threads would spin on them.
        let (model, machine) = self.inference.start(Some(1))?;
        let verifier = machine.classifier(weights::verifier()?)?;
        let mut failed = false;
        let done = self.predict(&*model, &*verifier, &mut failed);
        console::ended(done, failed)
    }

    fn predict(
        &self,
        model: &dyn Classifier,
        verifier: &dyn Classifier,
        failed: &mut bool,
    ) -> Result<()> {
        let (budget, keep) = (Budget::default(), self.explain.is_some());
        let look = move |path: Result<PathBuf>| see(path?, keep, &budget);
        let mut results = Results::default();
        in_order(available_parallelism()?.get(), AHEAD, self.paths(), look, |ready| {
            let (mut seen, mut digits) = (Vec::new(), Vec::new());
            for (number, result) in ready {
                match result {
                    Ok(image) => {
                        if image.others > 0 {
                            note(&format!(
                                "{}: the image seems to contain several digits, and only one was \
                                 classified; use `mnist read` for all of them",
                                image.path.display()
                            ));
                        }
                        digits.push((number, image.digit));
                        seen.push(image);
                    }
                    Err(error) => {
                        *failed = true;
                        warn(&error);
                    }
                }
            }
            for (seen, mut answer) in seen.into_iter().zip(classify(model, verifier, &digits)?) {
                answer.is_digit |= self.accept_all;
                self.show(seen, &answer, &mut results)?;
            }
            results.flush()
        })
    }

    /// The paths given, with those on standard input where `-` is.
    fn paths(&self) -> impl Iterator<Item = Result<PathBuf>> + Send + use<> {
        self.images.clone().into_iter().flat_map(|path| {
            let (listed, named) = match path.as_os_str() == LIST {
                true => (Some(paths::lines(BufReader::new(io::stdin()))), None),
                false => (None, Some(Ok(path))),
            };
            let listed = listed.into_iter().flatten().map(|path| {
                path.context(
                    "cannot read standard input, where `-` expects a path per line \
                     (for an image itself, use /dev/stdin)",
                )
            });
            listed.chain(named)
        })
    }

    fn show(&self, seen: Seen, answer: &Answer, results: &mut Results) -> Result<()> {
        if let Some((output, input)) = self.explain.as_ref().zip(seen.input) {
            explain(&seen.path, input, seen.digit, answer, output)?;
        }
        let path = seen.path.to_string_lossy();
        if self.json {
            return results.json(&Line { path: &path, answer });
        }
        results.line(&format!("{path}: {}", text::answer(answer, self.top.into())));
        Ok(())
    }
}

/// Reads an image, and keeps it if it is to be explained.
fn see(path: PathBuf, keep: bool, budget: &Budget) -> Result<Seen> {
    let (single, input) = input::contained(|| {
        let decoded = files_image::open(&path, budget)?;
        let single = single::find(&decode::grey(&decoded.image))?;
        Ok((single, keep.then(|| decode::on_white(&decoded.image))))
    })
    .with_context(|| format!("cannot read the image {}", path.display()))?;
    Ok(Seen { path, digit: single.digit, others: single.others, input })
}

/// Draws how the prediction of `path` came about.
fn explain(
    path: &Path,
    input: RgbImage,
    digit: Digit,
    answer: &Answer,
    output: &Path,
) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let title = text::escape(&format!("{name}: {}", text::answer(answer, 1)));
    let explanation = Explanation { title, input, digit, prediction: answer.prediction.clone() };
    plot::save(&explanation, output)
}

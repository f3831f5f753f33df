//! `mnist predict`: which digit an image shows.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::available_parallelism;

use ::image::RgbImage;
use anyhow::{Context, Result};

use super::args::inference::InferenceArgs;
use super::args::{images, share};
use super::cli::wrong_usage;
use super::console::{self, Results, note, saved, warn};
use crate::CLASSES;
use crate::files::image as files_image;
use crate::files::{atomic, input};
use crate::network::classifier::Classifier;
use crate::network::verifier::Answer;
use crate::output::plot::{self, Explanation};
use crate::output::{row, text};
use crate::reading::stream::{AHEAD, classify, in_order};
use crate::weights;
use mnist_image::decode::{self, Budget};
use mnist_image::{Digit, single};

/// Classify images of single digits
#[derive(Debug, clap::Args)]
#[command(mut_arg("threads", |arg| arg.help("Threads that compute on the CPU; images are decoded on all cores [default: 1]")))]
pub struct Args {
    /// Images of one digit each, of any size: PNG, JPEG, BMP, GIF, WebP, TIFF or PNM; a folder
    /// stands for the images in it, and `-` for a list of paths on standard input, one per line
    /// (for an image itself, use /dev/stdin)
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
    /// Print `?` for digits with a confidence below this, from 0 to 1; JSON and CSV have them all
    #[arg(long, value_name = "P", default_value_t = 0., value_parser = share::<f32>)]
    min_confidence: f32,
    /// Take every image for a digit, whatever it shows
    #[arg(long)]
    accept_all: bool,
    /// Print JSON, one object per line
    #[arg(long)]
    json: bool,
    /// Print CSV with a header: what JSON has, with a column for the probability of each digit
    #[arg(long, conflicts_with = "json")]
    csv: bool,
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
            if !images::is_one(&self.images) {
                return Err(wrong_usage("predict", "--explain takes one image"));
            }
            atomic::prepare_from(path, &self.images[0])?;
            self.inference.weights.prepare_output(path)?;
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
        if self.csv {
            results.csv(table::header());
        }
        let paths = images::all(self.images.clone());
        in_order(available_parallelism()?.get(), AHEAD, paths, look, |ready| {
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

    fn show(&self, seen: Seen, answer: &Answer, results: &mut Results) -> Result<()> {
        if let Some((output, input)) = self.explain.as_ref().zip(seen.input) {
            explain(&seen.path, input, seen.digit, answer, output)?;
        }
        let path = seen.path.to_string_lossy();
        if self.json {
            return results.json(&row::Single { path: &path, answer });
        }
        if self.csv {
            results.csv(table::row(&path, answer));
            return Ok(());
        }
        let text = text::answer(answer, self.top.into(), self.min_confidence);
        results.line(&format!("{path}: {text}"));
        Ok(())
    }
}

/// The columns of `--csv`.
mod table {
    use super::{Answer, CLASSES};

    const FIXED: [&str; 5] = ["path", "digit", "score", "label", "confidence"];

    /// Their names; those of the probabilities are the digits.
    pub fn header() -> impl Iterator<Item = String> {
        let digits = (0..CLASSES).map(|digit| digit.to_string());
        FIXED.into_iter().map(String::from).chain(digits)
    }

    /// What they hold for an image; the label is empty where it shows no digit.
    pub fn row(path: &str, answer: &Answer) -> impl Iterator<Item = String> {
        let prediction = &answer.prediction;
        let label = match answer.is_digit {
            true => prediction.label.to_string(),
            false => String::new(),
        };
        let (score, confidence) = (answer.score.to_string(), prediction.confidence.to_string());
        let fixed = [path.into(), answer.is_digit.to_string(), score, label, confidence];
        fixed.into_iter().chain(prediction.probabilities.map(|share| share.to_string()))
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
    let title = text::escape(&format!("{name}: {}", text::answer(answer, 1, 0.)));
    let explanation = Explanation { title, input, digit, prediction: answer.prediction.clone() };
    plot::save(&explanation, output)?;
    saved(output);
    Ok(())
}

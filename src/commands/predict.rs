//! `mnist predict`: which digits pictures show.

use std::io::{self, BufRead, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ::image::RgbImage;
use anyhow::{Context, Result, anyhow, ensure};
use rayon::prelude::*;
use serde::Serialize;

use super::args::machine::{MachineArgs, start_decoders};
use super::args::weights::WeightsArgs;
use super::console::{print_json, warn};
use crate::CLASSES;
use crate::files::atomic;
use crate::files::image as files_image;
use crate::files::input;
use crate::network::model::Prediction;
use crate::output::plot::{self, Explanation};
use crate::output::text;
use mnist_image::decode::{self, Budget};
use mnist_image::image::{Digit, normalise};

/// Pictures that are decoded, on all cores, and classified at a time.
const BATCH: usize = 256;
/// Bytes in a line of standard input; no system has longer paths.
const MAX_PATH: u64 = 1 << 16;
/// Bytes of a longer line after which its end is no longer looked for.
const MAX_SKIPPED: u64 = 1 << 30;

/// Tell which digit each picture shows
#[derive(Debug, clap::Args)]
#[command(mut_arg("threads", |arg| arg.help("Threads that libtorch uses on the CPU; pictures are decoded on all cores [default: 1]")))]
pub struct Args {
    /// Pictures of one digit each: PNG, JPEG, BMP, GIF, WebP, TIFF or PNM, of any size; `-` reads
    /// paths from standard input, one a line
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    #[command(flatten)]
    weights: WeightsArgs,
    /// Show the K most probable digits of each picture; JSON has all ten
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=CLASSES as i64))]
    top: u8,
    /// Draw why the picture, one only, is read as it is: what was given, what the network saw, and
    /// all ten probabilities; the file's extension names the format, .png or .svg
    #[arg(long, value_name = "OUT.png", value_parser = plot::file_name)]
    explain: Option<PathBuf>,
    #[command(flatten)]
    machine: MachineArgs,
    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    path: &'a str,
    #[serde(flatten)]
    prediction: &'a Prediction,
}

impl Args {
    /// Prints a line for each picture; one that cannot be read is reported, and the rest go on.
    pub fn run(&self) -> Result<ExitCode> {
        if let Some(path) = &self.explain {
            let one = self.images.len() == 1 && self.images[0].as_os_str() != "-";
            ensure!(one, "--explain draws one picture; give the path of one image");
            atomic::prepare_from(path, &self.images[0])?;
        }
        // One thread: the cores are for decoding, and libtorch's threads would spin on them.
        let (model, _) = self.weights.start(&self.machine, Some(1))?;
        start_decoders()?;

        let budget = Budget::default();
        let mut out = io::BufWriter::new(io::stdout().lock());
        let mut failed = false;
        let mut paths =
            self.images.iter().flat_map(|path| -> Box<dyn Iterator<Item = Result<PathBuf>>> {
                match path.as_os_str() == "-" {
                    true => Box::new(lines()),
                    false => Box::new(std::iter::once(Ok(path.clone()))),
                }
            });
        loop {
            let batch: Vec<_> = paths.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                break;
            }
            let (mut read, mut digits) = (Vec::new(), Vec::new());
            let results: Vec<Result<_>> =
                batch.into_par_iter().map(|path| self.look(path?, &budget)).collect();
            for result in results {
                match result {
                    Ok((path, digit, input)) => {
                        read.push((path, input));
                        digits.push(digit);
                    }
                    Err(error) => {
                        failed = true;
                        warn(&error);
                    }
                }
            }
            let predictions = model.predict(&digits)?;
            for (((path, input), digit), prediction) in
                read.into_iter().zip(&digits).zip(predictions)
            {
                if let Some((output, input)) = self.explain.as_ref().zip(input) {
                    explain(&path, input, digit, &prediction, output)?;
                }
                let path = path.to_string_lossy();
                if self.json {
                    print_json(&mut out, &Line { path: &path, prediction: &prediction })?;
                } else {
                    writeln!(out, "{path}: {}", text::prediction(&prediction, self.top.into()))?;
                }
            }
            out.flush()?;
        }
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    /// The digit in a picture, and if it is to be explained, the picture.
    fn look(&self, path: PathBuf, budget: &Budget) -> Result<(PathBuf, Digit, Option<RgbImage>)> {
        if self.explain.is_none() {
            let digit = files_image::read_digit(&path, budget)?;
            return Ok((path, digit, None));
        }
        let look = || {
            let decoded = files_image::open(&path, budget)?;
            let digit = normalise(&decode::grey(&decoded.image))?;
            Ok((digit, Some(decode::on_white(&decoded.image))))
        };
        let (digit, input) = input::contained(look)
            .with_context(|| format!("cannot read the image {}", path.display()))?;
        Ok((path, digit, input))
    }
}

/// Draws how `path` came to be read so.
fn explain(
    path: &Path,
    input: RgbImage,
    digit: &Digit,
    prediction: &Prediction,
    output: &Path,
) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let explanation = Explanation {
        title: format!("{name}: {}", text::prediction(prediction, 1)),
        input,
        digit: *digit,
        prediction: prediction.clone(),
    };
    plot::save(&explanation, output)
}

/// Paths from standard input, one a line; on Unix they need not be UTF-8.
fn lines() -> impl Iterator<Item = Result<PathBuf>> {
    let mut input = io::stdin().lock();
    let (mut number, mut ended) = (0, false);
    std::iter::from_fn(move || {
        while !ended {
            number += 1;
            let mut line = Vec::new();
            let read = (&mut input).take(MAX_PATH + 1).read_until(b'\n', &mut line);
            if let Err(error) = read {
                ended = true; // what cannot be read now cannot be read again
                return Some(Err(error).context("cannot read paths from standard input"));
            }
            if line.len() as u64 > MAX_PATH && !line.ends_with(b"\n") {
                let skipped = (&mut input).take(MAX_SKIPPED).skip_until(b'\n');
                ended = skipped.is_ok_and(|skipped| skipped as u64 == MAX_SKIPPED);
                return Some(Err(anyhow!(
                    "line {number} of standard input is too long for a path"
                )));
            }
            ended = line.is_empty();
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !line.is_empty() {
                return Some(path(line));
            }
        }
        None
    })
}

#[cfg(unix)]
fn path(bytes: &[u8]) -> Result<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    Ok(std::ffi::OsStr::from_bytes(bytes).into())
}

#[cfg(not(unix))]
fn path(bytes: &[u8]) -> Result<PathBuf> {
    Ok(std::str::from_utf8(bytes).context("a path on standard input is not UTF-8")?.into())
}

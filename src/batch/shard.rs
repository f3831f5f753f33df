//! One shard: its images → a part and a receipt.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Error, Result, ensure};
use mnist_image::decode::{self, Budget, MAX_FILE_BYTES};
use mnist_image::page::{self, Lattice};
use mnist_image::{Digit, single};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tar::Header;

use super::{Batch, Input, Options, Verb, WEIGHTS};
use crate::files::input::Source;
use crate::files::{atomic, input, sha256_of};
use crate::network::plain::Plain;
use crate::output::row;
use crate::reading::stream::{AHEAD, PAGES_AHEAD, classify, in_order};
use crate::{reading, weights};

/// Receipts are shorter.
const MAX_RECEIPT_BYTES: u64 = 1 << 16;
/// zstd's own default.
const LEVEL: i32 = 3;
/// The kind of error of an image that is there, but is damaged, too large, or shows nothing.
const DAMAGED: &str = "image";
/// The block that precedes a member's bytes in a `.tar`.
const HEADER_BYTES: u64 = 512;

/// What a shard leaves behind that makes it done.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Receipt {
    /// The SHA-256 of the plan.
    pub plan: String,
    pub shard: usize,
    pub inputs: u64,
    pub rows: u64,
    /// How many images could not be read, by kind.
    pub errors: BTreeMap<String, u64>,
    /// Of the part.
    pub sha256: String,
    pub program: String,
    pub processor: String,
    pub seconds: f64,
}

/// How running a shard ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It had been done before.
    WasDone,
    /// It was done now; so many of its images could not be read.
    Done {
        /// Images of the shard.
        inputs: u64,
        /// Those that could not be read.
        errors: u64,
    },
}

/// What runs shards.
#[derive(Debug)]
pub struct Runner<'b> {
    batch: &'b Batch,
    networks: Arc<(Plain, Plain)>,
    threads: NonZero<usize>,
}

impl Batch {
    /// The receipt of a shard that has one.
    ///
    /// # Errors
    ///
    /// If it, or the part, is not as it was written.
    pub(super) fn done(&self, shard: usize) -> Result<Option<Receipt>> {
        let path = self.receipt(shard);
        if !path.exists() {
            return Ok(None);
        }
        let receipt = || -> Result<Receipt> {
            let bytes = input::read_regular(&path, MAX_RECEIPT_BYTES)?;
            let receipt: Receipt = serde_json::from_slice(&bytes).context("it is damaged")?;
            let inputs = self.plan.shards[shard].inputs;
            let same = |what, found: &str, expected: &str| {
                ensure!(found == expected, "{what} is {found}, not {expected}");
                Ok(())
            };
            same("its plan", &receipt.plan, &self.id)?;
            same("its shard", &receipt.shard.to_string(), &shard.to_string())?;
            same("its version", &receipt.program, crate::VERSION)?;
            same("its number of inputs", &receipt.inputs.to_string(), &inputs.to_string())?;
            same("its number of rows", &receipt.rows.to_string(), &inputs.to_string())?;
            let part = self.part(shard);
            let opened = File::open(&part).with_context(|| part.display().to_string())?;
            same("the SHA-256 of its part", &sha256_of(opened)?, &receipt.sha256)?;
            Ok(receipt)
        };
        let receipt = receipt().with_context(|| {
            format!(
                "cannot trust the receipt {}; delete it to have the shard done again",
                path.display()
            )
        })?;
        Ok(Some(receipt))
    }
}

impl<'b> Runner<'b> {
    /// Loads the networks of a batch. Images are read on `threads` threads.
    ///
    /// # Errors
    ///
    /// If the weights are not those of the plan.
    pub fn new(batch: &'b Batch, threads: NonZero<usize>) -> Result<Runner<'b>> {
        let path = batch.folder.join(WEIGHTS);
        let (model, verifier) = (weights::load(&path)?, weights::verifier()?);
        for (what, found, planned) in [
            (path.display().to_string(), super::digest(&model), &batch.plan.weights),
            ("the built-in verifier".into(), super::digest(&verifier), &batch.plan.verifier),
        ] {
            ensure!(
                found == *planned,
                "{what}: the SHA-256 of its values is {found}, and the plan was made with {planned}"
            );
        }
        let one = NonZero::<usize>::MIN;
        let networks = Arc::new((Plain::new(model, one), Plain::new(verifier, one)));
        Ok(Runner { batch, networks, threads })
    }

    /// Runs a shard, unless it is done.
    ///
    /// # Errors
    ///
    /// If there is no such shard, it has a receipt that is not true, or nothing can be written. An
    /// image that cannot be read is no error, but a row that says why.
    pub fn run(&self, shard: usize) -> Result<Outcome> {
        let inputs = self.batch.inputs(shard)?;
        if self.batch.done(shard)?.is_some() {
            return Ok(Outcome::WasDone);
        }
        let start = Instant::now();
        let (count, part) = (inputs.len() as u64, self.batch.part(shard));
        let (mut rows, mut errors, mut sha256) = (0, BTreeMap::new(), String::new());
        atomic::write(&part, |temporary| {
            (rows, errors) = self.write(inputs, temporary)?;
            sha256 = sha256_of(File::open(temporary)?)?;
            Ok(())
        })?;
        ensure!(rows == count, "shard {shard} has {count} inputs, but {rows} rows");
        let failed = errors.values().sum();
        let receipt = Receipt {
            plan: self.batch.id.clone(),
            shard,
            inputs: count,
            rows,
            errors,
            sha256,
            program: crate::VERSION.into(),
            processor: processor(),
            seconds: start.elapsed().as_secs_f64(),
        };
        atomic::write_bytes(&self.batch.receipt(shard), serde_json::to_vec(&receipt)?)?;
        Ok(Outcome::Done { inputs: count, errors: failed })
    }

    /// Writes the part of these images; returns the number of rows, and of errors by kind.
    fn write(&self, inputs: Vec<Input>, path: &Path) -> Result<(u64, BTreeMap<String, u64>)> {
        let mut part = zstd::Encoder::new(File::create(path)?, LEVEL)?;
        part.include_checksum(true)?;
        let (networks, budget) = (Arc::clone(&self.networks), Budget::default());
        let options = self.batch.plan.options.clone();
        let work = move |input: Input| row(&input, &options, &networks, &budget);
        let threads = self.threads.get();
        let ahead = match self.batch.plan.options.verb {
            Verb::Predict => AHEAD,
            Verb::Read => PAGES_AHEAD * threads,
        };
        let (mut rows, mut errors) = (0, BTreeMap::new());
        in_order(threads, ahead, inputs.into_iter(), work, |ready| {
            for (_, row) in ready {
                let (line, error) = row?;
                part.write_all(&line)?;
                rows += 1;
                if let Some(kind) = error {
                    *errors.entry(kind.to_owned()).or_default() += 1;
                }
            }
            Ok(())
        })?;
        part.finish()?.sync_all()?;
        Ok((rows, errors))
    }
}

/// What was found on an image.
enum Seen {
    Digit(Box<Digit>),
    Page(Vec<Vec<Lattice>>),
}

/// The line of an image, and the kind of its error if it has one. The error that is returned is the
/// network's.
fn row(
    input: &Input,
    options: &Options,
    (model, verifier): &(Plain, Plain),
    budget: &Budget,
) -> Result<(Vec<u8>, Option<&'static str>)> {
    let path = input.shown();
    let seen = open(input).map_err(|error| (kind(&error), error)).and_then(|source| {
        let look = || {
            let decoded = decode::from_reader(source, budget)?;
            let grey = decode::grey(&decoded.image);
            Ok(match options.verb {
                Verb::Predict => Seen::Digit(Box::new(single::find(&grey)?.digit)),
                Verb::Read => Seen::Page(page::find(&grey)),
            })
        };
        input::contained(look).map_err(|error| (DAMAGED, error))
    });
    let (mut line, mut failed) = (Vec::new(), None);
    match seen {
        Err((kind, error)) => {
            failed = Some(kind);
            let error = json!({"kind": kind, "text": format!("{error:#}")});
            serde_json::to_writer(&mut line, &json!({"path": path, "error": error}))?;
        }
        Ok(Seen::Digit(digit)) => {
            for mut answer in classify(model, verifier, &[(0, *digit)])? {
                answer.is_digit |= options.accept_all;
                serde_json::to_writer(&mut line, &row::Single { path: &path, answer: &answer })?;
            }
        }
        Ok(Seen::Page(found)) => {
            let mut lines = reading::read_lines(model, verifier, &found)?;
            let digits = lines.iter_mut().flatten();
            digits.for_each(|digit| digit.answer.is_digit |= options.accept_all);
            let row = row::page(&path, &lines, options.min_confidence);
            serde_json::to_writer(&mut line, &row)?;
        }
    }
    line.push(b'\n');
    Ok((line, failed))
}

/// Whether a file is missing, or there and cannot be read.
fn kind(error: &Error) -> &'static str {
    let cause = error.downcast_ref::<std::io::Error>();
    match cause.map(std::io::Error::kind) {
        Some(ErrorKind::NotFound) => "missing",
        _ => "file",
    }
}

/// Opens an image; one in a `.tar` only if its header is the one that was planned.
fn open(input: &Input) -> Result<Box<dyn Source>> {
    let path = Path::new(&input.path);
    let Some(member) = &input.member else { return input::open_regular(path, MAX_FILE_BYTES) };
    let changed = "the archive is not the one that was planned";
    let start = member.at.checked_sub(HEADER_BYTES).context(changed)?;
    let mut header = Header::new_old();
    input::open_slice(path, start, HEADER_BYTES, HEADER_BYTES)?
        .read_exact(header.as_mut_bytes())?;
    ensure!(header.cksum().ok() == Some(member.header), changed);
    input::open_slice(path, member.at, member.size, MAX_FILE_BYTES)
}

/// The type of this processor: others may round otherwise.
fn processor() -> String {
    let about = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = about.lines().find(|line| line.starts_with("model name"));
    let name = name.and_then(|line| line.split_once(": ")).map(|(_, name)| name.to_owned());
    name.unwrap_or_else(|| std::env::consts::ARCH.into())
}

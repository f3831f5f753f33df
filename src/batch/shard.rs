//! One shard: its images → a part and a receipt.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Error, Result, ensure};
use mnist_image::decode::Budget;
use serde::{Deserialize, Serialize};

use super::check::errors_in;
use super::row::row;
use super::{Batch, Input, Verb, WEIGHTS};
use crate::files::{atomic, input, sha256_of};
use crate::network::plain::Plain;
use crate::network::processor::processor;
use crate::reading::stream::{AHEAD, PAGES_AHEAD, in_order};
use crate::weights;

/// Receipts are shorter.
const MAX_RECEIPT_BYTES: u64 = 1 << 16;
/// zstd's own default.
const LEVEL: i32 = 3;

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
#[derive(Debug)]
pub enum Outcome {
    /// It had been done before, or was by another at the same time.
    WasDone,
    /// It was done now; so many of its images could not be read.
    Done {
        /// Images of the shard.
        inputs: u64,
        /// Those that could not be read.
        errors: u64,
        /// What was wrong with the receipt that it had, if it had one.
        doubt: Option<Error>,
    },
}

/// What runs shards.
#[derive(Debug)]
pub struct Runner<'b> {
    batch: &'b Batch,
    networks: Arc<(Plain, Plain)>,
    threads: NonZero<usize>,
    allow_missing: bool,
}

impl Batch {
    /// The receipt of a shard with these inputs, if it is done.
    ///
    /// # Errors
    ///
    /// If it, or the part, is not as it was written.
    pub(super) fn done(&self, shard: usize, inputs: &[Input]) -> Result<Option<Receipt>> {
        let path = self.receipt(shard);
        if !path.exists() {
            return Ok(None);
        }
        let receipt = || -> Result<Receipt> {
            let bytes = input::read_regular(&path, MAX_RECEIPT_BYTES)?;
            let receipt: Receipt = serde_json::from_slice(&bytes).context("it is damaged")?;
            let same = |what, found: &str, expected: &str| {
                ensure!(found == expected, "{what} is {found}, not {expected}");
                Ok(())
            };
            same("its plan", &receipt.plan, &self.id)?;
            same("its shard", &receipt.shard.to_string(), &shard.to_string())?;
            same("its version", &receipt.program, crate::VERSION)?;
            let count = inputs.len().to_string();
            same("its number of inputs", &receipt.inputs.to_string(), &count)?;
            same("its number of rows", &receipt.rows.to_string(), &count)?;
            let part = self.part(shard);
            let opened =
                input::open_regular(&part, u64::MAX).with_context(|| part.display().to_string())?;
            same("the SHA-256 of its part", &sha256_of(opened)?, &receipt.sha256)?;
            let errors = errors_in(&part, inputs).with_context(|| part.display().to_string())?;
            ensure!(
                errors == receipt.errors,
                "it has other errors than its part: {:?}, not {errors:?}",
                receipt.errors
            );
            Ok(receipt)
        };
        let receipt = receipt();
        receipt.map(Some).with_context(|| format!("cannot trust the receipt {}", path.display()))
    }
}

impl<'b> Runner<'b> {
    /// Loads the networks of a batch. Images are read on `threads` threads. With `allow_missing`, a
    /// planned image that cannot be reached is a row with its error, and does not fail the shard.
    ///
    /// # Errors
    ///
    /// If the weights are not those of the plan.
    pub fn new(
        batch: &'b Batch,
        threads: NonZero<usize>,
        allow_missing: bool,
    ) -> Result<Runner<'b>> {
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
        Ok(Runner { batch, networks, threads, allow_missing })
    }

    /// Runs a shard, unless it is done. One whose receipt is not true is done again.
    ///
    /// # Errors
    ///
    /// If there is no such shard, or nothing can be written; [`Unreachable`](super::Unreachable) if
    /// an image that was there when it was planned cannot be reached. An image that cannot be read
    /// for what it is, or was missing then, is no error, but a row that says why.
    pub fn run(&self, shard: usize) -> Result<Outcome> {
        let inputs = self.batch.inputs(shard)?;
        let doubt = match self.batch.done(shard, &inputs) {
            Ok(Some(_)) => return Ok(Outcome::WasDone),
            Ok(None) => None,
            Err(doubt) => Some(doubt),
        };
        let start = Instant::now();
        let (count, part) = (inputs.len() as u64, self.batch.part(shard));
        let (mut rows, mut errors, mut sha256) = (0, BTreeMap::new(), String::new());
        atomic::refuse_link(&self.batch.receipt(shard))?; // before the work
        let is_done = || matches!(self.batch.done(shard, &inputs), Ok(Some(_)));
        let written = atomic::write_among_others(&part, |temporary| {
            (rows, errors) = self.write(inputs.clone(), temporary)?;
            ensure!(rows == count, "shard {shard} has {count} inputs, but {rows} rows");
            sha256 = sha256_of(File::open(temporary)?)?;
            ensure!(!is_done(), "another attempt was faster"); // its part and receipt stay
            Ok(())
        });
        if written.is_err() && is_done() {
            return Ok(Outcome::WasDone);
        }
        written?;
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
        let receipt = serde_json::to_vec(&receipt)?;
        atomic::write_among_others(&self.batch.receipt(shard), |temporary| {
            Ok(fs::write(temporary, receipt)?)
        })?;
        Ok(Outcome::Done { inputs: count, errors: failed, doubt })
    }

    /// Writes the part of these images; returns the number of rows, and of errors by kind.
    fn write(&self, inputs: Vec<Input>, path: &Path) -> Result<(u64, BTreeMap<String, u64>)> {
        let mut part = zstd::Encoder::new(File::create(path)?, LEVEL)?;
        part.include_checksum(true)?;
        let (networks, budget) = (Arc::clone(&self.networks), Budget::default());
        let options = self.batch.plan.options.clone();
        let allow_missing = self.allow_missing;
        let work = move |input: Input| row(&input, &options, allow_missing, &networks, &budget);
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

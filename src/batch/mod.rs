//! Batches: images in shards that are transactions, so that any engine can run them anywhere.
//!
//! A plan lists all images and cuts the list into shards. Running a shard writes one part, and then
//! a receipt, which makes it done. Both appear whole or not at all, and the part has the same bytes
//! whoever writes it; hence attempts may be killed, repeated, and run at the same time. Nothing
//! relies on locks.
//!
//! The network is computed in plain Rust with or without libtorch: it adds in the same order
//! whichever images are computed together.

mod check;
mod planning;
mod row;
mod shard;

use std::io::{self, ErrorKind, Read};
use std::ops::Not;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::files::{input, sha256_hex};
use crate::network::arrays::Arrays;
use crate::weights::bytes_of;

pub use check::{Check, Totals, check, missing};
pub use planning::plan;
pub use row::Unreachable;
pub use shard::{Outcome, Runner};

/// The version of the files in a batch's folder.
const FORMAT: u32 = 1;
const PLAN: &str = "plan.json";
const INPUTS: &str = "inputs.jsonl";
const WEIGHTS: &str = "weights.safetensors";
const PARTS: &str = "parts";
/// What the name of a receipt ends with.
const RECEIPT: &str = ".receipt.json";
const SUCCESS: &str = "_SUCCESS";
/// As many as are in a plan that is read.
const MAX_SHARDS: usize = 5_000_000;
/// Bytes of a plan: some 150 for a shard, and never 200.
const MAX_PLAN_BYTES: u64 = 1 << 30;

/// What is done to each image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Read a page, as `mnist read` does.
    Read,
    /// Classify a single digit, as `mnist predict` does.
    Predict,
}

/// How it is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// What is done to each image.
    pub verb: Verb,
    /// Whether everything is taken for digits.
    pub accept_all: bool,
    /// Digits of a page that are less sure than this are `?` in its text.
    pub min_confidence: f32,
}

/// One image of the list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<Member>,
    /// Whether it was not there when it was planned: it is not looked for again.
    #[serde(default, skip_serializing_if = "Not::not")]
    missing: bool,
}

/// Where in a `.tar` an image lies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Member {
    name: String,
    at: u64,
    size: u64,
    /// The checksum of its header, which shows that the archive is still the same.
    header: u32,
}

impl Input {
    /// What its row calls it. The name of a member is a label only: nothing is extracted.
    fn shown(&self) -> String {
        match &self.member {
            Some(member) => format!("{}/{}", self.path, member.name),
            None => self.path.clone(),
        }
    }
}

/// The part of the list that is one shard.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Slice {
    at: u64,
    bytes: u64,
    inputs: u64,
    sha256: String,
}

/// A plan, as it lies in its folder.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    format: u32,
    program: String,
    options: Options,
    /// SHA-256 of the values of the weights, and of those that find and cut digits.
    weights: String,
    verifier: String,
    /// How many of its images could not be found.
    missing: u64,
    shards: Vec<Slice>,
}

/// A plan with the SHA-256 of its JSON, so that one that was changed or cut is known.
#[derive(Deserialize, Serialize)]
struct Signed<P> {
    plan: P,
    sha256: String,
}

/// What every format has.
#[derive(Deserialize)]
struct Versions {
    format: u32,
    program: String,
}

/// A folder with a plan.
#[derive(Debug)]
pub struct Batch {
    folder: PathBuf,
    plan: Plan,
    /// The SHA-256 of the plan, which receipts name.
    id: String,
}

impl Batch {
    /// Opens the folder of a batch.
    ///
    /// # Errors
    ///
    /// If it has no plan, or one that was changed, cut, or made by another version of the program.
    pub fn open(folder: &Path) -> Result<Batch> {
        let path = folder.join(PLAN);
        let read = || -> Result<_> {
            let bytes = input::read_regular(&path, MAX_PLAN_BYTES)?;
            let damaged = "it is damaged; make the plan again in another folder";
            let versions: Signed<Versions> = serde_json::from_slice(&bytes).context(damaged)?;
            let Versions { format, program } = versions.plan;
            ensure!(
                format == FORMAT && program == crate::VERSION,
                "it was made by mnist {program} (format {format}), and this is mnist {} (format \
                 {FORMAT}); run all of a batch with one version",
                crate::VERSION
            );
            let Signed { plan, sha256 }: Signed<Plan> =
                serde_json::from_slice(&bytes).context(damaged)?;
            let found = sha256_hex(&serde_json::to_vec(&plan)?);
            ensure!(
                found == sha256,
                "it was changed: its SHA-256 is {found}, not {sha256}; make the plan again in \
                 another folder"
            );
            ensure!(
                !plan.shards.is_empty(),
                "it has no shards; make the plan again in another folder"
            );
            Ok((plan, sha256))
        };
        let (plan, id) =
            read().with_context(|| format!("cannot use the plan {}", path.display()))?;
        Ok(Batch { folder: folder.into(), plan, id })
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.plan.shards.len()
    }

    /// How many images there are.
    pub fn images(&self) -> u64 {
        self.plan.shards.iter().map(|shard| shard.inputs).sum()
    }

    /// How many of its images were not there when they were planned.
    pub fn missing(&self) -> u64 {
        self.plan.missing
    }

    /// Where its plan lies.
    pub fn plan_path(&self) -> PathBuf {
        self.folder.join(PLAN)
    }

    /// Where the totals lie of a batch that is done.
    pub fn success_path(&self) -> PathBuf {
        self.folder.join(SUCCESS)
    }

    fn part(&self, shard: usize) -> PathBuf {
        self.folder.join(PARTS).join(format!("part-{shard:05}.jsonl.zst"))
    }

    fn receipt(&self, shard: usize) -> PathBuf {
        self.folder.join(PARTS).join(format!("part-{shard:05}{RECEIPT}"))
    }

    /// The images of a shard.
    fn inputs(&self, shard: usize) -> Result<Vec<Input>> {
        let path = self.folder.join(INPUTS);
        let slice = self.plan.shards.get(shard).with_context(|| {
            format!("there is no shard {shard}: the plan has {}, from 0", self.shards())
        })?;
        let read = || -> Result<Vec<Input>> {
            let mut bytes = Vec::new();
            input::open_slice(&path, slice.at, slice.bytes, u64::MAX)?.read_to_end(&mut bytes)?;
            let found = sha256_hex(&bytes);
            ensure!(
                found == slice.sha256,
                "the inputs of shard {shard} were changed: their SHA-256 is {found}, not {}; make \
                 the plan again in another folder",
                slice.sha256
            );
            let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            lines.map(|line| Ok(serde_json::from_slice(line)?)).collect()
        };
        read().with_context(|| format!("cannot use the list of inputs {}", path.display()))
    }
}

/// Whether an error says that there is no such file.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// The SHA-256 of the values of weights.
fn digest(arrays: &Arrays) -> String {
    let bytes: Vec<u8> = arrays.values.iter().flat_map(|values| bytes_of(values)).collect();
    sha256_hex(&bytes)
}

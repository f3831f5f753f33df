//! Whether all of a batch is done, and true.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, Error, Result, ensure};
use serde::{Deserialize, Serialize};

use super::{Batch, Input, PARTS, RECEIPT};
use crate::files::{atomic, input};

/// Bytes of a row that are read: a page of a hundred thousand digits has fewer.
const MAX_ROW_BYTES: u64 = 1 << 26;

/// What a batch came to.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Totals {
    /// The SHA-256 of the plan.
    pub plan: String,
    /// All shards.
    pub shards: usize,
    /// Images, each with one row.
    pub rows: u64,
    /// How many could not be read, by kind.
    pub errors: BTreeMap<String, u64>,
    /// Shards by the type of processor that ran them.
    pub processors: BTreeMap<String, u64>,
    /// The time they took, one after another.
    pub seconds: f64,
}

/// What [`check`] found.
#[derive(Debug)]
pub struct Check {
    /// Of the shards that are done.
    pub totals: Totals,
    /// The shards that are not.
    pub missing: Vec<usize>,
    /// Those that seem done, and are not as their receipts say.
    pub wrong: Vec<(usize, Error)>,
}

/// A row, as far as it matters here.
#[derive(Deserialize)]
struct Row {
    path: String,
    error: Option<RowError>,
}

#[derive(Deserialize)]
struct RowError {
    kind: String,
}

/// Reads all parts: whether each has the rows of its inputs, in their order, and is as its receipt
/// says. If so, writes `_SUCCESS` with the totals, and removes what killed runs have left;
/// otherwise there is none.
///
/// # Errors
///
/// If `_SUCCESS` cannot be written or removed.
pub fn check(batch: &Batch) -> Result<Check> {
    let totals = Totals { plan: batch.id.clone(), shards: batch.shards(), ..Totals::default() };
    let mut check = Check { totals, missing: Vec::new(), wrong: Vec::new() };
    for shard in 0..batch.shards() {
        if let Err(error) = add(batch, shard, &mut check) {
            check.wrong.push((shard, error));
        }
    }
    let success = batch.success_path();
    if check.missing.is_empty() && check.wrong.is_empty() {
        atomic::refuse_link(&success)?;
        atomic::write_bytes(&success, serde_json::to_vec(&check.totals)?)?;
        atomic::remove_temporary(&batch.folder.join(PARTS));
    } else if success.exists() {
        fs::remove_file(&success)
            .with_context(|| format!("cannot remove {}", success.display()))?;
    }
    Ok(check)
}

fn add(batch: &Batch, shard: usize, check: &mut Check) -> Result<()> {
    let inputs = batch.inputs(shard)?;
    let Some(receipt) = batch.done(shard, &inputs)? else {
        check.missing.push(shard);
        return Ok(());
    };
    let totals = &mut check.totals;
    totals.rows += receipt.rows;
    totals.seconds += receipt.seconds;
    *totals.processors.entry(receipt.processor).or_default() += 1;
    for (kind, count) in receipt.errors {
        *totals.errors.entry(kind).or_default() += count;
    }
    Ok(())
}

/// The errors in a part, by kind.
///
/// # Errors
///
/// If it does not have the rows of these inputs, in their order, and no others.
pub(super) fn errors_in(part: &Path, inputs: &[Input]) -> Result<BTreeMap<String, u64>> {
    let mut rows = BufReader::new(zstd::Decoder::new(input::open_regular(part, u64::MAX)?)?);
    let mut errors = BTreeMap::new();
    for input in inputs {
        let mut line = Vec::new();
        rows.by_ref().take(MAX_ROW_BYTES).read_until(b'\n', &mut line)?;
        let expected = input.shown();
        let row: Row = serde_json::from_slice(&line)
            .with_context(|| format!("the row of {expected} is damaged"))?;
        ensure!(row.path == expected, "it has a row of {}, not of {expected}", row.path);
        if let Some(error) = row.error {
            *errors.entry(error.kind).or_default() += 1;
        }
    }
    ensure!(rows.fill_buf()?.is_empty(), "it has more rows than inputs");
    Ok(errors)
}

/// The shards that have no receipt; those that there are are not looked into.
///
/// # Errors
///
/// If the folder cannot be listed.
pub fn missing(batch: &Batch) -> Result<Vec<usize>> {
    let folder = batch.folder.join(PARTS);
    let entries = fs::read_dir(&folder)
        .with_context(|| format!("cannot list the folder {}", folder.display()))?;
    let mut is_done = vec![false; batch.shards()];
    for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let number = name.strip_prefix("part-").and_then(|name| name.strip_suffix(RECEIPT));
        if let Some(shard) = number.and_then(|number| number.parse::<usize>().ok())
            && let Some(is_done) = is_done.get_mut(shard)
        {
            *is_done = true;
        }
    }
    Ok((0..batch.shards()).filter(|shard| !is_done[*shard]).collect())
}

//! Records: what is to be known of weights, in a JSON file beside them.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde::Deserialize;

use crate::dataset::sha256_hex;
use crate::files::input;

/// The most bytes of a record; those of a hundred thousand epochs are smaller.
const MAX_BYTES: u64 = 1 << 26;

/// What a record says of the weights beside it.
#[derive(Deserialize)]
struct Record {
    weights: Weights,
}

#[derive(Deserialize)]
struct Weights {
    file: String,
    sha256: String,
    /// The SHA-256 of the weights that were there before.
    #[serde(default)]
    replaced: Option<String>,
}

/// Where the record of the weights at `path` lies.
pub fn path_of(path: &Path) -> PathBuf {
    path.with_extension("json")
}

/// What a record calls the weights at `path`.
pub fn name_of(path: &Path) -> Option<Cow<'_, str>> {
    path.file_name().map(OsStr::to_string_lossy)
}

/// What the record beside the weights at `path` says of them. Any other file may lie there.
fn recorded(path: &Path) -> Option<Weights> {
    let text = input::read_regular(&path_of(path), MAX_BYTES).ok()?;
    let Record { weights } = serde_json::from_slice(&text).ok()?;
    (name_of(path)? == weights.file).then_some(weights)
}

/// Makes sure that a record of the weights at `path` would replace nothing else.
pub fn check_place(path: &Path) -> Result<()> {
    let record = path_of(path);
    ensure!(
        !record.exists() || recorded(path).is_some(),
        "cannot save {}: its record would replace {}, which is something else; name another file",
        path.display(),
        record.display()
    );
    Ok(())
}

/// Makes sure that no record lies beside the weights to be written at `path`.
pub fn check_unrecorded(path: &Path) -> Result<()> {
    ensure!(
        recorded(path).is_none(),
        "{} is the record of other weights named {}; name another file, or delete the record",
        path_of(path).display(),
        path.display()
    );
    Ok(())
}

/// Makes sure that the record beside `path`, if there is one, is of weights that are `bytes`.
pub fn check(path: &Path, bytes: &[u8]) -> Result<()> {
    let Some(Weights { sha256, replaced, .. }) = recorded(path) else { return Ok(()) };
    let own = sha256_hex(bytes);
    ensure!(
        own == sha256 || Some(own) == replaced,
        "its SHA-256 is not the one in its record {}: one of them is damaged, or of another \
         training; restore it, or delete the record to use the weights as they are",
        path_of(path).display()
    );
    Ok(())
}

//! Records: what is to be known of weights, in a JSON file beside them, for people and for formats
//! that have no place for it within.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::dataset::BUILT_IN;
use crate::files::input;

/// The most bytes of a record; those of a hundred thousand epochs are smaller.
const MAX_RECORD_BYTES: u64 = 1 << 26;
/// The most bytes of a record that is kept as it is; in memory it takes up to a hundred times that.
const MAX_KEPT: usize = 1 << 22;

/// A record, as far as it tells which weights it is of.
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

/// What lies in the place of the record of certain weights.
pub enum Beside {
    /// Nothing, or the record of another file that lies there.
    Nothing,
    /// Their record, if it is not too long to be kept.
    Record(Option<Value>),
    /// A record at that path that names the file, but has the SHA-256 of other weights.
    Mismatch(PathBuf),
    /// A file at that path that is no record, a damaged one, or that of other weights.
    Doubtful(PathBuf, &'static str),
}

/// The share of MNIST's test set that weights get right, by their record: that of another test set
/// is none.
pub fn accuracy_on_mnist(record: &Value) -> Option<f64> {
    let is_mnist = record["configuration"]["data"] == BUILT_IN
        && record["configuration"]["data_sha256"] == Value::Null;
    let mut sets = record["sets"].as_array().into_iter().flatten();
    match is_mnist {
        true => record["test"]["accuracy"].as_f64(),
        false => sets.find(|set| set["data"] == BUILT_IN)?["accuracy"].as_f64(),
    }
}

/// The file that `path` leads to: records lie beside that, not beside a link to it.
pub fn target(path: &Path) -> Cow<'_, Path> {
    match fs::canonicalize(path) {
        Ok(target) if path.is_symlink() => target.into(),
        _ => path.into(),
    }
}

/// Where the record of the weights at `path` lies.
pub fn path_of(path: &Path) -> PathBuf {
    path.with_extension("json")
}

/// What a record calls the weights at `path`.
pub fn name_of(path: &Path) -> Option<Cow<'_, str>> {
    path.file_name().map(OsStr::to_string_lossy)
}

/// Looks for the record of the weights at `path`, whose SHA-256 is `sha256`.
pub fn beside(path: &Path, sha256: &str) -> Beside {
    let target = target(path);
    match beside_exactly(&target, sha256) {
        // Records used to lie beside links.
        Beside::Nothing if target != path => beside_exactly(path, sha256),
        found => found,
    }
}

fn beside_exactly(path: &Path, sha256: &str) -> Beside {
    let place = path_of(path);
    if place == path || fs::symlink_metadata(&place).is_err() {
        return Beside::Nothing;
    }
    if !place.is_file() {
        return Beside::Doubtful(place, "it is no regular file");
    }
    if fs::metadata(&place).is_ok_and(|metadata| metadata.len() > MAX_RECORD_BYTES) {
        return Beside::Doubtful(place, "it is larger than any record");
    }
    let Ok(text) = input::read_regular(&place, MAX_RECORD_BYTES) else {
        return Beside::Doubtful(place, "it cannot be read");
    };
    let Weights { file, sha256: recorded, replaced } = match serde_json::from_slice(&text) {
        Ok(Record { weights }) => weights,
        Err(error) if error.is_data() => {
            return Beside::Doubtful(
                place,
                "it does not say which weights it is of, by `file` and `sha256`",
            );
        }
        Err(_) => return Beside::Doubtful(place, "it is damaged, or not a record"),
    };
    if recorded == sha256 || replaced.as_deref() == Some(sha256) {
        let kept = text.len() <= MAX_KEPT;
        return Beside::Record(kept.then(|| serde_json::from_slice(&text).ok()).flatten());
    }
    if name_of(path).is_some_and(|name| name == file) {
        return Beside::Mismatch(place);
    }
    // It may be the record of a file that lies there as well.
    match path.with_file_name(file).exists() {
        true => Beside::Nothing,
        false => Beside::Doubtful(place, "it is the record of other weights"),
    }
}

/// Whether a record at the place of that of the weights at `path` names these.
fn is_recorded(path: &Path) -> bool {
    let place = path_of(path);
    let record =
        if place.is_file() { input::read_regular(&place, MAX_RECORD_BYTES).ok() } else { None };
    let record = record.and_then(|text| serde_json::from_slice::<Record>(&text).ok());
    record.zip(name_of(path)).is_some_and(|(record, name)| record.weights.file == name)
}

/// Makes sure that a record of the weights at `path` would replace nothing else.
pub fn check_place(path: &Path) -> Result<()> {
    let record = path_of(path);
    ensure!(
        !record.exists() || is_recorded(path),
        "cannot save {}: its record would replace {}, which is something else; name another file",
        path.display(),
        record.display()
    );
    Ok(())
}

/// Makes sure that no record lies beside the weights to be written at `path`.
pub fn check_unrecorded(path: &Path) -> Result<()> {
    let path = &target(path);
    ensure!(
        !is_recorded(path),
        "{} is the record of other weights named {}; name another file, or delete the record",
        path_of(path).display(),
        path.display()
    );
    Ok(())
}

/// A record without what differs between two runs that are otherwise the same.
pub fn without_times(record: &Value) -> Value {
    let mut record = record.clone();
    if let Some(record) = record.as_object_mut() {
        record.remove("weights"); // of the copy beside
        for of_the_run in ["command", "started", "seconds"] {
            record.remove(of_the_run);
        }
    }
    for epoch in record.get_mut("history").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(epoch) = epoch.as_object_mut() {
            epoch.remove("seconds");
        }
    }
    record
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_is_distinguished_from_other_files_there() {
        let folder = tempfile::tempdir().unwrap();
        let (path, place) = (folder.path().join("a.ot"), folder.path().join("a.json"));
        let found = |text: &str| {
            fs::write(&place, text).unwrap();
            match beside(&path, "1") {
                Beside::Nothing => "nothing",
                Beside::Record(_) => "record",
                Beside::Mismatch(_) => "mismatch",
                Beside::Doubtful(_, why) => why,
            }
        };
        let of = |file: &str, sha256: &str| {
            found(&json!({"weights": {"file": file, "sha256": sha256}}).to_string())
        };
        assert_eq!(of("a.ot", "1"), "record");
        assert_eq!(of("b.ot", "1"), "record"); // both were renamed
        assert_eq!(of("a.ot", "2"), "mismatch");
        assert_eq!(of("b.ot", "2"), "it is the record of other weights");
        fs::write(folder.path().join("b.ot"), "").unwrap();
        assert_eq!(of("b.ot", "2"), "nothing"); // of the file that lies there
        for unusable in [
            "{}",
            "[]",
            "null",
            r#"{"name": "my package"}"#,
            r#"{"weights": {"file": "a.ot"}}"#,
            r#"{"weights": {"file": "a.ot", "sha256": null}}"#,
            r#"{"weights": {"file": "a.ot", "sha256": 1}}"#,
        ] {
            assert!(found(unusable).contains("does not say which weights"), "{unusable}");
        }
        assert_eq!(found(r#"{"weights": {"fi"#), "it is damaged, or not a record");
        assert_eq!(
            found(r#"{"weights": {"file": "a.ot", "sha256": "0", "replaced": "1"}}"#),
            "record"
        );
        fs::remove_file(&place).unwrap();
        assert!(matches!(beside(&path, "1"), Beside::Nothing));
    }

    #[test]
    fn the_same_run_has_the_same_record() {
        let record = |seconds| {
            let history = [json!({"loss": 1, "seconds": seconds})];
            json!({"command": [seconds], "started": seconds, "seconds": seconds, "history": history, "weights": {}})
        };
        assert_eq!(without_times(&record(1)), without_times(&record(2)));
        assert_eq!(without_times(&record(1)), json!({"history": [{"loss": 1}]}));
    }
}

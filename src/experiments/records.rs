//! Runs of a comparison that are done each by itself, on any machine: a file for each.

use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::experiments::journal;
use crate::experiments::run::{Configuration, Run};
use crate::experiments::variation::Varied;
use crate::files::{atomic, input};

/// The folder of the records within that of a comparison.
const RECORDS: &str = "runs";
/// The most bytes of a record, which are those of a run of thousands of epochs.
const MAX_RECORD_BYTES: u64 = 1 << 24;

/// Where the record of run `number` lies, of a comparison in `folder`.
pub fn path(folder: &Path, number: usize) -> PathBuf {
    folder.join(RECORDS).join(format!("run-{number:05}.json"))
}

/// What there is of a run.
#[derive(Debug)]
pub enum Record {
    /// Nothing.
    Missing,
    /// A file that is cut or no JSON, and why it is not used.
    Damaged(Error),
    /// The run.
    Whole(Box<Run>),
}

/// Keeps run `number`, whose JSON is `run` or has more; it is on disk when this returns.
///
/// # Errors
///
/// If it cannot be written.
pub fn save(folder: &Path, number: usize, run: &Value) -> Result<()> {
    let line = serde_json::to_vec(run)?;
    atomic::write_among_others(&path(folder, number), |temporary| {
        Ok(std::fs::write(temporary, line)?)
    })
}

/// Run `number`, which is planned like this, if it is done.
///
/// # Errors
///
/// If its record cannot be read, or is of another run, or another configuration or version.
pub fn load(folder: &Path, number: usize, planned: &Configuration) -> Result<Record> {
    let path = path(folder, number);
    if !path.exists() {
        return Ok(Record::Missing);
    }
    let cannot = || format!("cannot use the run in {}", path.display());
    let read = || -> Result<Record> {
        let bytes = input::read_regular(&path, MAX_RECORD_BYTES)?;
        if serde_json::from_slice::<IgnoredAny>(&bytes).is_err() {
            return Ok(Record::Damaged(anyhow!("it is damaged").context(cannot())));
        }
        let (runs, _) = journal::parse(&bytes)?;
        let Ok([run]) = <[Run; 1]>::try_from(runs) else { bail!("it is not one run") };
        if let Some(difference) = run.difference(planned, &Varied::default())? {
            bail!("{difference}; use the same options as that run, or name another folder");
        }
        ensure!(
            run.configuration == *planned,
            "it is of {}, and run {number} is {} now; use the same options as that run, or name \
             another folder",
            run.configuration.name(),
            planned.name()
        );
        Ok(Record::Whole(Box::new(run)))
    };
    read().with_context(cannot)
}

/// Removes what killed runs have left, once none has anything to add.
pub fn tidy(folder: &Path) {
    atomic::remove_temporary(&folder.join(RECORDS));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiments::run::tests::run as some_run;
    use crate::training::optimizer::Optimizer;

    #[test]
    fn a_run_is_loaded_as_it_was_saved_and_as_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let run = some_run(Optimizer::Adam, 1);
        let planned = &run.configuration;
        assert!(matches!(load(folder.path(), 4, planned).unwrap(), Record::Missing));
        let mut record = serde_json::to_value(&run).unwrap();
        record["seconds"] = 1.5.into();
        save(folder.path(), 4, &record).unwrap();
        let Record::Whole(found) = load(folder.path(), 4, planned).unwrap() else { panic!() };
        assert_eq!(*found, run);

        let refused =
            |planned: &Configuration| format!("{:#}", load(folder.path(), 4, planned).unwrap_err());
        let other = some_run(Optimizer::Sgd, 1).configuration;
        let error = refused(&other);
        assert!(error.contains("it is of adam, seed 1, and run 4 is sgd:0.001, seed 1"), "{error}");
        let mut other = planned.clone();
        other.hidden += 1;
        assert!(refused(&other).contains("hidden is 16 there and 17 now"));
        let text = std::fs::read(path(folder.path(), 4)).unwrap();
        for damaged in [&text[..text.len() - 9], &[0; 9], b""] {
            std::fs::write(path(folder.path(), 4), damaged).unwrap();
            assert!(matches!(load(folder.path(), 4, planned).unwrap(), Record::Damaged(_)));
        }
        std::fs::write(path(folder.path(), 4), "{\"format\":9}").unwrap();
        assert!(refused(planned).contains("its format is 9"));
    }
}

//! The journal of a comparison: a file of runs, one a line.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Error, Result, bail, ensure};
use serde::Deserialize;

use crate::experiments::run::{FORMAT, Run};
use crate::files::{atomic, input};

/// The most bytes of a journal, which are tens of thousands of runs.
const MAX_JOURNAL_BYTES: u64 = 1 << 28;
/// Characters of what is wrong with a line that are told; a line may be as long as the journal.
const MAX_CAUSE: usize = 200;

/// A file of runs, a line of JSON each, that loses no finished run, whatever ends the program.
#[derive(Debug)]
pub struct Journal {
    file: File,
    /// The length of its whole lines.
    length: u64,
    /// What begins the next one.
    start: &'static str,
}

impl Journal {
    /// Opens the file `path`, made if missing, to add runs to those that are there already, and
    /// which it returns.
    ///
    /// # Errors
    ///
    /// If another program writes to it, it cannot be read or written, or a line is no run that this
    /// program could have written.
    pub fn open(path: &Path) -> Result<(Journal, Vec<Run>)> {
        atomic::prepare(path)?;
        let open = || -> Result<_> {
            let file = OpenOptions::new().create(true).append(true).open(path)?;
            // Until it is dropped. A file system without locks gives no error.
            ensure!(
                !matches!(file.try_lock(), Err(TryLockError::WouldBlock)),
                "another program is writing to it; wait for it to finish, or name another folder"
            );
            let text = input::read_regular(path, MAX_JOURNAL_BYTES)?;
            let (runs, length) = parse(&text)?;
            #[cfg(unix)]
            File::open(path.parent().unwrap_or(path))?.sync_all()?; // its name, should it be new
            let start =
                if text[..length].last().is_none_or(|end| *end == b'\n') { "" } else { "\n" };
            Ok((Journal { file, length: length as u64, start }, runs))
        };
        open().with_context(|| format!("cannot open the runs in {}", path.display()))
    }

    /// Adds a run; it is on disk when this returns.
    ///
    /// # Errors
    ///
    /// If it cannot be written; the file keeps the runs that it has.
    pub fn add(&mut self, run: &Run) -> Result<()> {
        // In place of a torn line, or, where an editor has left the last line without its end, on a
        // new one.
        let mut add = || -> Result<()> {
            self.file.set_len(self.length)?;
            let line = format!("{}{}\n", self.start, serde_json::to_string(run)?);
            self.file.write_all(line.as_bytes())?;
            self.file.sync_data()?;
            (self.length, self.start) = (self.length + line.len() as u64, "");
            Ok(())
        };
        add().context("cannot record the run")
    }
}

/// The runs in a journal, and the length of the lines that hold them.
///
/// A last line that was being written when the program was ended is left out; any other that is not
/// a run, or cannot have been one, is an error.
pub fn parse(text: &[u8]) -> Result<(Vec<Run>, usize)> {
    let (mut runs, mut length) = (Vec::new(), 0);
    // After a power cut, what was not written yet may read as zeros.
    let text = &text[..text.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)];
    for (at, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        match run(line.trim_ascii_end()) {
            _ if line.trim_ascii().is_empty() => {}
            Ok(run) => runs.push(run),
            // It was being written when the program was ended.
            Err(error) if !line.ends_with(b"\n") && is_torn(&error) => break,
            Err(error) => {
                let error = error.to_string().replacen(" at line 1 column ", " at column ", 1);
                bail!(
                    "line {} is not a run: {}; delete it, or name another folder",
                    at + 1,
                    input::shortened(&error, MAX_CAUSE)
                );
            }
        }
        length += line.len();
    }
    Ok((runs, length))
}

fn is_torn(error: &Error) -> bool {
    error.downcast_ref().is_some_and(serde_json::Error::is_eof)
}

fn run(line: &[u8]) -> Result<Run> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let Format { format } = serde_json::from_slice(line)?;
    ensure!(format == FORMAT, "its format is {format}; this program reads {FORMAT}");
    let run: Run = serde_json::from_slice(line)?;
    run.check()?;
    Ok(run)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiments::run::tests::run as some_run;
    use crate::training::optimizer::Optimizer;

    fn line(seed: u64) -> String {
        serde_json::to_string(&some_run(Optimizer::Adam, seed)).unwrap()
    }

    #[test]
    fn whole_lines_are_read_and_a_torn_last_one_is_left_out() {
        let text = format!("{}\n\n{}\n{}", line(1), line(2), &line(3)[..100]);
        let (runs, length) = parse(text.as_bytes()).unwrap();
        assert_eq!(runs, [1, 2].map(|seed| some_run(Optimizer::Adam, seed)));
        assert_eq!(length, text.len() - 100);
        let (runs, _) = parse([line(1).as_bytes(), &[0; 9]].concat().as_slice()).unwrap();
        assert_eq!(runs.len(), 1);
        assert_eq!(parse(b"").unwrap(), (Vec::new(), 0));
    }

    #[test]
    fn lines_that_are_not_runs_are_errors_with_their_number() {
        let second = |text: &str| {
            let text = format!("{}\n{text}\n", line(1));
            format!("{:#}", parse(text.as_bytes()).unwrap_err())
        };
        assert_eq!(
            second("{"),
            "line 2 is not a run: EOF while parsing an object at column 1; delete it, or name another folder"
        );
        let long = second(&format!("\"{}\"", "a".repeat(100_000)));
        assert!(long.contains("invalid type") && long.contains("aaa…aaa"), "{long}");
        assert!(long.chars().count() < 300, "{long}");
        assert!(second(&"[".repeat(1000)).starts_with("line 2 is not a run: "));
        assert!(second(&line(1).replacen("0.5", "1e300", 1)).contains("invalid loss 1e300"));
        assert!(
            second(&line(1).replacen("\"format\":1", "\"format\":9", 1)).contains("format is 9")
        );
    }

    #[test]
    fn runs_that_are_added_are_there_when_the_journal_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/runs.jsonl");
        let (mut journal, runs) = Journal::open(&path).unwrap();
        assert!(runs.is_empty());
        let error = format!("{:#}", Journal::open(&path).unwrap_err());
        assert!(error.contains("another program is writing to it"), "{error}");
        journal.add(&some_run(Optimizer::Sgd, 1)).unwrap();
        drop(journal);
        std::fs::write(&path, format!("{}{}", std::fs::read_to_string(&path).unwrap(), "{\"for"))
            .unwrap();
        let (mut journal, runs) = Journal::open(&path).unwrap();
        assert_eq!(runs, [some_run(Optimizer::Sgd, 1)]);
        journal.add(&some_run(Optimizer::Sgd, 2)).unwrap();
        drop(journal);
        assert_eq!(Journal::open(&path).unwrap().1.len(), 2);
    }
}

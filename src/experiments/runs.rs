//! What is to be known of a run of training, and files that keep runs, one a line.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Error, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::LIBTORCH;
use crate::VERSION;
use crate::files::atomic;
use crate::files::input;
use crate::training::{Config, Epoch};

/// The version of the format of a [`Run`] in JSON.
const FORMAT: u32 = 1;
/// The most bytes of a file of runs: tens of thousands of them.
const MAX_BYTES: u64 = 1 << 28;

/// All that decides what becomes of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    /// The folder of the data set, or a name for the one that is built in.
    pub data: String,
    /// What the files there are, see [`crate::dataset::Data::sha256`].
    pub data_sha256: Option<String>,
    /// The weights that it went on from, if they were not random.
    pub init: Option<String>,
    /// SHA-256 of that file.
    pub init_sha256: Option<String>,
    /// Hidden units.
    pub hidden: i64,
    /// How it was trained.
    #[serde(flatten)]
    pub config: Config,
    /// Where: `cpu`, `cuda:0`.
    pub device: String,
    /// Threads that libtorch had for it.
    pub threads: i32,
}

/// Loss and accuracy on the test set, after the last epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Test {
    /// Mean cross-entropy in nats.
    pub loss: f64,
    /// Share of the samples that are classified right.
    pub accuracy: f64,
}

/// A run of training and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The version of this format.
    pub format: u32,
    /// The program and its version.
    pub program: String,
    /// The version of libtorch.
    pub libtorch: String,
    /// All that decided it.
    pub configuration: Configuration,
    /// The epochs that were completed.
    pub history: Vec<Epoch>,
    /// How well it does.
    pub test: Test,
}

impl Configuration {
    /// What tells it from others of its comparison: `adam:0.0003, seed 2`.
    pub fn name(&self) -> String {
        let Config { optimizer, learning_rate, seed, .. } = self.config;
        format!("{}, seed {seed}", optimizer.name_at(learning_rate))
    }

    /// What it has in common with others of its comparison.
    pub fn shared(&self) -> Result<Map<String, Value>> {
        let Value::Object(mut shared) = serde_json::to_value(self)? else { return Ok(Map::new()) };
        shared.retain(|key, _| !["optimizer", "learning_rate", "seed"].contains(&key.as_str()));
        Ok(shared)
    }
}

impl Run {
    /// A run of this program.
    pub fn new(configuration: Configuration, history: Vec<Epoch>, test: Test) -> Run {
        let program = format!("tch-mnist {VERSION}");
        Run { format: FORMAT, program, libtorch: LIBTORCH.into(), configuration, history, test }
    }

    /// Why it cannot be compared with runs like `other` of this program, if it cannot.
    pub fn difference(&self, other: &Configuration) -> Result<Option<String>> {
        let other = Run::new(other.clone(), Vec::new(), self.test);
        let (mut own, mut others) = (self.configuration.shared()?, other.configuration.shared()?);
        own.insert("program".into(), self.program.clone().into());
        others.insert("program".into(), other.program.into());
        own.insert("libtorch".into(), self.libtorch.clone().into());
        others.insert("libtorch".into(), other.libtorch.into());
        let difference = own.iter().find(|(key, value)| others.get(*key) != Some(value));
        Ok(difference.map(|(key, value)| {
            format!("{key} is {value} there and {} now", others.get(key).unwrap_or(&Value::Null))
        }))
    }
}

/// The runs in a file, and the length of the lines that hold them.
fn parse(text: &[u8]) -> Result<(Vec<Run>, usize)> {
    let (mut runs, mut length) = (Vec::new(), 0);
    // After a power cut, what was not written yet may read as zeros.
    let text = &text[..text.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)];
    for (at, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        match run(line) {
            _ if line.trim_ascii().is_empty() => {}
            Ok(run) => runs.push(run),
            // It was being written when the program was ended.
            Err(error) if !line.ends_with(b"\n") && is_torn(&error) => break,
            Err(error) => return Err(error.context(format!("line {} is no run", at + 1))),
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
    ensure!(format == FORMAT, "it has the format {format}; this program reads {FORMAT}");
    Ok(serde_json::from_slice(line)?)
}

/// A file of runs, a line of JSON each, that loses no finished run, whatever ends the program.
#[derive(Debug)]
pub struct Runs {
    file: File,
    /// The length of its whole lines.
    length: u64,
    /// What begins the next one.
    start: &'static str,
}

impl Runs {
    /// Opens the file `path`, made if missing, to add runs to those that are there already, and which
    /// it returns.
    pub fn open(path: &Path) -> Result<(Runs, Vec<Run>)> {
        atomic::prepare(path)?;
        let open = || -> Result<_> {
            let file = OpenOptions::new().create(true).append(true).open(path)?;
            // Until it is dropped. There may be no locks on this file system; then nothing is told.
            ensure!(
                !matches!(file.try_lock(), Err(TryLockError::WouldBlock)),
                "another program is writing to it; wait for its end, or name another folder"
            );
            let text = input::read(path, MAX_BYTES)?;
            let (runs, length) = parse(&text)?;
            #[cfg(unix)]
            File::open(path.parent().unwrap_or(path))?.sync_all()?; // its name, should it be new
            let start =
                if text[..length].last().is_none_or(|end| *end == b'\n') { "" } else { "\n" };
            Ok((Runs { file, length: length as u64, start }, runs))
        };
        open().with_context(|| format!("cannot open the runs in {}", path.display()))
    }

    /// Adds a run; it is on disk when this returns.
    pub fn add(&mut self, run: &Run) -> Result<()> {
        // After what is torn, or, where an editor has left the last line without its end, on a new one.
        let mut add = || -> Result<()> {
            self.file.set_len(self.length)?;
            let line = format!("{}{}\n", self.start, serde_json::to_string(run)?);
            self.file.write_all(line.as_bytes())?;
            self.file.sync_data()?;
            (self.length, self.start) = (self.length + line.len() as u64, "");
            Ok(())
        };
        add().context("cannot write a run down")
    }
}

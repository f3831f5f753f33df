//! What is to be known of a run of training, and files that keep runs, one a line.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::train::{Config, Epoch};
use crate::{LIBTORCH, VERSION, atomic, input};

/// The version of the format of a [`Run`] in JSON.
const FORMAT: u32 = 1;
/// The most bytes of a file of runs: tens of thousands of them.
const MAX_BYTES: u64 = 1 << 28;

/// All that decides what becomes of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    /// The folder of the data set, or a name for the one that is built in.
    pub data: String,
    /// What the files there are, see [`crate::data::Data::sha256`].
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

/// The runs in the file `path`; none if there is no such file.
pub fn read(path: &Path) -> Result<Vec<Run>> {
    let text = if path.exists() { input::read(path, MAX_BYTES) } else { Ok(Vec::new()) };
    let read = text.and_then(|text| parse(&text));
    Ok(read.with_context(|| format!("cannot read the runs in {}", path.display()))?.0)
}

/// The runs in a file, and the length of the lines that hold them.
fn parse(text: &[u8]) -> Result<(Vec<Run>, usize)> {
    let mut runs = Vec::new();
    let mut length = 0;
    for (at, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        match run(line) {
            _ if line == b"\n" => {}
            Ok(run) => runs.push(run),
            // It was being written when the program was ended.
            Err(_) if !line.ends_with(b"\n") && is_start(line) => break,
            Err(error) => return Err(error.context(format!("line {} is no run", at + 1))),
        }
        length += line.len();
    }
    Ok((runs, length))
}

/// Whether a line of ours begins so.
fn is_start(line: &[u8]) -> bool {
    let start = &b"{\"format\":"[..];
    line.starts_with(start) || start.starts_with(line)
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
}

impl Runs {
    /// Opens the file `path`, made if missing, to add runs to those that are there already, and which
    /// it returns.
    pub fn open(path: &Path) -> Result<(Runs, Vec<Run>)> {
        atomic::prepare(path)?;
        let open = || -> Result<_> {
            let mut file = OpenOptions::new().create(true).append(true).open(path)?;
            // Until it is dropped. There may be no locks on this file system; then nothing is told.
            ensure!(
                !matches!(file.try_lock(), Err(TryLockError::WouldBlock)),
                "another program is writing to it; wait for its end, or name another folder"
            );
            let text = input::read(path, MAX_BYTES)?;
            let (runs, length) = parse(&text)?;
            match text[..length].last() {
                None | Some(b'\n') => file.set_len(length as u64)?,
                Some(_) => file.write_all(b"\n")?, // which an editor may have left out
            }
            #[cfg(unix)]
            File::open(path.parent().unwrap_or(path))?.sync_all()?; // its name, should it be new
            Ok((Runs { file }, runs))
        };
        open().with_context(|| format!("cannot open the runs in {}", path.display()))
    }

    /// Adds a run; it is on disk when this returns.
    pub fn add(&mut self, run: &Run) -> Result<()> {
        let mut add = || -> Result<()> {
            self.file.write_all(format!("{}\n", serde_json::to_string(run)?).as_bytes())?;
            Ok(self.file.sync_data()?)
        };
        add().context("cannot write a run down")
    }
}

//! The file from which a training can be resumed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::experiments::run::Configuration;
use crate::files::{atomic, input};
use crate::training::Precision;
use crate::training::checkpoint::State;
use crate::{LIBTORCH, VERSION};

/// The most bytes of a checkpoint: the largest network's weights, two numbers more for each, and
/// the best weights.
const MAX_BYTES: u64 = 1 << 30;

/// The file beside the weights at `output`.
pub fn path(output: &Path) -> PathBuf {
    output.with_extension("checkpoint")
}

/// What training of this `configuration` is known by.
fn of(configuration: &Configuration) -> Result<Value> {
    let (program, libtorch) = (format!("tch-mnist {VERSION}"), LIBTORCH);
    Ok(json!({"program": program, "libtorch": libtorch, "configuration": configuration}))
}

/// Saves where training is.
pub fn save(state: &State, configuration: &Configuration, path: &Path) -> Result<()> {
    atomic::write_bytes(path, state.to_bytes(&of(configuration)?)?)
}

/// The precision of the training that was saved there.
///
/// # Errors
///
/// If there is no such file, or it is damaged.
pub fn precision(path: &Path) -> Result<Precision> {
    let read = || -> Result<Precision> {
        let (_, mut there) = State::from_bytes(&input::read_regular(path, MAX_BYTES)?)?;
        Ok(serde_json::from_value(there["configuration"]["precision"].take())?)
    };
    read().with_context(|| cannot(path))
}

fn cannot(path: &Path) -> String {
    format!("cannot resume from {}", path.display())
}

/// Loads where training was.
///
/// # Errors
///
/// If there is no such file, or it is damaged or of a training that would go on differently.
pub fn load(configuration: &Configuration, path: &Path) -> Result<State> {
    let load = || {
        let (state, there) = State::from_bytes(&input::read_regular(path, MAX_BYTES)?)?;
        let now = of(configuration)?;
        for name in ["program", "libtorch"] {
            if there[name] != now[name] {
                bail!("{name} is {} there and {} now", there[name], now[name]);
            }
        }
        match configuration.difference(&there["configuration"])? {
            None => {
                let (done, epochs) = (state.epochs.len(), configuration.config.epochs);
                ensure!(
                    (1..=epochs).contains(&done),
                    "it has {done} epochs, expected 1 to {epochs}"
                );
                configuration.check_epochs(&state.epochs)?;
                Ok(state)
            }
            Some(difference) => bail!("{difference}; resume with the same options"),
        }
    };
    load().with_context(|| cannot(path))
}

/// Removes the file of a training that is done.
pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

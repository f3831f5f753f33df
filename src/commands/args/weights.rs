//! Which weights to use.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::commands::console::note;
use crate::weights::{self, Loaded};

/// Where `mnist train` saves, and the other commands look first.
pub const DEFAULT_WEIGHTS: &str = "models/mnist.safetensors";

/// Which weights to use.
#[derive(Debug, Default, clap::Args)]
pub struct WeightsArgs {
    /// Weight file: .safetensors, .ot, Keras's .h5 or .keras, PyTorch's .pt [default:
    /// models/mnist.safetensors in the current folder if it exists, else the released weights,
    /// which are built in]
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
}

impl WeightsArgs {
    /// Loads the weights, with a name for them.
    pub fn load(&self) -> Result<(Loaded, String)> {
        let default = Path::new(DEFAULT_WEIGHTS);
        match &self.weights {
            Some(path) => Ok((open(path)?, path.display().to_string())),
            None if default.exists() => Ok((open(default)?, DEFAULT_WEIGHTS.into())),
            None => {
                if default.is_symlink() {
                    note(&format!(
                        "warning: {DEFAULT_WEIGHTS} is a link to a file that does not exist; it is not used"
                    ));
                }
                Ok((weights::released()?.into(), "the released weights".into()))
            }
        }
    }
}

/// Loads a weight file, and notes what is wrong with its record.
pub fn open(path: &Path) -> Result<Loaded> {
    let loaded = weights::open(path)?;
    note_doubt(loaded.doubt.as_deref());
    Ok(loaded)
}

/// Notes what is wrong with the record of weights, if anything is.
pub fn note_doubt(doubt: Option<&str>) {
    if let Some(doubt) = doubt {
        note(&format!("warning: {doubt}"));
    }
}

//! Which weights to use.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::commands::console::note;
use crate::files::atomic;
use crate::weights::{self, Loaded};

/// Where `mnist train` saves, and the other commands look first.
pub const DEFAULT_WEIGHTS: &str = "models/mnist.safetensors";
/// Where `mnist train --adapt` saves.
pub const ADAPTED_WEIGHTS: &str = "models/adapted.safetensors";

/// What names the released weights in place of a file; `./released` is a file of that name.
pub const RELEASED: &str = "released";
/// What the released weights are called.
pub const RELEASED_NAME: &str = "the released weights";

/// Which weights to use.
#[derive(Debug, Default, clap::Args)]
pub struct WeightsArgs {
    /// Weight file: .safetensors, .ot, Keras's .h5 or .keras, PyTorch's .pt; or `released`, the
    /// weights that are built in [default: models/mnist.safetensors in the current folder if it
    /// exists, else the released weights; predict, read, serve and batch: the better of these two]
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
}

impl WeightsArgs {
    /// Makes sure that `output` can be written, and is not the weight file itself.
    pub fn prepare_output(&self, output: &Path) -> Result<()> {
        let file = self.weights.as_deref().filter(|path| !is_released(path));
        atomic::prepare_from(output, file.unwrap_or(Path::new(DEFAULT_WEIGHTS)))
    }

    /// Loads the weights, with a name for them: without the option, those trained here, if there
    /// are some.
    pub fn load(&self) -> Result<(Loaded, String)> {
        let default = Path::new(DEFAULT_WEIGHTS);
        match &self.weights {
            Some(path) if is_released(path) => released(),
            Some(path) => Ok((open(path)?, path.display().to_string())),
            None if default.exists() => Ok((open(default)?, DEFAULT_WEIGHTS.into())),
            None => {
                if default.is_symlink() {
                    note(&format!(
                        "warning: {DEFAULT_WEIGHTS} is a link to a file that does not exist; it is not used"
                    ));
                }
                released()
            }
        }
    }

    /// Like [`Self::load`], but without the option those trained here only if they are better than
    /// the released ones, so that a short training does not make reading worse. Notes what is
    /// passed over.
    pub fn better(&self) -> Result<(Loaded, String)> {
        let trained = self.load()?;
        if self.weights.is_some() || trained.1 != DEFAULT_WEIGHTS {
            return Ok(trained);
        }
        let released = released()?;
        let accuracy = |of: &(Loaded, _)| of.0.record.as_ref().and_then(weights::accuracy_on_mnist);
        let why = match (accuracy(&trained), accuracy(&released)) {
            (Some(own), Some(least)) if own > least => {
                note(&format!(
                    "the released weights are passed over ({:.2}% of MNIST's test set right, \
                     {DEFAULT_WEIGHTS} {:.2}%); --weights {RELEASED} takes them",
                    100. * least,
                    100. * own
                ));
                return Ok(trained);
            }
            (Some(own), Some(least)) => format!(
                "{:.2}% of MNIST's test set right, the released weights {:.2}%",
                100. * own,
                100. * least
            ),
            _ => "no record says how well they do on MNIST's test set".into(),
        };
        note(&format!(
            "{DEFAULT_WEIGHTS} is passed over ({why}); --weights {DEFAULT_WEIGHTS} takes it"
        ));
        Ok(released)
    }
}

/// Whether `path` names the released weights.
pub fn is_released(path: &Path) -> bool {
    path.as_os_str() == RELEASED
}

fn released() -> Result<(Loaded, String)> {
    Ok((weights::open_released()?, RELEASED_NAME.into()))
}

/// Loads a weight file, or the released weights by their name, and notes what is wrong with its
/// record.
pub fn open(path: &Path) -> Result<Loaded> {
    if is_released(path) {
        return weights::open_released();
    }
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

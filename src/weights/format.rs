//! Which format a file has, by its content, and is to have, by its name.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};

use super::archive::Archive;
use super::contents::Contents;
use super::{keras, pytorch, safetensors};

/// The most bytes of text that are parsed at once: of a configuration, a pickle or another small
/// file in an archive. In memory, JSON takes up to a hundred times its length.
pub(super) const MAX_TEXT: u64 = 1 << 20;

/// What to do about a file that its reader does not understand.
pub(super) const DAMAGED: &str = "it is damaged; download or copy it again";

/// The formats that are written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Format {
    Safetensors,
    Ot,
    H5,
    Keras,
    Onnx,
}

impl Format {
    /// The format that the extension of `path` names.
    pub fn of(path: &Path) -> Result<Format> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("safetensors") => Ok(Format::Safetensors),
            Some("ot") => Ok(Format::Ot),
            Some("h5") => Ok(Format::H5),
            Some("keras") => Ok(Format::Keras),
            Some("onnx") => Ok(Format::Onnx),
            _ => bail!(
                "the name of the weight file {} must end in .safetensors, .ot, .h5, .keras or \
                 .onnx; for PyTorch, .safetensors",
                path.display()
            ),
        }
    }
}

/// The path that `name` stands for, if weights can be saved under such a name.
pub fn file_name(name: &str) -> Result<PathBuf> {
    Format::of(name.as_ref())?;
    Ok(name.into())
}

/// What a file holds, read as what its first bytes say that it is.
pub(super) fn open(bytes: Vec<u8>) -> Result<Contents> {
    if bytes.starts_with(b"\x89HDF\r\n\x1a\n") {
        return keras::read_h5(bytes);
    }
    if bytes.starts_with(b"PK") {
        let archive = Archive::open(bytes)?;
        return match archive.has("config.json") {
            true => keras::read_keras(archive),
            false => pytorch::read(archive),
        };
    }
    if safetensors::is(&bytes) {
        return safetensors::read(bytes);
    }
    ensure!(!bytes.is_empty(), "it is empty; name a file of weights");
    bail!(
        "its format is unknown: expected .safetensors, .ot, Keras's .h5 or .keras, or PyTorch's .pt as written by \
         torch.save(model.state_dict(), …) of PyTorch 1.6 or later"
    )
}

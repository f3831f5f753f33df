//! Temporary folders that nobody else can look into or change.

use std::env;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Error, Result};
use tempfile::{Builder, TempDir};

use super::atomic;

const PREFIX: &str = ".tch-mnist-private-";

/// A temporary folder that only this user can enter, removed when dropped; those that killed
/// processes have left are removed by the next one.
#[derive(Debug)]
pub struct PrivateFolder {
    folder: TempDir,
    /// Locked, which says that this process is alive.
    _lock: Option<File>,
}

impl PrivateFolder {
    /// Creates one where the system keeps temporary files.
    ///
    /// # Errors
    ///
    /// If there is no space, or no right to write there.
    pub fn new() -> Result<PrivateFolder> {
        atomic::remove_abandoned(&env::temp_dir(), PREFIX);
        let mut builder = Builder::new();
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
        let folder = builder.prefix(PREFIX).tempdir().map_err(atomic::cause_alone).context(
            "cannot create a temporary folder; set TMPDIR to a folder with 60 MB of space",
        )?;
        let lock = File::open(folder.path()).ok().filter(|file| file.try_lock().is_ok());
        Ok(PrivateFolder { folder, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file into it.
    ///
    /// # Errors
    ///
    /// If there is no space, or too many files are open.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path().join(name);
        fs::write(&path, bytes).map_err(|error| {
            let remedy = match error.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                    "; set TMPDIR to a folder with more space"
                }
                _ => "", // the cause says it, as that too many files are open
            };
            Error::from(error).context(format!("cannot write {}{remedy}", path.display()))
        })
    }
}

//! A folder of this user's in which the program keeps what it can make again.

use std::fs::{self, File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::atomic;

/// A folder that only this user can write to. What lies there and is not a regular file of this
/// user's is never followed.
///
/// Several processes may use it at once, and any may be killed: a file is replaced as a whole.
#[derive(Clone, Debug)]
pub struct Cache(PathBuf);

impl Cache {
    /// The program's folder where the system keeps such things.
    ///
    /// # Errors
    ///
    /// If there is no such place, or none that can be trusted and written to.
    pub fn of_user() -> Result<Cache> {
        let folder =
            dirs::cache_dir().context("there is no folder to keep data in; set XDG_CACHE_HOME")?;
        Cache::open(&folder.join("tch-mnist"))
    }

    /// Creates the folder `path` or takes the one that is there, so that only this user can write
    /// to it.
    ///
    /// # Errors
    ///
    /// If it is someone else's, or a link: what lies there would not be ours to replace.
    pub fn open(path: &Path) -> Result<Cache> {
        take_possession(path).with_context(|| format!("cannot keep data in {}", path.display()))?;
        Ok(Cache(path.into()))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Reads the file `name`, of at most `most` bytes and one more.
    ///
    /// # Errors
    ///
    /// If there is no such file, or it is not a regular one of this user's.
    pub fn read(&self, name: &str, most: u64) -> Result<Vec<u8>> {
        let mut options = File::options();
        options.read(true);
        #[cfg(unix)] // not to wait for whoever writes to a named pipe, either
        std::os::unix::fs::OpenOptionsExt::custom_flags(
            &mut options,
            libc::O_NOFOLLOW | libc::O_NONBLOCK,
        );
        let file = options.open(self.0.join(name))?;
        let metadata = file.metadata()?;
        ensure!(metadata.is_file() && is_own(&metadata), "it is not a regular file of this user's");
        let mut bytes = Vec::new();
        file.take(most + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Writes the file `name`.
    ///
    /// # Errors
    ///
    /// Those of [`atomic::write`] and [`atomic::refuse_link`].
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.0.join(name);
        atomic::refuse_link(&path)?;
        atomic::write_bytes(&path, bytes)
    }

    /// Removes what is in the place of the file `name`.
    ///
    /// # Errors
    ///
    /// If that is a folder, or cannot be removed.
    pub fn remove(&self, name: &str) -> Result<()> {
        let path = self.0.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }
}

fn take_possession(path: &Path) -> Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let created = builder.create(path);
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir() {
        created?;
    }
    ensure!(metadata.is_dir() && is_own(&metadata), "it is not a folder of this user's");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if metadata.permissions().mode() & 0o022 != 0 {
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        }
    }
    Ok(())
}

#[cfg(unix)]
#[allow(unsafe_code)]
fn is_own(metadata: &Metadata) -> bool {
    // SAFETY: it takes nothing, changes nothing and cannot fail.
    std::os::unix::fs::MetadataExt::uid(metadata) == unsafe { libc::geteuid() }
}

#[cfg(not(unix))]
fn is_own(_: &Metadata) -> bool {
    true
}

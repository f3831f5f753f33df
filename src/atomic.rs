//! Files that are either the old one or the new one, whole, whatever happens while writing.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Creates the folder that `path` is to lie in, and makes sure that a file can be written there.
///
/// Meant to be called before work that takes long, so that it is not lost at the end.
pub fn prepare(path: &Path) -> Result<()> {
    if path.is_dir() {
        bail!("cannot write {}: it is a folder; name a file", path.display());
    }
    let folder = folder_of(path)?;
    tempfile::tempfile_in(folder)
        .with_context(|| format!("cannot write into the folder {}", folder.display()))?;
    Ok(())
}

/// Writes `path` by way of `write`, which is given the path of a temporary file in the same
/// folder, with the same extension. It is synced and renamed; on an error it is removed.
pub fn write(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    // A link stays a link: what it leads to is replaced.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.into());
    let folder = folder_of(path)?;
    let suffix = path.extension().map_or(String::new(), |e| format!(".{}", e.to_string_lossy()));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".writing-").suffix(&suffix);
    // As for any new file: what the user's umask allows, not only the owner.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let temporary = builder
        .tempfile_in(folder)
        .with_context(|| format!("cannot write into the folder {}", folder.display()))?
        .into_temp_path();
    let finish = || -> Result<()> {
        write(&temporary)?;
        File::open(&temporary)?.sync_all()?;
        temporary.persist(path)?;
        // The rename itself is on disk only when the folder is.
        #[cfg(unix)]
        File::open(folder)?.sync_all()?;
        Ok(())
    };
    finish().with_context(|| format!("cannot write {}", path.display()))
}

/// The folder of `path`, made if it is missing.
fn folder_of(path: &Path) -> Result<&Path> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot create the folder {}", folder.display()))?;
    Ok(folder)
}

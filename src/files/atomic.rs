//! Files that are either the old one or the new one, whole, whatever happens while writing.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// What the names of temporary files begin with.
const PREFIX: &str = ".tch-mnist-writing-";
const MINUTE: Duration = Duration::from_secs(60);

/// Creates the folder that `path` is to lie in, and makes sure that a file can be written there.
///
/// Meant to be called before work that takes long, so that it is not lost at the end.
pub fn prepare(path: &Path) -> Result<()> {
    if path.exists() && !path.is_file() {
        let what = if path.is_dir() { "a folder" } else { "no plain file" };
        bail!("cannot write {}: it is {what}; name another file", path.display());
    }
    let folder = folder_of(path)?;
    tempfile::tempfile_in(folder)
        .with_context(|| format!("cannot write into the folder {}", folder.display()))?;
    Ok(())
}

/// The same for what is made from the file `input`, which it must not replace.
pub fn prepare_from(path: &Path, input: &Path) -> Result<()> {
    if fs::canonicalize(path)
        .is_ok_and(|path| fs::canonicalize(input).is_ok_and(|input| path == input))
    {
        bail!("{} is {} itself; name another file to write", path.display(), input.display());
    }
    prepare(path)
}

/// Writes `path` by way of `write`, which is given the path of a temporary file in the same
/// folder, with the same extension. It is synced and renamed; on an error it is removed.
pub fn write(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    // A link stays a link: what it leads to is replaced.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.into());
    let folder = folder_of(path)?;
    remove_abandoned(folder, PREFIX);
    let suffix = path.extension().map_or(String::new(), |e| format!(".{}", e.to_string_lossy()));
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).suffix(&suffix);
    // As for any new file: what the user's umask allows, not only the owner.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let temporary = builder
        .tempfile_in(folder)
        .with_context(|| format!("cannot write into the folder {}", folder.display()))?;
    let _ = temporary.as_file().lock(); // says that this process is alive
    let finish = || -> Result<()> {
        write(temporary.path())?;
        temporary.as_file().sync_all()?;
        temporary.persist(path).map_err(|error| error.error)?;
        // The rename itself is on disk only when the folder is.
        #[cfg(unix)]
        File::open(folder)?.sync_all()?;
        Ok(())
    };
    finish().with_context(|| format!("cannot write {}", path.display()))
}

/// Does as [`write()`] with what `path` is to hold.
pub fn write_bytes(path: &Path, bytes: impl AsRef<[u8]>) -> Result<()> {
    write(path, |temporary| Ok(fs::write(temporary, bytes)?))
}

/// Removes what killed processes have left in `folder`: files and folders whose names begin with
/// `prefix` and that none holds locked. A young one may not be locked yet.
pub(crate) fn remove_abandoned(folder: &Path, prefix: &str) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        let age = metadata.modified().ok().and_then(|time| time.elapsed().ok());
        if entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes())
            && (metadata.is_file() || metadata.is_dir())
            && age.is_some_and(|age| age > MINUTE)
            && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok())
        {
            let _ = match metadata.is_dir() {
                true => fs::remove_dir_all(entry.path()),
                false => fs::remove_file(entry.path()),
            };
        }
    }
}

/// Waits, a minute at most, until no other process holds the folder that `path` is to lie in, and
/// holds it until the returned file is dropped. Where the file system knows no locks, this does nothing.
pub fn lock(path: &Path) -> Result<Option<File>> {
    let Ok(folder) = File::open(folder_of(path)?) else { return Ok(None) };
    let since = Instant::now();
    while matches!(folder.try_lock(), Err(TryLockError::WouldBlock)) && since.elapsed() < MINUTE {
        sleep(Duration::from_millis(20));
    }
    Ok(Some(folder))
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

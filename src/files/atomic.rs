//! Files that are either the old one or the new one, whole, whatever happens while writing.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use tempfile::NamedTempFile;

/// What the names of temporary files begin with.
const PREFIX: &str = ".tch-mnist-writing-";
const MINUTE: Duration = Duration::from_secs(60);
/// Bytes of the longest extension that temporary files get, too; all formats have shorter ones.
const MAX_EXTENSION: usize = 16;
/// How often a lock is asked for again.
const LOCK_POLL: Duration = Duration::from_millis(20);

/// Creates the folder that `path` is to lie in, and makes sure that a file can be written there.
///
/// Meant to be called before work that takes long, so that it is not lost at the end.
///
/// # Errors
///
/// If the folder cannot be written to, the name is too long, or `path` is a folder, a device,
/// read-only, or a link to a file that does not exist.
pub fn prepare(path: &Path) -> Result<()> {
    let target = target(path)?;
    temporary(&target, folder_of(&target)?)?;
    Ok(())
}

/// Like [`prepare`], for what is made from the file `input`, which it must not replace.
///
/// # Errors
///
/// Those of [`prepare`], and if both are the same file.
pub fn prepare_from(path: &Path, input: &Path) -> Result<()> {
    if fs::canonicalize(path)
        .is_ok_and(|path| fs::canonicalize(input).is_ok_and(|input| path == input))
    {
        bail!("{} is {} itself; name another file to write", path.display(), input.display());
    }
    prepare(path)
}

/// Makes sure that there is no link at `path`: for a file whose name the program has chosen, so that
/// nobody meant what such a link leads to.
///
/// # Errors
///
/// If there is.
pub fn refuse_link(path: &Path) -> Result<()> {
    ensure!(!path.is_symlink(), "cannot write {}: it is a link; delete it", path.display());
    Ok(())
}

/// Writes `path` by way of `write`, which is given the path of a temporary file in the same
/// folder, with the same extension. It is synced and renamed; on an error it is removed.
///
/// A link stays a link: what it leads to is replaced. A file that is replaced keeps its
/// permissions.
///
/// # Errors
///
/// Those of [`prepare`], of `write`, and of the file system.
pub fn write(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    remove_abandoned(folder_of(&target(path)?)?, PREFIX);
    replace(path, write)
}

/// Like [`write()`], but looks at no other file in the folder: for folders of very many, to which
/// other machines write as well, whose locks may not be seen here. What killed processes leave
/// there is for [`remove_temporary`]. A link is refused, as the program chose the names.
///
/// # Errors
///
/// Those of [`write()`] and [`refuse_link`].
pub fn write_among_others(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    refuse_link(path)?;
    replace(path, write)
}

fn replace(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let path = &target(path)?;
    let folder = folder_of(path)?;
    let temporary = temporary(path, folder)?;
    let _ = temporary.as_file().lock(); // says that this process is alive
    let finish = || -> Result<()> {
        write(temporary.path())?;
        if let Ok(old) = fs::metadata(path) {
            temporary.as_file().set_permissions(old.permissions())?;
        }
        temporary.as_file().sync_all()?;
        temporary.persist(path).map_err(|error| error.error)?;
        // The rename itself is on disk only when the folder is.
        #[cfg(unix)]
        File::open(folder)?.sync_all()?;
        Ok(())
    };
    finish().with_context(|| format!("cannot write {}", path.display()))
}

/// What `path` leads to, if that is a file that may be replaced, or is missing.
fn target(path: &Path) -> Result<PathBuf> {
    let cannot = || format!("cannot write {}", path.display());
    let name = path.file_name().with_context(cannot)?.to_owned();
    let is_link = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.is_symlink(),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            // Of a folder that is missing, too, the name may be too long.
            if let Err(error) = fs::symlink_metadata(std::env::temp_dir().join(&name))
                && error.kind() != ErrorKind::NotFound
            {
                return Err(error).with_context(cannot);
            }
            return Ok(path.into());
        }
        Err(error) => return Err(error).with_context(cannot),
    };
    let metadata = match fs::metadata(path) {
        Err(error) if is_link && error.kind() == ErrorKind::NotFound => bail!(
            "{}: it is a link to a file that does not exist; name that file, or delete the link",
            cannot()
        ),
        metadata => metadata.with_context(cannot)?,
    };
    if !metadata.is_file() {
        let what = if metadata.is_dir() { "a folder" } else { "not a regular file" };
        bail!("{}: it is {what}; name another file", cannot());
    }
    // Root may write to what nobody is meant to.
    if metadata.permissions().readonly() || File::options().append(true).open(path).is_err() {
        bail!("{}: it is read-only; make it writable, or name another file", cannot());
    }
    fs::canonicalize(path).with_context(cannot)
}

/// A new file in `folder` that is to become `path`.
fn temporary(path: &Path, folder: &Path) -> Result<NamedTempFile> {
    let extension = path.extension().filter(|extension| extension.len() <= MAX_EXTENSION);
    let suffix = extension.map_or(String::new(), |e| format!(".{}", e.to_string_lossy()));
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).suffix(&suffix);
    // As for any new file: what the user's umask allows, not only the owner.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder
        .tempfile_in(folder)
        .map_err(cause_alone)
        .with_context(|| format!("cannot write into the folder {}", folder.display()))
}

/// What a temporary file or folder cannot be made for, without its name, which means nothing to
/// anyone.
pub(crate) fn cause_alone(error: io::Error) -> Error {
    let text = error.to_string();
    anyhow!("{}", text.split(" at path ").next().unwrap_or(&text))
}

/// Like [`write()`], with what `path` is to hold.
pub fn write_bytes(path: &Path, bytes: impl AsRef<[u8]>) -> Result<()> {
    write(path, |temporary| Ok(fs::write(temporary, bytes)?))
}

/// Removes the temporary files of all processes in `folder`, once none of them has anything to add.
pub fn remove_temporary(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Writes a new file `path`, as a whole or not at all, unless there is one already: it stays.
/// Returns whether there was none.
///
/// # Errors
///
/// Those of the file system.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<bool> {
    let write = || -> Result<bool> {
        let folder = folder_of(path)?;
        remove_abandoned(folder, PREFIX);
        let mut temporary = temporary(path, folder)?;
        let _ = temporary.as_file().lock(); // says that this process is alive
        temporary.write_all(bytes)?;
        temporary.as_file().sync_all()?;
        match temporary.persist_noclobber(path) {
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => return Ok(false),
            persisted => persisted.map_err(|error| error.error)?,
        };
        #[cfg(unix)]
        File::open(folder)?.sync_all()?;
        Ok(true)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Makes sure that there is nothing at `path` but an empty folder; to be called before work that
/// takes long.
///
/// # Errors
///
/// If there is.
pub fn check_folder(path: &Path) -> Result<()> {
    let is_free = match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == ErrorKind::NotFound,
    };
    let is_link = path.is_symlink();
    let path = path.display();
    ensure!(!is_link, "cannot write the folder {path}: it is a link; name what it leads to");
    ensure!(
        is_free,
        "cannot write the folder {path}: there is something already; name another folder"
    );
    Ok(())
}

/// Makes the folder `path` by way of `write`, which is given a temporary one beside it. What is
/// written there and not synced may be lost in a power cut; it replaces nothing.
///
/// # Errors
///
/// If there is something at `path` already but an empty folder, those of `write`, and of the file
/// system.
pub fn write_folder(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let cannot = || format!("cannot write the folder {}", path.display());
    check_folder(path)?;
    let parent = folder_of(path)?;
    remove_abandoned(parent, PREFIX);
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    let made = builder.prefix(PREFIX).tempdir_in(parent).map_err(cause_alone);
    let temporary = made.with_context(cannot)?;
    let lock = File::open(temporary.path());
    let _ = lock.as_ref().map(File::lock); // says that this process is alive
    write(temporary.path()).with_context(cannot)?;
    fs::rename(temporary.path(), path).with_context(cannot)?;
    #[cfg(unix)]
    File::open(parent).and_then(|parent| parent.sync_all()).with_context(cannot)?;
    Ok(())
}

/// Removes what killed processes have left in `folder`: files and folders whose names begin with
/// `prefix` and that none holds locked. A young one may not be locked yet.
pub(crate) fn remove_abandoned(folder: &Path, prefix: &str) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()) {
            continue; // before a look at each file: temporary folders hold thousands
        }
        let Ok(metadata) = entry.metadata() else { continue };
        let age = metadata.modified().ok().and_then(|time| time.elapsed().ok());
        if (metadata.is_file() || metadata.is_dir())
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

/// Waits, `patience` at most, until no other process holds the folder that `path` is to lie in, and
/// holds it until the returned file is dropped. Where the file system knows no locks, this does
/// nothing.
///
/// # Errors
///
/// If another process holds it all that time.
pub fn lock(path: &Path, patience: Duration) -> Result<Option<File>> {
    let folder = folder_of(path)?;
    let Ok(file) = File::open(folder) else { return Ok(None) };
    let since = Instant::now();
    while matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
        if since.elapsed() >= patience {
            bail!(
                "another program has locked the folder {}; wait for it to finish, or name another folder",
                folder.display()
            );
        }
        sleep(LOCK_POLL);
    }
    Ok(Some(file))
}

/// The folder of `path`, made if it is missing.
fn folder_of(path: &Path) -> Result<&Path> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let cannot = || format!("cannot create the folder {}", folder.display());
    // The system says only that it exists, or is no folder.
    if let Some(file) = folder.ancestors().find(|above| above.exists() && !above.is_dir()) {
        bail!("{}: {} is a file; name another folder", cannot(), file.display());
    }
    fs::create_dir_all(folder).with_context(cannot)?;
    Ok(folder)
}

#[cfg(all(test, unix))]
mod tests;

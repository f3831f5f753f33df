//! Files from elsewhere, opened and read so that none can be without an end, keep the program
//! waiting, or bring it down.

use std::borrow::Cow;
use std::fs::{self, File, FileType};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Error, Result, anyhow, bail, ensure};

/// How long a pipe may be silent. Programs that compute what they write answer sooner; a pipe that
/// is forgotten never does.
const MAX_SILENCE: Duration = Duration::from_secs(10);
/// How long all of a pipe may take.
const MAX_WAIT: Duration = Duration::from_secs(300);
/// How often a silent pipe is asked again.
const POLL: Duration = Duration::from_millis(5);
/// Characters of an error of a reader that are kept.
const MAX_CAUSE: usize = 600;
/// Bytes of a pipe that are kept in memory; more go to a temporary file.
const MAX_IN_MEMORY: usize = 4_000_000;

/// What can be read from any place.
pub trait Source: BufRead + Seek {}

impl<T: BufRead + Seek> Source for T {}

/// Opens the file `path`, of at most `most` bytes: a regular file, or a pipe as `/dev/stdin` or a
/// shell's `<(…)`, which is read here to its end. A named pipe that nobody writes to is empty.
///
/// # Errors
///
/// If it is a folder, a device or too large, or a pipe that is silent for ten seconds.
pub fn open(path: &Path, most: u64) -> Result<Box<dyn Source>> {
    open_within(path, most, MAX_SILENCE)
}

fn open_within(path: &Path, most: u64, silence: Duration) -> Result<Box<dyn Source>> {
    let file = open_unless(
        path,
        |kind| !kind.is_file() && !is_pipe(kind),
        "neither a regular file nor a pipe",
    )?;
    let metadata = file.metadata()?;
    if metadata.is_file() {
        return Ok(Box::new(BufReader::new(Bounded::new(file, metadata.len(), most)?)));
    }
    let mut copy = tempfile::spooled_tempfile(MAX_IN_MEMORY);
    let now = Instant::now();
    let pipe = Waiting { pipe: file, silence, heard: now, until: now + MAX_WAIT };
    let length = io::copy(&mut pipe.take(most + 1), &mut copy)?;
    ensure!(length <= most, too_large(most));
    copy.rewind()?;
    Ok(Box::new(BufReader::new(copy)))
}

/// Opens the file `path`, of at most `most` bytes, which is to be a regular one. What it leads to
/// otherwise is not opened: that alone may have effects.
///
/// # Errors
///
/// If it is not a regular file, or too large.
pub fn open_regular(path: &Path, most: u64) -> Result<Box<dyn Source>> {
    let file = open_unless(path, |kind| !kind.is_file(), "not a regular file")?;
    let length = file.metadata()?.len();
    Ok(Box::new(BufReader::new(Bounded::new(file, length, most)?)))
}

/// Opens `length` bytes of the file `path` from `start` on, as [`open_regular`] opens a whole file.
///
/// # Errors
///
/// Those of [`open_regular`], and if the file ends before.
pub fn open_slice(path: &Path, start: u64, length: u64, most: u64) -> Result<Box<dyn Source>> {
    let file = open_unless(path, |kind| !kind.is_file(), "not a regular file")?;
    let (end, there) = (start.checked_add(length), file.metadata()?.len());
    ensure!(end.is_some_and(|end| end <= there), "it is cut");
    let mut slice = Bounded { start, ..Bounded::new(file, length, most)? };
    slice.rewind()?;
    Ok(Box::new(BufReader::new(slice)))
}

/// Reads the file `path` as [`open()`] opens it.
///
/// # Errors
///
/// Those of [`open()`], and of reading.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path, most)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads the file `path` as [`open_regular`] opens it.
///
/// # Errors
///
/// Those of [`open_regular`], and of reading.
pub fn read_regular(path: &Path, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path, most)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Opens `path` unless what it leads to is of a kind that is not wanted.
fn open_unless(path: &Path, unwanted: impl Fn(FileType) -> bool, what: &str) -> Result<File> {
    let check = |kind: FileType| {
        if kind.is_dir() {
            bail!("it is a folder; name a file");
        }
        ensure!(!unwanted(kind), "it is {what}; name a file");
        Ok(())
    };
    check(fs::metadata(path)?.file_type())?;
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)] // or a named pipe would wait for someone who writes to it
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        libc::O_NONBLOCK | libc::O_NOCTTY,
    );
    let file = options.open(path)?;
    check(file.metadata()?.file_type())?; // another may have been put there in between
    Ok(file)
}

#[cfg(unix)]
fn is_pipe(kind: FileType) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&kind)
}

#[cfg(not(unix))]
fn is_pipe(_: FileType) -> bool {
    false
}

fn too_large(most: u64) -> String {
    format!("it has more than the {} MB supported", most / 1_000_000)
}

/// A file as long as it was when it was opened: some grow, and some of the system's have no end. Or
/// a part of one.
struct Bounded {
    file: File,
    /// Where in the file it begins.
    start: u64,
    at: u64,
    length: u64,
}

impl Bounded {
    fn new(file: File, length: u64, most: u64) -> Result<Self> {
        ensure!(length <= most, too_large(most));
        Ok(Self { file, start: 0, at: 0, length })
    }
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = (&mut self.file).take(self.length.saturating_sub(self.at)).read(buffer)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Bounded {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::End(offset) => self.length.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.at.checked_add_signed(offset),
            SeekFrom::Start(at) => Some(at),
        };
        let to = to.ok_or(io::Error::from(ErrorKind::InvalidInput))?;
        let within = self.start.checked_add(to).ok_or(io::Error::from(ErrorKind::InvalidInput))?;
        self.file.seek(SeekFrom::Start(within))?;
        self.at = to;
        Ok(to)
    }
}

/// Waits for what is still to come through a pipe, but not forever.
struct Waiting {
    pipe: File,
    silence: Duration,
    heard: Instant,
    until: Instant,
}

impl Read for Waiting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.pipe.read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let now = Instant::now();
                    if now > self.until || now - self.heard > self.silence {
                        let text = "nothing more came through the pipe";
                        return Err(io::Error::new(ErrorKind::TimedOut, text));
                    }
                    sleep(POLL);
                }
                read => {
                    self.heard = Instant::now();
                    return read;
                }
            }
        }
    }
}

/// Does `work` on a file. A panic in it, as of a reader that meets what it was not made for,
/// becomes an error, so that the other files can go on.
///
/// # Errors
///
/// Those of `work`, in one line.
pub fn contained<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let done = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        drop(panic); // what it says means nothing to whoever has the file
        Err(anyhow!(
            "its reader failed: it is damaged, or uses an unusual variant of its format; save it again in another format"
        ))
    });
    done.map_err(|error| in_one_line(&error))
}

/// Libraries' errors say the same thing several times, go on with stack traces, and quote at
/// length.
fn in_one_line(error: &Error) -> Error {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        let cause = cause.lines().next().unwrap_or_default();
        if !text.contains(cause) {
            text = if text.is_empty() { cause.into() } else { format!("{text}: {cause}") };
        }
    }
    // Decoders hide the kind of an error in their own.
    if ["failed to fill whole buffer", "unexpected end of file"]
        .iter()
        .any(|end| text.contains(end))
    {
        return anyhow!("it is truncated; download or copy it again");
    }
    anyhow!(shortened(&text, MAX_CAUSE).into_owned())
}

/// Cuts out of the middle what is more than `most` characters, as of what a file holds and an error
/// quotes: a message says what it is about at its beginning, and the cause at its end.
pub fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    let count = text.chars().count();
    if count <= most {
        return text.into();
    }
    let head: String = text.chars().take(most / 2).collect();
    let tail: String = text.chars().skip(count - most / 2).collect();
    format!("{head}…{tail}").into()
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;

    fn error<T>(result: Result<T>) -> String {
        format!("{:#}", result.err().unwrap())
    }

    #[test]
    fn a_file_ends_where_it_ended_when_it_was_opened() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"0123456789").unwrap();
        assert_eq!(error(open(file.path(), 9)), "it has more than the 0 MB supported");
        let mut opened = open(file.path(), 10).unwrap();
        file.write_all(b"more").unwrap();
        assert_eq!(opened.seek(SeekFrom::End(-3)).unwrap(), 7);
        let mut rest = String::new();
        opened.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "789");
        opened.seek(SeekFrom::Start(12)).unwrap();
        assert_eq!(opened.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn a_slice_is_all_that_is_seen_of_a_file() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"0123456789").unwrap();
        let mut slice = open_slice(file.path(), 3, 4, 9).unwrap();
        let mut text = String::new();
        slice.read_to_string(&mut text).unwrap();
        assert_eq!(text, "3456");
        assert_eq!(slice.seek(SeekFrom::End(-1)).unwrap(), 3);
        text.clear();
        slice.read_to_string(&mut text).unwrap();
        assert_eq!(text, "6");
        assert_eq!(error(open_slice(file.path(), 7, 4, 9)), "it is cut");
    }

    #[test]
    fn links_to_anything_but_a_regular_file_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        symlink("/dev/zero", at("device")).unwrap();
        assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
        symlink("pipe", at("to_pipe")).unwrap();
        fs::write(at("file"), "content").unwrap();
        symlink("file", at("to_file")).unwrap();
        for name in ["device", "pipe", "to_pipe"] {
            assert_eq!(error(read_regular(&at(name), 9)), "it is not a regular file; name a file");
        }
        assert_eq!(read_regular(&at("to_file"), 9).unwrap(), b"content");
        assert_eq!(
            error(read(&at("device"), 9)),
            "it is neither a regular file nor a pipe; name a file"
        );
        assert_eq!(read(&at("pipe"), 9).unwrap(), b"", "nobody writes to it");
        assert_eq!(error(read(folder.path(), 9)), "it is a folder; name a file");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_system_file_without_an_end_is_read_as_empty() {
        let folder = tempfile::tempdir().unwrap();
        symlink("/proc/self/pagemap", folder.path().join("a.json")).unwrap();
        assert_eq!(read_regular(&folder.path().join("a.json"), 1000).unwrap(), b"");
    }

    #[cfg(target_os = "linux")] // elsewhere a pipe cannot be opened to read and write
    #[test]
    fn a_silent_pipe_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let mut writer = File::options().read(true).write(true).open(&path).unwrap();
        writer.write_all(b"some").unwrap();
        let silence = Duration::from_millis(20);
        let given_up = error(open_within(&path, 9, silence));
        assert!(given_up.contains("nothing more came through the pipe"), "{given_up}");
        writer.write_all(b"far too much").unwrap();
        assert!(error(open_within(&path, 9, silence)).contains("it has more than"));
    }
}

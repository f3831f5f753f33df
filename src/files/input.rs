//! Files from elsewhere, opened and read so that none can be without an end, keep the program waiting,
//! or bring it down.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, ErrorKind, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use anyhow::{Error, Result, anyhow, ensure};

/// What can be read from any place.
pub trait Source: BufRead + Seek {}

impl<T: BufRead + Seek> Source for T {}

/// Opens the file `path`, of at most `most` bytes. What is no plain file, as `/dev/stdin` or a
/// shell's `<(…)`, is read into memory; a named pipe that nobody writes to counts as empty.
pub fn open(path: &Path, most: u64) -> Result<Box<dyn Source>> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)] // or a named pipe would wait for someone who writes to it
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    ensure!(!metadata.is_dir(), "it is a folder; name a file");
    let too_large = || format!("it has more than the {} MB supported", most / 1_000_000);
    if metadata.is_file() {
        ensure!(metadata.len() <= most, too_large());
        return Ok(Box::new(BufReader::new(file)));
    }
    let mut bytes = Vec::new();
    Waiting(file).take(most + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() as u64 <= most, too_large());
    Ok(Box::new(Cursor::new(bytes)))
}

/// Reads the file `path`, of at most `most` bytes.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path, most)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Waits for what is still to come through a pipe.
struct Waiting(File);

impl Read for Waiting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                read => return read,
            }
        }
    }
}

/// Does `work` on a file. A panic in it, as of a reader that meets what it was not made for, becomes
/// an error, so that the other files can go on.
///
/// # Errors
///
/// Those of `work`, in one line.
pub fn contained<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let done = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(anyhow!("its reader failed ({message}): it is damaged, or of a rare kind"))
    });
    done.map_err(|error| in_one_line(&error))
}

/// Why a file that is not all there cannot be read, and what to do.
pub(crate) const ENDS_EARLY: &str = "it ends early; get the whole of it again";

/// Libraries' errors say the same thing several times, go on with stack traces, and quote at length.
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
        return anyhow!(ENDS_EARLY);
    }
    match text.char_indices().nth(600) {
        Some((end, _)) => anyhow!("{}…", &text[..end]),
        None => anyhow!(text),
    }
}

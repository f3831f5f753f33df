//! Files from elsewhere, opened so that none can be without an end or keep the program waiting.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, ErrorKind, Read, Seek};
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

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
    Patient(file).take(most + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() as u64 <= most, too_large());
    Ok(Box::new(Cursor::new(bytes)))
}

/// Waits for what is still to come through a pipe.
struct Patient(File);

impl Read for Patient {
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

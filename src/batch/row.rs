//! One image → its row.

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead, Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Error, Result, anyhow, ensure};
use mnist_image::decode::{self, Budget, MAX_FILE_BYTES};
use mnist_image::page::{self, Lattice};
use mnist_image::{Digit, Error as ImageError, single};
use serde_json::json;
use tar::Header;

use super::{Input, Options, Verb, is_missing};
use crate::files::input::{self, Source};
use crate::network::plain::Plain;
use crate::output::row;
use crate::reading;
use crate::reading::stream::classify;

/// The kinds of errors: of a file that is missing, one that cannot be opened, and an image that is
/// damaged, too large, or shows nothing.
const MISSING: &str = "missing";
const FILE: &str = "file";
const DAMAGED: &str = "image";
/// No kind of row: another image held the memory all the time, and the next attempt may have it.
const MEMORY: &str = "memory";
/// The block that precedes a member's bytes in a `.tar`.
const HEADER_BYTES: u64 = 512;

/// The error of an image that was there when it was planned and that the system cannot open or read
/// now: its folder may not be mounted on this machine.
#[derive(Debug)]
pub struct Unreachable {
    path: String,
    cause: Error,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, cause } = self;
        write!(f, "cannot reach {path}, which was there when the batch was planned: {cause:#}")
    }
}

impl std::error::Error for Unreachable {}

/// What was found on an image.
enum Seen {
    Digit(Box<Digit>),
    Page(Vec<Vec<Lattice>>),
}

/// The line of an image, and the kind of its error if it has one.
///
/// # Errors
///
/// The network's, that other images held the memory all the time, and [`Unreachable`], unless
/// `allow_missing`.
pub(super) fn row(
    input: &Input,
    options: &Options,
    allow_missing: bool,
    (model, verifier): &(Plain, Plain),
    budget: &Budget,
) -> Result<(Vec<u8>, Option<&'static str>)> {
    let path = input.shown();
    let (mut line, mut failed) = (Vec::new(), None);
    match see(input, options.verb, budget) {
        Err((MEMORY, error)) => return Err(error.context(format!("cannot read {path}"))),
        Err((MISSING | FILE, cause)) if cause.is::<io::Error>() && !allow_missing => {
            return Err(Unreachable { path, cause }.into());
        }
        Err((kind, error)) => {
            failed = Some(kind);
            let error = json!({"kind": kind, "text": format!("{error:#}")});
            serde_json::to_writer(&mut line, &json!({"path": path, "error": error}))?;
        }
        Ok(Seen::Digit(digit)) => {
            for mut answer in classify(model, verifier, &[(0, *digit)])? {
                answer.is_digit |= options.accept_all;
                serde_json::to_writer(&mut line, &row::Single { path: &path, answer: &answer })?;
            }
        }
        Ok(Seen::Page(found)) => {
            let mut lines = reading::read_lines(model, verifier, &found)?;
            let digits = lines.iter_mut().flatten();
            digits.for_each(|digit| digit.answer.is_digit |= options.accept_all);
            let row = row::page(&path, &lines, options.min_confidence);
            serde_json::to_writer(&mut line, &row)?;
        }
    }
    line.push(b'\n');
    Ok((line, failed))
}

/// Decodes an image and finds what is on it; the error comes with its kind.
fn see(input: &Input, verb: Verb, budget: &Budget) -> Result<Seen, (&'static str, Error)> {
    if input.missing {
        return Err((MISSING, anyhow!("it was not there when the batch was planned")));
    }
    let (failure, is_starved) = (Cell::new(None), Cell::new(false));
    let source = open(input).map_err(|error| (kind(&error), error))?;
    let source = Watched { source, failure: &failure };
    let look = || {
        let decoded = decode::from_reader(source, budget).inspect_err(|error| {
            is_starved.set(matches!(error, ImageError::OutOfBudget));
        })?;
        let grey = decode::grey(&decoded.image);
        Ok(match verb {
            Verb::Predict => Seen::Digit(Box::new(single::find(&grey)?.digit)),
            Verb::Read => Seen::Page(page::find(&grey)),
        })
    };
    let seen = input::contained(look);
    match failure.take() {
        Some(error) => Err((FILE, error.into())),
        None if is_starved.get() => seen.map_err(|error| (MEMORY, error)),
        None => seen.map_err(|error| (DAMAGED, error)),
    }
}

/// Whether a file is missing, or there and cannot be read.
fn kind(error: &Error) -> &'static str {
    match error.downcast_ref().is_some_and(is_missing) {
        true => MISSING,
        false => FILE,
    }
}

/// Opens an image; one in a `.tar` only if its header is the one that was planned.
fn open(input: &Input) -> Result<Box<dyn Source>> {
    let path = Path::new(&input.path);
    let Some(member) = &input.member else { return input::open_regular(path, MAX_FILE_BYTES) };
    let changed = "the archive is not the one that was planned";
    let start = member.at.checked_sub(HEADER_BYTES).context(changed)?;
    let mut header = Header::new_old();
    input::open_slice(path, start, HEADER_BYTES, HEADER_BYTES)?
        .read_exact(header.as_mut_bytes())?;
    ensure!(header.cksum().ok() == Some(member.header), changed);
    input::open_slice(path, member.at, member.size, MAX_FILE_BYTES)
}

/// Keeps the error with which the system fails to read a file, as a network's file system may:
/// decoders make of it one of the image.
struct Watched<'a, S> {
    source: S,
    failure: &'a Cell<Option<io::Error>>,
}

fn keep<T>(failure: &Cell<Option<io::Error>>, result: io::Result<T>) -> io::Result<T> {
    result.inspect_err(|error| {
        let same = error.raw_os_error().map(io::Error::from_raw_os_error);
        failure.set(Some(same.unwrap_or_else(|| error.kind().into())));
    })
}

impl<S: Read> Read for Watched<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        keep(self.failure, self.source.read(buffer))
    }
}

impl<S: BufRead> BufRead for Watched<'_, S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        keep(self.failure, self.source.fill_buf())
    }

    fn consume(&mut self, amount: usize) {
        self.source.consume(amount);
    }
}

impl<S: Seek> Seek for Watched<'_, S> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.source.seek(to) // fails where an image says so
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::from_raw_os_error(5)) // EIO
        }
    }

    #[test]
    fn an_image_for_which_there_is_no_memory_is_no_row() {
        let file = tempfile::NamedTempFile::new().unwrap();
        ::image::GrayImage::new(30, 30)
            .save_with_format(file.path(), ::image::ImageFormat::Png)
            .unwrap();
        let path = file.path().to_str().unwrap().into();
        let input = Input { path, member: None, missing: false };
        let options = Options { verb: Verb::Predict, accept_all: true, min_confidence: 0. };
        let one = std::num::NonZero::<usize>::MIN;
        let network = || Plain::new(crate::weights::verifier().unwrap(), one);
        let networks = (network(), network());
        let budget = Budget::new(10).with_patience(std::time::Duration::from_millis(10));
        let held = budget.reserve(10).unwrap();
        let error = row(&input, &options, true, &networks, &budget).unwrap_err();
        assert!(format!("{error:#}").contains("the memory for images is in use"), "{error:#}");
        drop(held);
        let (_, failed) = row(&input, &options, true, &networks, &budget).unwrap();
        assert_eq!(failed, Some(DAMAGED), "it is blank");
    }

    #[test]
    fn what_the_system_fails_to_read_is_known_whatever_a_decoder_makes_of_it() {
        let failure = Cell::new(None);
        let mut source = Watched { source: BufReader::new(Broken), failure: &failure };
        assert!(source.fill_buf().is_err());
        assert_eq!(failure.take().unwrap().raw_os_error(), Some(5));
        let mut whole = Watched { source: &b"P5 1"[..], failure: &failure };
        assert!(whole.read_exact(&mut [0; 9]).is_err());
        assert!(failure.take().is_none(), "an image that is cut is not the system's failure");
    }
}

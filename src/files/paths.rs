//! Lists of paths.

use std::io::{BufRead, Read};
use std::path::PathBuf;

#[cfg(not(unix))]
use anyhow::Context as _;
use anyhow::{Result, anyhow};

/// The path that stands for a list of paths on standard input.
pub const LIST: &str = "-";
/// Bytes in a line; no system has longer paths.
const MAX_PATH: u64 = 1 << 16;
/// What some editors put before the first line.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
/// Bytes of a longer line after which its end is no longer looked for.
const MAX_SKIPPED: u64 = 1 << 30;

/// The paths in `input`, one a line; on Unix they need not be UTF-8. Empty lines are passed over. A
/// line that is too long costs its path only; binary data ends the list with an error.
pub fn lines(mut input: impl BufRead) -> impl Iterator<Item = Result<PathBuf>> {
    let (mut number, mut ended) = (0, false);
    std::iter::from_fn(move || {
        while !ended {
            number += 1;
            let mut line = Vec::new();
            match read_line(&mut input, number == 1, &mut line) {
                Ok(Line::Whole) => {}
                Ok(Line::TooLong { ends }) => {
                    ended = !ends;
                    return Some(Err(anyhow!("line {number} is too long for a path")));
                }
                Err(error) => {
                    ended = true; // what cannot be read now cannot be read again
                    return Some(Err(error));
                }
            }
            ended = line.is_empty();
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !line.is_empty() {
                return Some(path(line));
            }
        }
        None
    })
}

enum Line {
    Whole,
    TooLong { ends: bool },
}

fn read_line(input: &mut impl BufRead, first: bool, line: &mut Vec<u8>) -> Result<Line> {
    let binary = || anyhow!("it is binary data, not a list of paths");
    // An image may well begin with a line of text; no list has a byte of 0.
    if first && input.fill_buf()?.contains(&0) {
        return Err(binary());
    }
    input.by_ref().take(MAX_PATH + 1).read_until(b'\n', line)?;
    if first && line.starts_with(BYTE_ORDER_MARK) {
        line.drain(..BYTE_ORDER_MARK.len());
    }
    if line.contains(&0) {
        return Err(binary());
    }
    if line.len() as u64 > MAX_PATH && !line.ends_with(b"\n") {
        let skipped = input.take(MAX_SKIPPED).skip_until(b'\n');
        return Ok(Line::TooLong {
            ends: skipped.is_ok_and(|skipped| (skipped as u64) < MAX_SKIPPED),
        });
    }
    Ok(Line::Whole)
}

#[cfg(unix)]
fn path(bytes: &[u8]) -> Result<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    Ok(std::ffi::OsStr::from_bytes(bytes).into())
}

#[cfg(not(unix))]
fn path(bytes: &[u8]) -> Result<PathBuf> {
    Ok(std::str::from_utf8(bytes).context("a path is not UTF-8")?.into())
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    /// What is listed in `input`, read a buffer at a time.
    fn listed(input: &[u8]) -> Vec<String> {
        let shown = |path: Result<PathBuf>| match path {
            Ok(path) => path.display().to_string(),
            Err(error) => format!("error: {error}"),
        };
        lines(BufReader::new(input)).map(shown).collect()
    }

    #[test]
    fn each_line_is_a_path() {
        assert_eq!(listed(b"a.png\r\n\n b c\nlast"), ["a.png", " b c", "last"]);
        assert!(listed(b"").is_empty());
        assert_eq!(listed(b"\xef\xbb\xbfa.png\n\xef\xbb\xbfb"), ["a.png", "\u{feff}b"]);
    }

    #[test]
    fn a_line_that_is_too_long_costs_its_path_only() {
        let input = [b"x".repeat(70_000).as_slice(), b"\na.png\n"].concat();
        assert_eq!(listed(&input), ["error: line 1 is too long for a path", "a.png"]);
    }

    #[test]
    fn binary_data_is_one_error() {
        let binary = ["error: it is binary data, not a list of paths"];
        assert_eq!(listed(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\n\xff\n\xfe\n"), binary);
        let late = [b"a\n".repeat(5000).as_slice(), b"b\0c\nd\n"].concat();
        assert_eq!(listed(&late)[5000..], binary);
    }
}

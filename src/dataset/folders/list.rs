//! Which images there are in the folders of digits.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::CLASSES;
use crate::files::image::{is_hidden, is_image};

/// The folder of what is no digit, as `mnist serve` collects it.
pub const NONE: &str = "none";

/// What an image is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Train,
    Test,
}

/// An image in a folder of digits.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub path: PathBuf,
    pub label: u8,
    /// What its folder says that it is for.
    pub side: Option<Side>,
}

/// The images below a folder, and what is not among them.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub images: Vec<Found>,
    pub passed_over: Vec<String>,
}

/// Whether `dir` has a folder `train`, or one of a digit.
pub(super) fn is_of_images(dir: &Path) -> bool {
    dir.join("train").is_dir() || (0..CLASSES).any(|digit| dir.join(digit.to_string()).is_dir())
}

/// Lists `dir/train/DIGIT/…` and `dir/test/DIGIT/…`, or `dir/DIGIT/…`.
pub(super) fn list(dir: &Path) -> Result<Listing> {
    let mut listing = Listing::default();
    let train = dir.join("train");
    if !train.is_dir() {
        listing.digits(dir, None)?;
        return Ok(listing);
    }
    let test = dir.join("test");
    let has_test = test.is_dir();
    listing.digits(&train, has_test.then_some(Side::Train))?;
    if has_test {
        listing.digits(&test, Some(Side::Test))?;
    }
    let mut loose = 0;
    for path in entries(dir)? {
        if path.is_dir() && path != train && path != test {
            listing.pass_over(&path, "it is neither train nor test");
        }
        loose += usize::from(is_image(&path) && path.is_file());
    }
    listing.pass_over_loose(dir, loose);
    Ok(listing)
}

impl Listing {
    /// The images in the folders of digits in `dir`, which may be links.
    fn digits(&mut self, dir: &Path, side: Option<Side>) -> Result<()> {
        let mut loose = 0;
        for path in entries(dir)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let label = name.parse::<u8>().ok().filter(|label| usize::from(*label) < CLASSES);
            match label {
                _ if !path.is_dir() => loose += usize::from(is_image(&path)),
                Some(label) if name.len() == 1 => self.images(&path, label, side)?,
                _ if name == NONE => self.pass_over(&path, "it holds what is no digit"),
                _ => self.pass_over(&path, "its name is no digit from 0 to 9"),
            }
        }
        self.pass_over_loose(dir, loose);
        Ok(())
    }

    /// The images in `dir`, and in the folders in it; links to folders may lead round in a circle.
    fn images(&mut self, dir: &Path, label: u8, side: Option<Side>) -> Result<()> {
        let mut others = 0;
        for path in entries(dir)? {
            if path.is_dir() && path.is_symlink() {
                self.pass_over(&path, "it is a link to a folder");
            } else if path.is_dir() {
                self.images(&path, label, side)?;
            } else if is_image(&path) {
                self.images.push(Found { path, label, side });
            } else {
                others += 1;
            }
        }
        if others > 0 {
            let what = format!("{others} file(s) have the extension of no image");
            self.pass_over(dir, &format!("in it, {what}"));
        }
        Ok(())
    }

    fn pass_over_loose(&mut self, dir: &Path, images: usize) {
        if images > 0 {
            self.pass_over(dir, &format!("in it, {images} image(s) lie in no folder of a digit"));
        }
    }

    fn pass_over(&mut self, path: &Path, why: &str) {
        self.passed_over.push(format!("{}: {why}", path.display()));
    }
}

/// What lies in `dir`, by name, but for what is hidden.
fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let list = || -> std::io::Result<Vec<_>> {
        fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect()
    };
    let mut found = list().with_context(|| format!("cannot list the folder {}", dir.display()))?;
    found.retain(|path| !is_hidden(path));
    found.sort();
    Ok(found)
}

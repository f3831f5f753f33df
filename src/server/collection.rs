//! Digits that people have corrected, kept to train on.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use axum::http::StatusCode;
use image::{GrayImage, ImageFormat};

use super::failure::{Failure, Outcome};
use crate::dataset::folders::NONE;
use crate::files::{atomic, sha256_hex};

/// Files and bytes of a collection, at most: a year of corrections by hand, and no full disk.
const MAX_FILES: usize = 20_000;
const MAX_BYTES: u64 = 500_000_000;
/// Hexadecimal digits of the hash that names a file.
const NAME_LENGTH: usize = 20;

/// A folder of corrected digits, with a folder for each label.
#[derive(Debug)]
pub struct Collection {
    folder: PathBuf,
    /// Files and bytes that lie in it.
    taken: Mutex<(usize, u64)>,
}

impl Collection {
    /// The collection in `folder`, which is made if it is missing.
    ///
    /// # Errors
    ///
    /// If it cannot be written to.
    pub fn open(folder: &Path) -> Result<Collection> {
        atomic::prepare(&folder.join("any.png"))?;
        let cannot = || format!("cannot collect digits in {}", folder.display());
        let folder = fs::canonicalize(folder).with_context(cannot)?;
        let mut taken = (0, 0);
        for label in labels() {
            for entry in fs::read_dir(folder.join(label)).into_iter().flatten().flatten() {
                taken.0 += 1;
                taken.1 += entry.metadata().map_or(0, |file| file.len());
            }
        }
        Ok(Collection { folder, taken: Mutex::new(taken) })
    }

    /// Saves the image of a digit under its label, `none` if it is no digit, and returns its path
    /// in the folder. The same image is there once.
    ///
    /// Only the pixels are kept, not what else the file said, as where a photograph was taken.
    pub fn save(&self, label: &str, grey: &GrayImage) -> Outcome<String> {
        let Some(label) = labels().find(|known| known == label) else {
            return Err(Failure::bad("The label must be a digit, 0 to 9, or none."));
        };
        let mut png = Cursor::new(Vec::new());
        grey.write_to(&mut png, ImageFormat::Png)
            .map_err(|error| Failure::internal(format!("The image cannot be written: {error}.")))?;
        let png = png.into_inner();
        let name = format!("{label}/{}.png", &sha256_hex(&png)[..NAME_LENGTH]);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (files, bytes) = (taken.0 + 1, taken.1 + png.len() as u64);
        if files > MAX_FILES || bytes > MAX_BYTES {
            let sentence = format!(
                "The collection is full: it holds {MAX_FILES} files or {} MB at most.",
                MAX_BYTES / 1_000_000
            );
            return Err(Failure::new(StatusCode::INSUFFICIENT_STORAGE, sentence));
        }
        let saved = self.write(&label, &name, &png);
        let is_new = saved.map_err(|error| {
            Failure::of(StatusCode::INTERNAL_SERVER_ERROR, &error.context("the digit is not saved"))
        })?;
        if is_new {
            *taken = (files, bytes);
        }
        Ok(name)
    }

    fn write(&self, label: &str, name: &str, png: &[u8]) -> Result<bool> {
        let within = self.folder.join(label);
        fs::create_dir_all(&within)?;
        // A link may lead elsewhere.
        anyhow::ensure!(
            fs::canonicalize(&within)? == within,
            "{} is a link to another folder",
            within.display()
        );
        atomic::write_new(&self.folder.join(name), png)
    }
}

/// The names of the folders.
fn labels() -> impl Iterator<Item = String> {
    ('0'..='9').map(String::from).chain([NONE.into()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Luma;

    fn image(level: u8) -> GrayImage {
        GrayImage::from_pixel(20, 30, Luma([level]))
    }

    #[test]
    fn images_lie_under_their_label_once_each() {
        let folder = tempfile::tempdir().unwrap();
        let collection = Collection::open(&folder.path().join("new")).unwrap();
        let saved = collection.save("7", &image(9)).unwrap();
        assert!(saved.starts_with("7/") && saved.ends_with(".png"), "{saved}");
        assert_eq!(collection.save("7", &image(9)).unwrap(), saved);
        assert!(collection.save("none", &image(9)).unwrap().starts_with("none/"));
        let read = ::image::open(folder.path().join("new").join(&saved)).unwrap();
        assert_eq!(read.into_luma8(), image(9));
        assert_eq!(
            *collection.taken.lock().unwrap(),
            *Collection::open(&folder.path().join("new")).unwrap().taken.lock().unwrap()
        );
        assert_eq!(collection.taken.lock().unwrap().0, 2);
        for label in ["10", "", "..", "../7", "None", "7/", "/tmp"] {
            assert!(collection.save(label, &image(9)).is_err(), "{label}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn nothing_is_written_over_a_file_or_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("elsewhere")).unwrap();
        let collection = Collection::open(&at("mine")).unwrap();
        std::os::unix::fs::symlink("../elsewhere", at("mine/3")).unwrap();
        let refused = format!("{:?}", collection.save("3", &image(9)).unwrap_err());
        assert!(refused.contains("is a link to another folder"), "{refused}");
        assert_eq!(fs::read_dir(at("elsewhere")).unwrap().count(), 0);
        let saved = at("mine").join(collection.save("4", &image(9)).unwrap());
        fs::write(&saved, "other").unwrap();
        collection.save("4", &image(9)).unwrap();
        assert_eq!(fs::read_to_string(&saved).unwrap(), "other");
    }

    #[test]
    fn a_full_collection_takes_nothing_more() {
        let folder = tempfile::tempdir().unwrap();
        let collection = Collection::open(folder.path()).unwrap();
        for full in [(MAX_FILES, 0), (0, MAX_BYTES)] {
            *collection.taken.lock().unwrap() = full;
            let refused = format!("{:?}", collection.save("4", &image(9)).unwrap_err());
            assert!(refused.contains("The collection is full"), "{refused}");
        }
        assert!(!folder.path().join("4").exists());
    }
}

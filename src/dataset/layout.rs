//! Folders in MNIST's layout: four IDX files, images and labels to train on and to test on.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::idx::{self, Content, Idx};
use super::{Labelled, Split};
use crate::SIDE;

/// The names of MNIST's four files, and what is in them: images and labels to train on, then to
/// test on.
pub(super) const FILES: [(&str, Content); 4] = [
    ("train-images-idx3-ubyte", Content::Images),
    ("train-labels-idx1-ubyte", Content::Labels),
    ("t10k-images-idx3-ubyte", Content::Images),
    ("t10k-labels-idx1-ubyte", Content::Labels),
];

/// Whether the folder `dir` has any of the four files.
pub fn is_layout(dir: &Path) -> bool {
    FILES.iter().any(|(name, _)| matches!(named(dir, name), Ok(found) if !found.is_empty()))
}

/// Whether the files in the folder `dir` have EMNIST's names, whose images lie with rows and columns
/// exchanged.
pub fn has_emnist_names(dir: &Path) -> bool {
    let (name, _) = FILES[0];
    matches!(named(dir, name), Ok(found) if found.first().is_some_and(|path| !is_exactly(path, name)))
}

/// Reads the folder `dir`. The files may have names that mirrors or EMNIST give them.
///
/// # Errors
///
/// If a file is missing, damaged, too large, or of another layout.
pub fn read(dir: &Path) -> Result<Split> {
    let mut parts = FILES.as_chunks().0.iter().map(|[images, labels]| -> Result<Vec<Labelled>> {
        // Labels first: images without a label each are not even unpacked.
        let labels = check(dir, labels, None)?;
        let images = check(dir, images, Some(labels.count))?;
        let digits = images.items().as_chunks().0.iter();
        Ok(digits.zip(labels.items()).map(|(&digit, &label)| Labelled { digit, label }).collect())
    });
    let mut next = || parts.next().unwrap_or_else(|| Ok(Vec::new()));
    Ok(Split { train: next()?, test: next()? })
}

/// The four files of a data set, with their names, not compressed.
///
/// # Errors
///
/// If a part has no samples, or more than a file may have.
pub fn files(split: &Split) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let parts = FILES.into_iter().zip([&split.train, &split.train, &split.test, &split.test]);
    let file = |((name, content), samples): ((&'static str, Content), &Vec<Labelled>)| {
        let part = if name.starts_with("train") { "train on" } else { "test on" };
        ensure!(!samples.is_empty(), "there are no images to {part}");
        let bytes = match content {
            Content::Images => samples.iter().flat_map(|sample| sample.digit).collect(),
            Content::Labels => samples.iter().map(|sample| sample.label).collect(),
        };
        Ok((name, idx::file(content, samples.len(), bytes)?))
    };
    parts.map(file).collect()
}

/// Reads and checks one of the [`FILES`] in the folder `dir`.
pub(super) fn check(
    dir: &Path,
    &(name, content): &(&str, Content),
    expected: Option<usize>,
) -> Result<Idx> {
    idx::read(&find(dir, name)?, content, expected)
}

/// The file `name` in `dir`, under one of the names in use for it.
fn find(dir: &Path, name: &str) -> Result<PathBuf> {
    let found = named(dir, name)?;
    // EMNIST's files lie beside those of its other parts.
    ensure!(
        found.len() < 2 || is_exactly(&found[0], name),
        "the data folder {} has several files {name}, such as {}; leave one",
        dir.display(),
        found[1].display()
    );
    let Some(path) = found.into_iter().next() else {
        let dir = dir.display();
        bail!(
            "the data folder {dir} has no file {name} or {name}.gz; it needs all four files of MNIST's layout"
        )
    };
    Ok(path)
}

/// The names in use for the file `name` of MNIST: with a dot in place of the second hyphen, as some
/// mirrors have it, and EMNIST's, which begin with the name of the set and have `test` for `t10k`.
fn spellings(name: &str) -> [String; 3] {
    [name.into(), name.replacen("-idx", ".idx", 1), name.replacen("t10k", "test", 1)]
}

fn is_exactly(path: &Path, name: &str) -> bool {
    let own = path.file_name().unwrap_or_default().to_string_lossy();
    spellings(name)[..2].iter().any(|name| own.trim_end_matches(".gz") == *name)
}

/// The files in `dir` that may be the file `name`; first those that MNIST's own may be called.
fn named(dir: &Path, name: &str) -> Result<Vec<PathBuf>> {
    let cannot = || format!("cannot list the folder {}", dir.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        let own = entry.file_name().to_string_lossy().into_owned();
        let own = own.trim_end_matches(".gz");
        let fits = |spelling: &String| {
            own.strip_suffix(spelling.as_str())
                .is_some_and(|prefix| prefix.is_empty() || prefix.ends_with('-'))
        };
        if spellings(name).iter().any(fits) {
            found.push(entry.path());
        }
    }
    found.sort_by_key(|path| (!is_exactly(path, name), path.clone()));
    Ok(found)
}

/// The digit with rows and columns exchanged.
pub fn transposed(digit: &mnist_image::Digit) -> mnist_image::Digit {
    std::array::from_fn(|at| digit[at % SIDE * SIDE + at / SIDE])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split() -> Split {
        let sample = |label: u8| Labelled { digit: [label; SIDE * SIDE], label };
        Split { train: (0..3).map(sample).collect(), test: vec![sample(9)] }
    }

    #[test]
    fn a_set_is_the_same_after_the_way_through_files_of_any_name() {
        for prefix in ["", "emnist-digits-"] {
            let folder = tempfile::tempdir().unwrap();
            assert!(!is_layout(folder.path()));
            for (name, bytes) in files(&split()).unwrap() {
                let name = match prefix {
                    "" => name.to_string(),
                    _ => format!("{prefix}{}", name.replacen("t10k", "test", 1)),
                };
                fs::write(folder.path().join(name), bytes).unwrap();
            }
            assert!(is_layout(folder.path()));
            assert_eq!(has_emnist_names(folder.path()), !prefix.is_empty());
            assert_eq!(read(folder.path()).unwrap(), split());
        }
    }

    #[test]
    fn of_two_sets_in_a_folder_neither_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        for prefix in ["emnist-digits-", "emnist-letters-"] {
            for (name, bytes) in files(&split()).unwrap() {
                fs::write(folder.path().join(format!("{prefix}{name}")), bytes).unwrap();
            }
        }
        let error = read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("several files train-labels-idx1-ubyte"), "{error}");
        assert!(files(&Split { test: Vec::new(), ..split() }).is_err());
    }

    #[test]
    fn rows_become_columns() {
        let mut digit = [0; SIDE * SIDE];
        digit[3 * SIDE + 5] = 7;
        let turned = transposed(&digit);
        assert_eq!((turned[5 * SIDE + 3], transposed(&turned)), (7, digit));
    }
}

//! Which data sets to take.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use anyhow::{Result, ensure};
use clap::builder::{OsStringValueParser, TypedValueParser};

use super::share;
use crate::CLASSES;
use crate::commands::console::{bar, note, warn};
use crate::dataset::{Split, folders, layout};
use crate::training::config::MAX_WEIGHT;

#[cfg(feature = "torch")]
mod torch;

/// What names the MNIST that is built in, in place of a folder; `./mnist` is a folder of that name.
pub const MNIST: &str = "mnist";

/// A data set, and how often its training samples are shown in an epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Its folder; without one, the MNIST that is built in.
    pub folder: Option<PathBuf>,
    /// How often, if that is said.
    pub weight: Option<f64>,
}

/// Which data sets to take.
#[derive(Debug, clap::Args)]
pub struct DataArgs {
    /// Data set: a folder in MNIST's layout, raw or .gz; a folder of images in folders 0 to 9, or
    /// in those of train and test; or `mnist`, the one that is built in. Give it several times to
    /// mix sets; mine:5 shows each image of the folder mine five times in an epoch [default: the
    /// built-in MNIST]
    #[arg(long, value_name = "DIR[:WEIGHT]", value_parser = OsStringValueParser::new().try_map(source))]
    pub data: Vec<Source>,
    #[command(flatten)]
    images: ImagesArgs,
}

/// What to do with folders of images.
#[derive(Debug, clap::Args)]
pub struct ImagesArgs {
    /// Share of a folder's images to test on, from 0 to 1, unless it has train and test; chosen by
    /// their files' content, so that an image stays where it is when others are added
    #[arg(long, value_name = "SHARE", default_value_t = 0.2, value_parser = share::<f64>)]
    test_split: f64,
    /// Pass over images that cannot be read, in place of refusing their data set
    #[arg(long)]
    skip_bad: bool,
}

impl ImagesArgs {
    /// Reads a folder of images, shows how far that is, and notes what is in it.
    pub fn read(&self, folder: &Path) -> Result<Split> {
        let name = folder.display();
        let bar = bar("{msg} [{wide_bar}] {pos}/{len}, {eta} left");
        bar.set_message(format!("Reading {name}"));
        let images =
            folders::read(folder, self.test_split, available_parallelism()?, &|done, all| {
                bar.set_length(all as u64);
                bar.set_position(done as u64);
            });
        bar.finish_and_clear();
        let folders::Images { split, bad, passed_over } = images?;
        for what in passed_over {
            note(&format!("passed over: {what}"));
        }
        for error in &bad {
            match self.skip_bad {
                true => note(&format!("passed over: {error:#}")),
                false => warn(error),
            }
        }
        let count = split.train.len() + split.test.len();
        ensure!(
            bad.is_empty() || self.skip_bad,
            "{} of the {} images in {name} cannot be read; mend or remove them, or pass them over \
             with --skip-bad",
            bad.len(),
            bad.len() + count
        );
        ensure!(count > 0, "none of the {} images in {name} can be read", bad.len());
        let (train, test) = (split.train.len(), split.test.len());
        note(&format!("{name}: {train} images to train on, {test} to test on{}", missing(&split)));
        Ok(split)
    }
}

/// Notes that images may lie with rows and columns exchanged, which are taken as they lie.
pub fn note_emnist(dir: &Path) {
    if layout::has_emnist_names(dir) {
        let dir = dir.display();
        note(&format!(
            "warning: the files in {dir} have EMNIST's names, and EMNIST's images lie with rows and \
             columns exchanged; `mnist dataset OUT {dir} --transpose` turns them"
        ));
    }
}

/// What is to be said of digits of which there are none.
fn missing(split: &Split) -> String {
    let is_there = |digit: &usize| {
        split.train.iter().chain(&split.test).any(|sample| usize::from(sample.label) == *digit)
    };
    let missing: Vec<_> =
        (0..CLASSES).filter(|digit| !is_there(digit)).map(|digit| digit.to_string()).collect();
    match missing[..] {
        [] => String::new(),
        _ => format!("; none of {}", missing.join(", ")),
    }
}

/// `DIR` or `DIR:WEIGHT`. A folder whose own name ends so needs a weight after it.
fn source(text: OsString) -> Result<Source, String> {
    let (name, weight) = match text.to_str().and_then(|text| text.rsplit_once(':')) {
        Some((name, weight)) if !name.is_empty() && weight.parse::<f64>().is_ok() => {
            (OsString::from(name), weight.parse().ok())
        }
        _ => (text, None),
    };
    if weight.is_some_and(|weight: f64| !(weight > 0. && weight <= MAX_WEIGHT)) {
        return Err(format!("choose a weight above 0, up to {MAX_WEIGHT}"));
    }
    let folder = (Path::new(&name).as_os_str() != MNIST).then(|| name.into());
    Ok(Source { folder, weight })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_after_the_last_colon_is_a_weight() {
        let parsed = |text: &str| source(text.into()).map(|of| (of.folder, of.weight));
        let folder = |name: &str| Some(PathBuf::from(name));
        for (text, expected) in [
            ("mine", (folder("mine"), None)),
            ("mine:5", (folder("mine"), Some(5.))),
            ("a:b:0.5", (folder("a:b"), Some(0.5))),
            ("a:b", (folder("a:b"), None)),
            (":5", (folder(":5"), None)),
            ("mnist", (None, None)),
            ("mnist:0.1", (None, Some(0.1))),
            ("./mnist", (folder("./mnist"), None)),
        ] {
            assert_eq!(parsed(text), Ok(expected), "{text}");
        }
        for text in ["mine:0", "mine:-1", "mine:nan", "mine:inf", "mine:1001"] {
            assert!(source(text.into()).is_err(), "{text}");
        }
    }
}

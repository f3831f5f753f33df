//! Data sets → folders for other programs: IDX files, or images by digit.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use anyhow::Result;
use flate2::Compression;
use flate2::write::GzEncoder;
use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};

use super::{Split, layout};
use crate::SIDE;
use crate::files::atomic;

/// How a data set is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// MNIST's four files, gzipped.
    Idx,
    /// `train/DIGIT/NUMBER.png` and `test/DIGIT/NUMBER.png`.
    Png,
}

/// Writes `split` into the new folder `dir`, as a whole or not at all.
///
/// # Errors
///
/// If there is something at `dir` already, it cannot be written, or the format has no place for
/// what is in a part.
pub fn write(split: &Split, format: Format, dir: &Path) -> Result<()> {
    atomic::write_folder(dir, |folder| match format {
        Format::Idx => idx(split, folder),
        Format::Png => png(split, folder),
    })
}

fn idx(split: &Split, folder: &Path) -> Result<()> {
    for (name, bytes) in layout::files(split)? {
        let file = File::create(folder.join(format!("{name}.gz")))?;
        let mut encoder = GzEncoder::new(file, Compression::default());
        encoder.write_all(&bytes)?;
        encoder.finish()?.sync_all()?;
    }
    Ok(())
}

/// What is written is not synced file by file, which would take minutes: it replaces nothing.
fn png(split: &Split, folder: &Path) -> Result<()> {
    let side = SIDE as u32;
    for (part, samples) in [("train", &split.train), ("test", &split.test)] {
        for (number, sample) in samples.iter().enumerate() {
            let folder = folder.join(part).join(sample.label.to_string());
            fs::create_dir_all(&folder)?;
            let mut bytes = Vec::new();
            let encoder = PngEncoder::new(&mut bytes);
            encoder.write_image(&sample.digit, side, side, ExtendedColorType::L8)?;
            fs::write(folder.join(format!("{number:05}.png")), bytes)?;
        }
    }
    Ok(())
}

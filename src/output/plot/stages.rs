//! What each stage of reading made of a page, as images.

use image::{DynamicImage, GrayImage, Rgb, RgbImage};
use imageproc::drawing::draw_hollow_rect_mut;
use mnist_image::page::Lattice;

use super::BLUE;
use super::annotate::around;
use super::digits::{Digits, Palette, Tile};
use crate::reading::ReadDigit;

/// The colours of lines of writing, in turn.
const LINES: [Rgb<u8>; 4] =
    [Rgb([BLUE.0, BLUE.1, BLUE.2]), Rgb([213, 94, 0]), Rgb([0, 158, 115]), Rgb([204, 121, 167])];
/// Digits in a row.
const COLUMNS: usize = 10;

/// Draws on a binarised page, white on black, the candidates of each line in the line's colour: a
/// box around what belongs together, and within it around each piece that may be a digit.
pub fn candidates(mask: &GrayImage, lines: &[Vec<Lattice>]) -> RgbImage {
    let mut drawn = DynamicImage::ImageLuma8(mask.clone()).into_rgb8();
    image::imageops::invert(&mut drawn);
    for (line, color) in lines.iter().zip(LINES.into_iter().cycle()) {
        for lattice in line {
            let end = lattice.strokes.len() - 1;
            for one in &lattice.candidates {
                let whole = (one.from, one.to) == (0, end);
                draw_hollow_rect_mut(
                    &mut drawn,
                    around(one.local, if whole { 3 } else { 0 }),
                    color,
                );
            }
        }
    }
    drawn
}

/// The digits as the network saw them, with its answers.
pub fn digits(lines: &[Vec<ReadDigit>]) -> Digits {
    let tile = |read: &ReadDigit| {
        let prediction = &read.answer.prediction;
        let sure = 100. * prediction.confidence;
        let said = match read.answer.is_digit {
            true => format!("{} ({sure:.0}%)", prediction.label),
            false => format!("no digit ({:.0}%)", 100. * (1. - read.answer.score)),
        };
        Tile::digit(&read.digit, said)
    };
    let tiles: Vec<Tile> = lines.iter().flatten().map(tile).collect();
    Digits {
        title: "What the network saw, in reading order".into(),
        note: "the answer and its confidence".into(),
        columns: tiles.len().clamp(1, COLUMNS),
        tiles,
        palette: Palette::Ink,
    }
}

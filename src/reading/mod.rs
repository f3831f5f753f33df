//! Sheets of digits → text: the network's say in what [`crate::sheet`] has found.

pub mod stream;

use anyhow::Result;
use image::GrayImage;
use serde::Serialize;

use crate::network::model::{Model, Prediction};
use mnist_image::image::Digit;
use mnist_image::sheet::{self, Blob, Bounds, Piece, lower_median};

/// A digit on a sheet.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Read {
    /// Where it is.
    #[serde(rename = "box")]
    pub bounds: Bounds,
    /// Which it is.
    #[serde(flatten)]
    pub prediction: Prediction,
    /// Whether the gap to the digit before it is that of a space.
    pub space: bool,
}

impl Read {
    /// Whether it is at least this sure.
    pub fn is_sure(&self, least: f32) -> bool {
        self.prediction.confidence >= least
    }

    /// The digit, or `?` where it is less sure than `least`.
    pub fn label(&self, least: f32) -> char {
        match self.is_sure(least) {
            true => char::from(b'0' + self.prediction.label as u8),
            false => '?',
        }
    }
}

/// Reads the digits of a picture that is upright: its lines from top to bottom, each from left to
/// right. Where nothing is written, there are no lines.
///
/// Digits that touch are cut apart where that makes `cutter` surer of them: a network that was
/// trained with outliers ([`crate::outlier`]), as [`crate::weights::cutter`] is. What they are is for
/// `model` to say.
pub fn read(model: &Model, cutter: &Model, grey: &GrayImage) -> Result<Vec<Vec<Read>>> {
    let lines = sheet::find(grey);
    let digits: Vec<Digit> =
        lines.iter().flatten().flat_map(|blob| &blob.pieces).map(|piece| piece.digit).collect();
    let mut sure = cutter.predict(&digits)?.into_iter();
    let mut chosen: Vec<Vec<&Piece>> = Vec::new();
    for line in &lines {
        let pieces = line.iter().flat_map(|blob| {
            let sure: Vec<_> = sure.by_ref().take(blob.pieces.len()).collect();
            best(blob, &sure).into_iter().map(|index| &blob.pieces[index])
        });
        chosen.push(pieces.collect());
    }
    let digits: Vec<Digit> = chosen.iter().flatten().map(|piece| piece.digit).collect();
    let mut predictions = model.predict(&digits)?.into_iter();

    let gap = |pair: &[&Piece]| {
        let (before, after) = (pair[0].local, pair[1].local);
        after.x.saturating_sub(before.x + before.width)
    };
    let gaps: Vec<Vec<u32>> =
        chosen.iter().map(|line| line.windows(2).map(gap).collect()).collect();
    let usual = lower_median(gaps.concat());
    let height = lower_median(chosen.iter().flatten().map(|piece| piece.local.height).collect());
    let spaced = |(line, gaps): (Vec<&Piece>, Vec<u32>)| {
        let usual = if gaps.len() >= 3 { lower_median(gaps.clone()) } else { usual };
        let wide = (2 * usual).max(height * 4 / 5);
        let spaces = [false].into_iter().chain(gaps.into_iter().map(move |gap| gap > wide));
        line.into_iter()
            .zip(spaces)
            .zip(predictions.by_ref())
            .map(|((piece, space), prediction)| Read { bounds: piece.bounds, prediction, space })
            .collect()
    };
    Ok(chosen.into_iter().zip(gaps).map(spaced).collect())
}

/// The pieces, from left to right, that together make the whole blob and the most likely digits.
fn best(blob: &Blob, sure: &[Prediction]) -> Vec<usize> {
    let cost = |piece: &Piece, sure: &Prediction| {
        // A shape wider than digits are is hardly one; and a cut has to be worth something, the
        // more if it goes through two strokes: digits touch at one place, but have loops.
        let wide = (piece.local.width as f32 / piece.local.height as f32 - 1.).max(0.);
        let cut = [0., 0.2, 0.8][blob.strokes[piece.to].min(2)];
        -sure.confidence.max(1e-6).ln() + 3. * wide * wide + cut
    };
    // The best way to each cut: its cost and its last piece.
    let ends = blob.strokes.len();
    let mut ways: Vec<Option<(f32, Option<usize>)>> = vec![None; ends];
    ways[0] = Some((0., None));
    for to in 1..ends {
        for (index, piece) in blob.pieces.iter().enumerate().filter(|(_, piece)| piece.to == to) {
            let Some((before, _)) = ways[piece.from] else { continue };
            let sum = before + cost(piece, &sure[index]);
            if ways[to].is_none_or(|(best, _)| sum < best) {
                ways[to] = Some((sum, Some(index)));
            }
        }
    }
    let mut at = ends - 1;
    let mut chosen = Vec::new();
    while let Some((_, Some(index))) = ways[at] {
        chosen.push(index);
        at = blob.pieces[index].from;
    }
    chosen.reverse();
    chosen
}

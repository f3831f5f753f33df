//! Sheets of digits → text: the network's say in what [`crate::sheet`] has found.

use anyhow::Result;
use image::GrayImage;
use serde::Serialize;

use crate::image::Digit;
use crate::model::{Model, Prediction};
use crate::sheet::{self, Blob, Bounds, Piece};

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
/// Digits that touch are cut apart where that makes the network surer of what they are.
pub fn read(model: &Model, grey: &GrayImage) -> Result<Vec<Vec<Read>>> {
    let lines = sheet::find(grey);
    let digits: Vec<Digit> =
        lines.iter().flatten().flat_map(|blob| &blob.pieces).map(|piece| piece.digit).collect();
    let mut predictions = model.predict(&digits)?.into_iter();
    let mut read = Vec::new();
    for line in &lines {
        let mut digits = Vec::new();
        for blob in line {
            let predictions: Vec<_> = predictions.by_ref().take(blob.pieces.len()).collect();
            for (at, index) in best(blob, &predictions).into_iter().enumerate() {
                digits.push(Read {
                    bounds: blob.pieces[index].bounds,
                    prediction: predictions[index].clone(),
                    space: blob.space && at == 0,
                });
            }
        }
        read.push(digits);
    }
    Ok(read)
}

/// The pieces, from left to right, that together make the whole blob and the most likely digits.
fn best(blob: &Blob, predictions: &[Prediction]) -> Vec<usize> {
    let cost = |piece: &Piece, prediction: &Prediction| {
        // A shape wider than digits are is hardly one, whatever the network, which has never seen
        // two at once, says of it; and a cut has to be worth something.
        let wide = (piece.aspect - 1.).max(0.);
        // Digits touch at one place; a cut through two goes through a loop of one digit.
        let cut = match blob.cuts[piece.to] {
            0 => 0.,
            1 => 0.3,
            _ => 1.2,
        };
        -prediction.confidence.max(1e-6).ln() + 10. * wide * wide + cut
    };
    // The best way to each cut: its cost and its last piece.
    let mut ways: Vec<Option<(f32, Option<usize>)>> = vec![None; blob.cuts.len()];
    ways[0] = Some((0., None));
    for to in 1..blob.cuts.len() {
        for (index, piece) in blob.pieces.iter().enumerate().filter(|(_, piece)| piece.to == to) {
            let Some((before, _)) = ways[piece.from] else { continue };
            let sum = before + cost(piece, &predictions[index]);
            if ways[to].is_none_or(|(best, _)| sum < best) {
                ways[to] = Some((sum, Some(index)));
            }
        }
    }
    let mut at = blob.cuts.len() - 1;
    let mut chosen = Vec::new();
    while let Some((_, Some(index))) = ways[at] {
        chosen.push(index);
        at = blob.pieces[index].from;
    }
    chosen.reverse();
    chosen
}

//! Pages of digits → text: the network's say in what [`mnist_image::page`] has found.

mod segmentation;
mod slash;
mod spaces;

pub mod stream;

use anyhow::Result;
use image::GrayImage;
use mnist_image::Digit;
use mnist_image::page::{self, Bounds, Candidate, Lattice};
use serde::Serialize;

use crate::network::classifier::Classifier;
use crate::network::verifier::{Answer, Verdict, verify};

/// A digit that was read from a page.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReadDigit {
    /// Where it is.
    #[serde(rename = "box")]
    pub bounds: Bounds,
    /// Which it is, if it is one: a hyphen or a letter is not.
    #[serde(flatten)]
    pub answer: Answer,
    /// Whether the gap to the digit before it is that of a space.
    pub space: bool,
    /// What the network saw.
    #[serde(skip)]
    pub digit: Digit,
    /// Where its ink is on the last of the stages that [`page::find_and_show`] shows.
    #[serde(skip)]
    pub local: Bounds,
}

impl ReadDigit {
    /// Whether it is at least this sure.
    pub fn is_sure(&self, least: f32) -> bool {
        self.answer.prediction.confidence >= least
    }

    /// The digit, or `?` where it is less sure than `least`.
    pub fn label(&self, least: f32) -> char {
        match self.is_sure(least) {
            true => char::from(b'0' + self.answer.prediction.label as u8),
            false => '?',
        }
    }
}

/// Reads the digits of an image that is upright: its lines from top to bottom, each from left to
/// right. Where nothing is written, there are no lines.
///
/// `verifier`, a network that was trained with non-digits, as [`crate::weights::verifier`] is, says
/// where digits that touch are cut apart, and what is no digit: that comes as well, and
/// [`Answer::is_digit`] says so. Which digits they are is for `model` to say.
pub fn read(
    model: &dyn Classifier,
    verifier: &dyn Classifier,
    grey: &GrayImage,
) -> Result<Vec<Vec<ReadDigit>>> {
    read_lines(model, verifier, &page::find(grey))
}

/// Like [`read`], from the lines that [`page::find`] has found.
pub fn read_lines(
    model: &dyn Classifier,
    verifier: &dyn Classifier,
    lines: &[Vec<Lattice>],
) -> Result<Vec<Vec<ReadDigit>>> {
    let candidates = lines.iter().flatten().flat_map(|lattice| &lattice.candidates);
    let digits: Vec<Digit> = candidates.map(|candidate| candidate.digit).collect();
    let mut sure = verify(verifier, &digits)?.into_iter();
    let mut chosen: Vec<Vec<(&Candidate, Verdict)>> = Vec::new();
    for line in lines {
        let height = usual_height(line);
        let best = line.iter().flat_map(|lattice| {
            let sure: Vec<_> = sure.by_ref().take(lattice.candidates.len()).collect();
            let best = segmentation::best(lattice, &sure, height);
            best.into_iter().map(move |index| (&lattice.candidates[index], sure[index]))
        });
        chosen.push(best.collect());
    }
    let digits: Vec<Digit> =
        chosen.iter().flatten().map(|(candidate, _)| candidate.digit).collect();
    let mut predictions = model.predict(&digits)?.into_iter();
    let places: Vec<Vec<Bounds>> = chosen
        .iter()
        .map(|line| line.iter().map(|(candidate, _)| candidate.local).collect())
        .collect();
    let heights: Vec<(&Digit, f32)> = chosen
        .iter()
        .zip(lines)
        .flat_map(|(line, found)| {
            let usual = usual_height(found);
            line.iter().map(move |(one, _)| (&one.digit, one.local.height as f32 / usual))
        })
        .collect();
    let mut slashes = slash::slashes(&heights).into_iter();
    let spaced = chosen.iter().zip(spaces::spaces(&places)).map(|(line, spaces)| {
        let digits = line.iter().zip(spaces).zip(predictions.by_ref().zip(slashes.by_ref()));
        digits
            .map(|(((candidate, verdict), space), (prediction, is_slash))| {
                let mut answer = Answer::new(prediction, *verdict);
                answer.is_digit &= !is_slash;
                let Candidate { digit, bounds, local, .. } = **candidate;
                ReadDigit { bounds, answer, space, digit, local }
            })
            .collect()
    });
    Ok(spaced.collect())
}

/// The median height of what stands on a line: of digits, and of several that touch.
fn usual_height(line: &[Lattice]) -> f32 {
    let whole = |lattice: &Lattice| {
        let ends = lattice.strokes.len() - 1;
        let all = lattice.candidates.iter().find(|one| one.from == 0 && one.to == ends);
        all.or(lattice.candidates.first()).map(|one| one.local.height)
    };
    spaces::lower_median(line.iter().filter_map(whole).collect()) as f32
}

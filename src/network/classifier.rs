//! What every implementation of the network has in common: digits → logits → predictions.

use std::fmt;

use anyhow::{Result, ensure};
use mnist_image::Digit;
use serde::Serialize;

use crate::{CLASSES, PIXELS};

/// The most hidden units that are supported; the weights then take 208 MB.
pub const MAX_HIDDEN: i64 = 1 << 16;

/// Images to classify at a time, which bounds the memory that the hidden layer takes: 262 MB with
/// [`MAX_HIDDEN`] units.
pub(crate) const CLASSIFIED_AT_ONCE: usize = 1000;

/// A network that classifies digits: 784 inputs, hidden units with ReLU, 10 outputs.
///
/// Implemented by [`Plain`](super::plain::Plain), and, with the feature `torch`, by
/// `network::model::Model` on libtorch.
pub trait Classifier: fmt::Debug {
    /// The logits of the classes 0 to 9 for each of `digits`, which must be few enough that the
    /// hidden layer for all of them fits in memory.
    ///
    /// # Errors
    ///
    /// Where the device cannot compute them.
    fn logits(&self, digits: &[Digit]) -> Result<Vec<[f32; CLASSES]>>;

    /// The same for images `[count, 784]` of any values, from 0 for paper to 1 for ink.
    ///
    /// # Errors
    ///
    /// As [`Classifier::logits`].
    fn logits_of_values(&self, images: &[[f32; PIXELS]]) -> Result<Vec<[f32; CLASSES]>>;

    /// The probabilities of the classes for each of `digits`: the softmax of the logits.
    ///
    /// # Errors
    ///
    /// As [`Classifier::logits`].
    fn probabilities(&self, digits: &[Digit]) -> Result<Vec<[f32; CLASSES]>> {
        Ok(self.logits(digits)?.into_iter().map(softmax).collect())
    }

    /// Whether a digit has the same logits, to the bit, whichever digits it is computed with.
    fn is_independent_of_batch(&self) -> bool;

    /// Classifies digits, any number of them in bounded memory.
    ///
    /// # Errors
    ///
    /// As [`Classifier::logits`], or where the weights are so large that an output is not finite.
    fn predict(&self, digits: &[Digit]) -> Result<Vec<Prediction>> {
        let mut predictions = Vec::with_capacity(digits.len());
        for batch in digits.chunks(CLASSIFIED_AT_ONCE) {
            let probabilities = self.probabilities(batch)?;
            ensure!(
                probabilities.as_flattened().iter().all(|probability| probability.is_finite()),
                "the network's outputs are not finite: its weights are too large to compute with"
            );
            predictions.extend(probabilities.into_iter().map(Prediction::new));
        }
        Ok(predictions)
    }
}

/// The shares of e to the power of each logit, the largest logit taken off first so that none
/// overflows.
pub(crate) fn softmax<const N: usize>(logits: [f32; N]) -> [f32; N] {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers = logits.map(|logit| (logit - largest).exp());
    let sum: f32 = powers.iter().sum();
    powers.map(|power| power / sum)
}

/// What the network makes of one image.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// The most probable digit.
    pub label: usize,
    /// Its probability, from 0 to 1.
    pub confidence: f32,
    /// The probabilities of the digits 0 to 9, from the softmax of the logits.
    pub probabilities: [f32; CLASSES],
}

impl Prediction {
    fn new(probabilities: [f32; CLASSES]) -> Prediction {
        let label = (0..CLASSES)
            .max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]))
            .expect("there are ten classes");
        Prediction { label, confidence: probabilities[label], probabilities }
    }

    /// The `k` most probable digits with their probabilities, best first.
    pub fn top(&self, k: usize) -> Vec<(usize, f32)> {
        let mut digits: Vec<_> = self.probabilities.iter().copied().enumerate().collect();
        digits.sort_by(|a, b| b.1.total_cmp(&a.1));
        digits.truncate(k);
        digits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_probable_digits_come_first() {
        let mut probabilities = [0.01; CLASSES];
        (probabilities[7], probabilities[1]) = (0.8, 0.12);
        let prediction = Prediction::new(probabilities);
        assert_eq!((prediction.label, prediction.confidence), (7, 0.8));
        assert_eq!(prediction.top(2), [(7, 0.8), (1, 0.12)]);
        assert_eq!(prediction.top(20).len(), CLASSES);
    }

    #[test]
    fn softmax_gives_shares_of_1_whatever_the_size_of_the_logits() {
        let mut logits = [0.; CLASSES];
        logits[3] = 9f32.ln(); // e to that power is as much as the other nine together
        assert!((softmax(logits)[3] - 0.5).abs() < 1e-6);
        assert_eq!(softmax(logits.map(|logit| logit + 1e4)).map(f32::is_nan), [false; CLASSES]);
        assert_eq!(softmax([-3e38; CLASSES]), [0.1; CLASSES]);
    }
}

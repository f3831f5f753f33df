//! Whether an image shows a digit, and one whole digit, at all.
//!
//! A softmax over ten digits is sure of whatever it is shown. With an eleventh logit that is always
//! 0, for none of them, training on non-digits makes all ten low where there is no digit:
//! P(none) = 1 / (1 + Σ exp zᵢ). In reading strings of digits, such a network is called a verifier:
//! it tells characters from parts of them and from several at once (Oliveira, Sabourin, Bortolozzi
//! & Suen 2002, "Automatic recognition of handwritten numerical strings: a recognition and
//! verification strategy").

use mnist_image::Digit;
use serde::{Serialize, Serializer};

use super::classifier::{CLASSIFIED_AT_ONCE, Classifier, Prediction, softmax};
use crate::CLASSES;

/// The least score of a digit. Chosen on pages drawn like our own, of the last 6,000 training
/// digits (`make_sheets.py DIR`): 0.05% of these have less, as do three of five other marks. Other
/// hands lose more.
const MIN_SCORE: f32 = 0.01;

/// What is said of an image: which digit it shows, if any.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Which digit it shows, if it shows one.
    pub prediction: Prediction,
    /// The probability that it shows a digit, whichever.
    pub score: f32,
    /// Whether it is taken for a digit.
    pub is_digit: bool,
}

impl Answer {
    /// By the networks that classify and verify.
    pub fn new(prediction: Prediction, verdict: Verdict) -> Answer {
        Answer { prediction, score: verdict.score, is_digit: verdict.score >= MIN_SCORE }
    }
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'a> {
            digit: bool,
            score: f32,
            label: Option<usize>,
            confidence: f32,
            probabilities: &'a [f32; CLASSES],
        }
        let Prediction { label, confidence, probabilities } = &self.prediction;
        let label = self.is_digit.then_some(*label);
        let (digit, score, confidence) = (self.is_digit, self.score, *confidence);
        Shown { digit, score, label, confidence, probabilities }.serialize(serializer)
    }
}

/// What a verifier makes of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// The probability that it shows a digit, whichever: 1 - P(none).
    pub score: f32,
    /// The probability of the most probable digit among the ten and none.
    pub confidence: f32,
}

/// What `network`, trained with non-digits, makes of each of `digits`.
///
/// # Errors
///
/// As [`Classifier::logits`].
pub fn verify(network: &dyn Classifier, digits: &[Digit]) -> anyhow::Result<Vec<Verdict>> {
    let mut verdicts = Vec::with_capacity(digits.len());
    for batch in digits.chunks(CLASSIFIED_AT_ONCE) {
        verdicts.extend(network.logits(batch)?.iter().map(Verdict::of));
    }
    Ok(verdicts)
}

impl Verdict {
    fn of(logits: &[f32; CLASSES]) -> Verdict {
        let mut with_none = [0.; CLASSES + 1];
        with_none[..CLASSES].copy_from_slice(logits);
        let [digits @ .., none] = softmax(with_none);
        Verdict { score: 1. - none, confidence: digits.into_iter().fold(0., f32::max) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_has_the_probability_that_a_logit_of_zero_has() {
        let even = Verdict::of(&[0.; CLASSES]);
        assert!((even.score - 10. / 11.).abs() < 1e-6 && (even.confidence - 1. / 11.).abs() < 1e-6);
        let low = Verdict::of(&[-9.; CLASSES]);
        assert!(low.score < 0.01 && low.confidence < 0.001);
        let mut sure = [-100.; CLASSES];
        sure[3] = 100.;
        assert_eq!(Verdict::of(&sure), Verdict { score: 1., confidence: 1. });
    }
}

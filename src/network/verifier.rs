//! Whether an image shows a digit, and one whole digit, at all.
//!
//! A softmax over ten digits is sure of whatever it is shown. With an eleventh logit that is always 0,
//! for none of them, training on non-digits makes all ten low where there is no digit:
//! P(none) = 1 / (1 + Σ exp zᵢ). In reading strings of digits, such a network is called a verifier: it
//! tells characters from parts of them and from several at once (Oliveira, Sabourin, Bortolozzi & Suen
//! 2002, "Automatic recognition of handwritten numerical strings: a recognition and verification
//! strategy").

use anyhow::Result;
use mnist_image::Digit;
use serde::Serialize;

use super::classifier::Classifier;
use crate::CLASSES;

/// What a verifier makes of an image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
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
pub fn verify(network: &dyn Classifier, digits: &[Digit]) -> Result<Vec<Verdict>> {
    Ok(network.logits(digits)?.iter().map(Verdict::of).collect())
}

impl Verdict {
    fn of(logits: &[f32; CLASSES]) -> Verdict {
        let largest = logits.iter().copied().fold(0., f32::max); // of the ten and none
        let none = (-largest).exp();
        let powers = logits.map(|logit| (logit - largest).exp());
        let sum = none + powers.iter().sum::<f32>();
        let highest = powers.iter().copied().fold(0., f32::max);
        Verdict { score: 1. - none / sum, confidence: highest / sum }
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

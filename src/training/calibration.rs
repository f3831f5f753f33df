//! Whether confidence means something: of the samples that a network is 90% sure of, 90% should be
//! classified correctly.

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::dataset::Samples;
use crate::network::classifier::Classifier;
use crate::network::model::Model;

/// Number of bins of confidence, as Guo, Pleiss, Sun & Weinberger 2017, "On calibration of modern
/// neural networks", have it.
pub const BINS: usize = 15;

/// Confidence against accuracy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Calibration {
    /// The expected calibration error: the mean difference of a bin's confidence and accuracy,
    /// weighted by its samples, from 0 to 1.
    pub error: f64,
    /// The bins, of equal width, from confidence 0 to 1.
    pub bins: [Bin; BINS],
}

/// The samples with a confidence in a range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Bin {
    /// How many there are.
    pub samples: u64,
    /// Their mean confidence; 0 without any.
    pub confidence: f64,
    /// The share of them that is classified correctly; 0 without any.
    pub accuracy: f64,
}

/// Measures how well the confidence of `model` fits on `samples`.
///
/// # Errors
///
/// If there are no samples.
pub fn measure(model: &Model, samples: &Samples) -> Result<Calibration> {
    ensure!(samples.count() > 0, "there are no samples to measure calibration on");
    let labels = Vec::<i64>::try_from(&samples.labels)?;
    let predictions = model.predict(&samples.digits()?)?;
    let seen = predictions.iter().zip(labels);
    Ok(of(seen.map(|(seen, label)| (f64::from(seen.confidence), seen.label as i64 == label))))
}

/// The calibration of confidences that are right or not.
fn of(seen: impl Iterator<Item = (f64, bool)>) -> Calibration {
    let (mut bins, mut all) = ([Bin::default(); BINS], 0.);
    for (confidence, right) in seen {
        let bin = &mut bins[((confidence * BINS as f64) as usize).min(BINS - 1)];
        bin.samples += 1;
        bin.confidence += confidence;
        bin.accuracy += f64::from(u8::from(right));
        all += 1.;
    }
    let mut error = 0.;
    for bin in bins.iter_mut().filter(|bin| bin.samples > 0) {
        error += (bin.confidence - bin.accuracy).abs() / all;
        bin.confidence /= bin.samples as f64;
        bin.accuracy /= bin.samples as f64;
    }
    Calibration { error, bins }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_that_of_each_bin_by_its_samples() {
        // Of three that are 0.95 sure two are right; one that is 0.55 sure is right.
        let seen = [(0.95, true), (0.95, true), (0.95, false), (0.55, true)];
        let calibration = of(seen.into_iter());
        let expected = (3. * (0.95 - 2. / 3.) + (1. - 0.55)) / 4.;
        assert!((calibration.error - expected).abs() < 1e-12);
        assert_eq!(calibration.bins.map(|bin| bin.samples), {
            let mut samples = [0; BINS];
            (samples[14], samples[8]) = (3, 1);
            samples
        });
        assert!((calibration.bins[14].accuracy - 2. / 3.).abs() < 1e-12);
        assert_eq!(of([(1., true), (0., false)].into_iter()).error, 0.);
    }
}

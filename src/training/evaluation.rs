//! How well a network does, as plain numbers.

use anyhow::{Result, ensure};
use serde::Serialize;
use tch::{Kind, Reduction, Tensor, no_grad};

use crate::CLASSES;
use crate::dataset::Samples;
use crate::network::classifier::{CLASSIFIED_AT_ONCE, Classifier, Prediction};
use crate::network::model::Model;
use mnist_image::Digit;

/// The result of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Mean cross-entropy in nats.
    pub loss: f64,
    /// Share of the samples that are classified correctly, from 0 to 1.
    pub accuracy: f64,
    /// `confusion[label][predicted]`: number of samples that show `label` and are classified as
    /// `predicted`.
    pub confusion: [[u64; CLASSES]; CLASSES],
}

/// How well one digit is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Class {
    /// Share of the samples classified as this digit that show it; 0 when there are none.
    pub precision: f64,
    /// Share of the samples that show this digit that are classified as it; 0 when there are none.
    pub recall: f64,
    /// Number of samples that show this digit.
    pub support: u64,
}

/// A sample that is classified as another digit than it shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Mistake {
    /// Its index among the samples, from 0.
    pub index: usize,
    /// The image.
    pub digit: Digit,
    /// The digit it shows.
    pub label: usize,
    /// What the network predicts.
    pub prediction: Prediction,
}

/// The samples that `model` gets wrong, the most confident mistakes first.
pub fn mistakes(model: &Model, samples: &Samples) -> Result<Vec<Mistake>> {
    let digits = samples.digits()?;
    let labels = Vec::<i64>::try_from(&samples.labels)?;
    let predictions = model.predict(&digits)?;
    let mut mistakes = Vec::new();
    for (index, (prediction, digit)) in predictions.into_iter().zip(digits).enumerate() {
        let label = labels[index] as usize;
        if prediction.label != label {
            mistakes.push(Mistake { index, digit, label, prediction });
        }
    }
    mistakes.sort_by(|a, b| b.prediction.confidence.total_cmp(&a.prediction.confidence));
    Ok(mistakes)
}

/// Which of `samples` the `model` gets wrong, in their order.
///
/// # Errors
///
/// As [`Classifier::predict`].
pub fn wrong(model: &Model, samples: &Samples) -> Result<Vec<bool>> {
    let labels = Vec::<i64>::try_from(&samples.labels)?;
    let predictions = model.predict(&samples.digits()?)?;
    Ok(predictions.iter().zip(labels).map(|(of, label)| of.label as i64 != label).collect())
}

/// Evaluates `model` on `samples`, which may be on another device.
///
/// # Errors
///
/// If there are no samples.
pub fn evaluate(model: &Model, samples: &Samples) -> Result<Evaluation> {
    let count = samples.count();
    ensure!(count > 0, "there are no samples to evaluate on");
    let cells = (CLASSES * CLASSES) as i64;
    let mut loss = 0.;
    let mut confusion = Tensor::zeros([cells], (Kind::Int64, model.device()));
    no_grad(|| {
        for start in (0..count).step_by(CLASSIFIED_AT_ONCE) {
            let batch = samples
                .narrow(start, (CLASSIFIED_AT_ONCE as i64).min(count - start))
                .to_device(model.device());
            let logits = model.forward(&batch.ink());
            loss += logits
                .cross_entropy_loss::<Tensor>(&batch.labels, None, Reduction::Sum, -100, 0.)
                .double_value(&[]);
            let cell = batch.labels * CLASSES as i64 + logits.argmax(-1, false);
            confusion += cell.bincount::<Tensor>(None, cells);
        }
    });
    let flat = Vec::<i64>::try_from(confusion)?;
    let confusion: [[u64; CLASSES]; CLASSES] = std::array::from_fn(|row| {
        std::array::from_fn(|column| flat[row * CLASSES + column] as u64)
    });
    let right: u64 = (0..CLASSES).map(|digit| confusion[digit][digit]).sum();
    Ok(Evaluation { loss: loss / count as f64, accuracy: right as f64 / count as f64, confusion })
}

impl Evaluation {
    /// Precision, recall and support of the digits 0 to 9.
    pub fn classes(&self) -> [Class; CLASSES] {
        let ratio =
            |part: u64, whole: u64| if whole == 0 { 0. } else { part as f64 / whole as f64 };
        std::array::from_fn(|digit| {
            let right = self.confusion[digit][digit];
            let support = self.confusion[digit].iter().sum();
            let predicted = self.confusion.iter().map(|row| row[digit]).sum();
            Class { precision: ratio(right, predicted), recall: ratio(right, support), support }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the samples of 0, three are right and one is taken for 1; of 1, all two are right.
    fn evaluation() -> Evaluation {
        let mut confusion = [[0; CLASSES]; CLASSES];
        (confusion[0][0], confusion[0][1], confusion[1][1]) = (3, 1, 2);
        Evaluation { loss: 0., accuracy: 5. / 6., confusion }
    }

    #[test]
    fn precision_and_recall_are_counted_by_column_and_row() {
        let classes = evaluation().classes();
        assert_eq!(classes[0], Class { precision: 1., recall: 0.75, support: 4 });
        assert_eq!(classes[1], Class { precision: 2. / 3., recall: 1., support: 2 });
        assert_eq!(classes[2], Class { precision: 0., recall: 0., support: 0 });
    }
}

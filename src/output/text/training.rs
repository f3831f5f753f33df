//! Training, its runs and evaluations.

use std::fmt::Write;

use comfy_table::CellAlignment;

use super::{confusion, escape, table};
use crate::experiments::run::{Run, SetTest};
use crate::experiments::variation::Varied;
use crate::training::Epoch;
use crate::training::calibration::Calibration;
use crate::training::evaluation::Evaluation;

/// Loss, accuracy, calibration, the table of digits and the confusion matrix.
pub fn evaluation(evaluation: &Evaluation, calibration: &Calibration) -> String {
    let (loss, accuracy) = (evaluation.loss, evaluation.accuracy);
    let mut text = format!(
        "loss: {loss:.4}  accuracy: {accuracy:.4}\nexpected calibration error: {:.4}\n\n",
        calibration.error
    );
    let mut rows = vec![["digit", "precision", "recall", "support"].map(String::from)];
    for (digit, class) in evaluation.classes().iter().enumerate() {
        let [precision, recall] =
            [class.precision, class.recall].map(|share| format!("{share:.4}"));
        rows.push([digit.to_string(), precision, recall, class.support.to_string()]);
    }
    text += &table(&[CellAlignment::Right], rows);
    text + "\n" + &confusion(&evaluation.confusion)
}

/// The figures of an epoch, in Keras's words.
pub fn epoch(epoch: &Epoch) -> String {
    let mut text = figures(epoch.loss, epoch.accuracy);
    if let (Some(loss), Some(accuracy)) = (epoch.validation_loss, epoch.validation_accuracy) {
        let _ = write!(text, " - val_loss: {loss:.4} - val_accuracy: {accuracy:.4}");
    }
    text
}

/// A loss and an accuracy, in Keras's words.
pub fn figures(loss: f64, accuracy: f64) -> String {
    format!("loss: {loss:.4} - accuracy: {accuracy:.4}")
}

/// Loss and accuracy on each part of a mixture.
pub fn sets(sets: &[SetTest]) -> String {
    let mut rows = vec![["data", "samples", "loss", "accuracy"].map(String::from)];
    for SetTest { data, samples, test } in sets {
        let figures = [test.loss, test.accuracy].map(|figure| format!("{figure:.4}"));
        let [loss, accuracy] = figures;
        rows.push([escape(data), samples.to_string(), loss, accuracy]);
    }
    table(&[CellAlignment::Left, CellAlignment::Right], rows)
}

/// A run of a comparison.
pub fn run(run: &Run, varied: &Varied) -> String {
    let seconds = run.history.iter().map(|epoch| epoch.seconds).sum::<f64>();
    format!(
        "{}, seed {} - {:.2} s/epoch - test {}",
        varied.name(&run.configuration),
        run.configuration.config.seed,
        seconds / run.history.len() as f64,
        figures(run.test.loss, run.test.accuracy)
    )
}

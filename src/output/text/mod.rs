//! Records → text for people.

mod comparison;
mod escape;
mod table;

use std::fmt::Write;

use comfy_table::CellAlignment;
use indicatif::HumanCount;

pub use comparison::{comparison, comparison_csv};
pub use escape::{error, escape};
pub(crate) use table::table;

use crate::CLASSES;
use crate::experiments::run::Run;
use crate::network::model::{Layer, Prediction};
use crate::reading::ReadDigit;
use crate::training::Epoch;
use crate::training::evaluation::Evaluation;

/// The table that Keras 2's `model.summary()` prints, to the character.
pub fn summary(layers: &[Layer]) -> String {
    let rule = |line: &str| format!("{}\n", line.repeat(65));
    let row = |a: &str, b: &str, c: &str| {
        format!(" {a:<27} {b:<25} {c:<10}").trim_end().to_string() + "\n"
    };
    let mut text = String::from("Model: \"sequential\"\n");
    text += &rule("_");
    text += &row("Layer (type)", "Output Shape", "Param #");
    text += &rule("=");
    for layer in layers {
        text += &row(
            &format!("{} ({})", layer.name, layer.kind),
            &format!("(None, {})", layer.outputs),
            &layer.parameters.to_string(),
        );
    }
    text += &rule("=");
    let total = HumanCount(layers.iter().map(|layer| layer.parameters as u64).sum());
    let _ =
        writeln!(text, "Total params: {total}\nTrainable params: {total}\nNon-trainable params: 0");
    text + &rule("_")
}

/// Loss, accuracy, the table of digits and the confusion matrix.
pub fn evaluation(evaluation: &Evaluation) -> String {
    let mut text =
        format!("loss: {:.4}  accuracy: {:.4}\n\n", evaluation.loss, evaluation.accuracy);
    let mut rows = vec![["digit", "precision", "recall", "support"].map(String::from)];
    for (digit, class) in evaluation.classes().iter().enumerate() {
        let [precision, recall] =
            [class.precision, class.recall].map(|share| format!("{share:.4}"));
        rows.push([digit.to_string(), precision, recall, class.support.to_string()]);
    }
    text += &table(&[CellAlignment::Right], rows);
    text + "\n" + &confusion(&evaluation.confusion)
}

/// The confusion matrix.
pub fn confusion(confusion: &[[u64; CLASSES]; CLASSES]) -> String {
    let mut text = String::from("label ↓ predicted →\n     ");
    for digit in 0..CLASSES {
        let _ = write!(text, " {digit:>6}");
    }
    for (label, row) in confusion.iter().enumerate() {
        let _ = write!(text, "\n{label:>5}");
        for count in row {
            let _ = write!(text, " {count:>6}");
        }
    }
    text + "\n"
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

/// The `top` most probable digits with their probabilities: `7 (99.8%), 1 (0.1%)`.
pub fn prediction(prediction: &Prediction, top: usize) -> String {
    let shown: Vec<_> = prediction
        .top(top)
        .iter()
        .map(|(digit, probability)| format!("{digit} ({:.1}%)", 100. * probability))
        .collect();
    shown.join(", ")
}

/// A line of digits, with spaces where gaps are wide, and `?` for what is less sure than `least`.
pub fn line(digits: &[ReadDigit], least: f32) -> String {
    let mut text = String::new();
    for digit in digits {
        if digit.space {
            text.push(' ');
        }
        text.push(digit.label(least));
    }
    text
}

/// A run of a comparison.
pub fn run(run: &Run) -> String {
    let seconds = run.history.iter().map(|epoch| epoch.seconds).sum::<f64>();
    format!(
        "{} - {:.2} s/epoch - test {}",
        run.configuration.name(),
        seconds / run.history.len() as f64,
        figures(run.test.loss, run.test.accuracy)
    )
}

//! Plain records → text for people.

use std::fmt::Write;

use crate::metrics::Evaluation;
use crate::model::{Layer, Prediction};
use crate::reading::Read;
use crate::train::Epoch;

/// The table that Keras's `model.summary()` prints.
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
    let total = thousands(layers.iter().map(|layer| layer.parameters).sum());
    let _ =
        writeln!(text, "Total params: {total}\nTrainable params: {total}\nNon-trainable params: 0");
    text + &rule("_")
}

/// Loss, accuracy, the table of digits and the confusion matrix.
pub fn evaluation(evaluation: &Evaluation) -> String {
    let mut text =
        format!("loss: {:.4}  accuracy: {:.4}\n\n", evaluation.loss, evaluation.accuracy);
    text += "digit  precision  recall  support\n";
    for (digit, class) in evaluation.classes().iter().enumerate() {
        let (precision, recall, support) = (class.precision, class.recall, class.support);
        let _ = writeln!(text, "{digit:>5}  {precision:>9.4}  {recall:>6.4}  {support:>7}");
    }
    text += "\nlabel ↓ predicted →\n     ";
    for digit in 0..evaluation.confusion.len() {
        let _ = write!(text, " {digit:>6}");
    }
    for (label, row) in evaluation.confusion.iter().enumerate() {
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
pub fn line(digits: &[Read], least: f32) -> String {
    let mut text = String::new();
    for digit in digits {
        if digit.space {
            text.push(' ');
        }
        text.push(digit.label(least));
    }
    text
}

fn thousands(number: i64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

//! Records → text for people.

#[cfg(feature = "torch")]
mod comparison;
mod escape;
mod table;
#[cfg(feature = "torch")]
mod training;

use std::fmt::Write;

use indicatif::HumanCount;

#[cfg(feature = "torch")]
pub use comparison::{comparison, comparison_csv};
pub use escape::{error, escape, json, plain_error};
pub(crate) use table::table;
#[cfg(feature = "torch")]
pub use training::{epoch, evaluation, figures, run, sets};

use crate::CLASSES;
use crate::network::arrays::Layer;
use crate::network::classifier::Prediction;
use crate::network::verifier::Answer;
use crate::reading::ReadDigit;

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

/// The `top` most probable digits with their probabilities: `7 (99.8%), 1 (0.1%)`.
pub fn prediction(prediction: &Prediction, top: usize) -> String {
    let shown: Vec<_> = prediction
        .top(top)
        .iter()
        .map(|(digit, probability)| format!("{digit} ({:.1}%)", 100. * probability))
        .collect();
    shown.join(", ")
}

/// The `top` most probable digits of an image, `-` where it shows none, or `?` where the first is
/// less sure than `least`.
pub fn answer(answer: &Answer, top: usize, least: f32) -> String {
    match answer.is_digit {
        false => "-".to_string(),
        true if answer.prediction.confidence < least => "?".to_string(),
        true => prediction(&answer.prediction, top),
    }
}

/// A line of digits, with spaces where gaps are wide or something stands that is no digit, and `?`
/// for what is less sure than `least`.
pub fn line(digits: &[ReadDigit], least: f32) -> String {
    let mut text = String::new();
    let mut space = false;
    for digit in digits {
        space |= digit.space || !digit.answer.is_digit;
        if digit.answer.is_digit {
            if space && !text.is_empty() {
                text.push(' ');
            }
            text.push(digit.label(least));
            space = false;
        }
    }
    text
}

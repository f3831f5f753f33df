//! Plain records → text for people.

use std::fmt::Write;

use crate::CLASSES;
use crate::experiments::comparison::{Comparison, Contender, Pair, SIGNIFICANCE};
use crate::experiments::run::Run;
use crate::experiments::statistics::Spread;
use crate::network::model::{Layer, Prediction};
use crate::reading::Read;
use crate::training::Epoch;
use crate::training::evaluation::Evaluation;

/// An error as one line of bounded length: it may quote a file of an enemy's.
pub fn error(error: &anyhow::Error) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.into() };
    let text = format!("error: {error:#}");
    text.chars().take(4000).map(escaped).collect()
}

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

/// The table of optimizers, and what the differences in it are worth.
pub fn comparison(comparison: &Comparison) -> String {
    let runs = comparison.seeds.len();
    let mut rows = vec![[
        "optimizer".to_string(),
        "test accuracy".into(),
        "test loss".into(),
        "best epoch".into(),
        "s/epoch".into(),
        "97% after".into(),
        "98% after".into(),
    ]];
    for contender in &comparison.contenders {
        let goal = |at: usize| match contender.goals[at].epoch {
            None => "never".to_string(),
            Some(epoch) if epoch.runs < runs => {
                format!("{:.1} ({} of {runs})", epoch.mean, epoch.runs)
            }
            Some(epoch) => format!("{:.1}", epoch.mean),
        };
        rows.push([
            contender.name.clone() + if contender.best { " *" } else { "" },
            spread(contender.test_accuracy, 4),
            spread(contender.test_loss, 4),
            contender.best_epoch.map_or("-".into(), |epoch| spread(epoch, 1)),
            spread(contender.seconds_per_epoch, 2),
            goal(0),
            goal(1),
        ]);
    }
    let mut text = table(&rows);
    let of = if comparison.validated { "validation" } else { "training" };
    let plural = if runs == 1 { "" } else { "s" };
    let _ = writeln!(
        text,
        "\nMean ± standard deviation over {runs} seed{plural}. Best epoch: the one with the least \
         validation loss.\n97% and 98%: epochs until the {of} accuracy is that high."
    );
    text + &verdict(comparison)
}

/// What can be said of which is best.
fn verdict(comparison: &Comparison) -> String {
    let test = "paired t-test over seeds, two-sided, Holm-corrected";
    if comparison.pairs.is_empty() {
        return String::new();
    }
    if comparison.seeds.len() < 2 {
        return "Nothing can be told from one seed of which is best: give more --seeds.\n".into();
    }
    if let Some(best) = comparison.contenders.iter().find(|contender| contender.best) {
        let name = &best.name;
        let own = comparison.pairs.iter().filter(|pair| pair.names.contains(name));
        let p = own.filter_map(|pair| pair.p).fold(0., f64::max);
        return format!(
            "* {name} is best: its test accuracy is higher than every other's\n({test}: {}).\n",
            probability(p)
        );
    }
    // The highest mean, and the next of those that may be as good.
    let mean = |name: &str| {
        let of = |contender: &&Contender| contender.name == name;
        comparison.contenders.iter().find(of).map_or(0., |c| c.test_accuracy.mean)
    };
    let top = |pair: &&Pair| {
        comparison.contenders.iter().all(|c| c.test_accuracy.mean <= mean(&pair.names[0]))
    };
    let open = |pair: &&Pair| pair.p.is_none_or(|p| p >= SIGNIFICANCE);
    let pairs = comparison.pairs.iter().filter(top).filter(open);
    let Some(pair) = pairs.min_by(|a, b| a.difference.total_cmp(&b.difference)) else {
        return String::new();
    };
    let [a, b] = &pair.names;
    let why = match pair.p {
        Some(p) => format!("{test}: {}, not below {SIGNIFICANCE}", probability(p)),
        None => "it is the same with every seed, which leaves nothing to test".into(),
    };
    format!(
        "None is marked as best: that {a} is above {b} by {:.4} may be chance\n({why}).\n",
        pair.difference
    )
}

/// The table of optimizers for programs, a line each.
pub fn comparison_csv(comparison: &Comparison) -> String {
    let mut text = String::from(
        "optimizer,learning_rate,seeds,best,test_accuracy,test_accuracy_sd,test_loss,test_loss_sd,\
         best_epoch,seconds_per_epoch,epochs_to_0.97,reached_0.97,epochs_to_0.98,reached_0.98\n",
    );
    let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    for contender in &comparison.contenders {
        let mut cells = vec![
            contender.name.clone(),
            contender.learning_rate.to_string(),
            comparison.seeds.len().to_string(),
            contender.best.to_string(),
        ];
        for spread in [contender.test_accuracy, contender.test_loss] {
            cells.extend([spread.mean.to_string(), number(spread.deviation)]);
        }
        cells.push(number(contender.best_epoch.map(|epoch| epoch.mean)));
        cells.push(contender.seconds_per_epoch.mean.to_string());
        for goal in &contender.goals {
            let reached = goal.epoch.map_or(0, |epoch| epoch.runs);
            cells.extend([number(goal.epoch.map(|epoch| epoch.mean)), reached.to_string()]);
        }
        text += &(cells.join(",") + "\n");
    }
    text
}

fn spread(spread: Spread, decimals: usize) -> String {
    let mean = format!("{:.decimals$}", spread.mean);
    match spread.deviation {
        Some(deviation) => format!("{mean} ± {deviation:.decimals$}"),
        None => mean,
    }
}

fn probability(p: f64) -> String {
    if p < 0.0001 { "p < 0.0001".into() } else { format!("p = {p:.4}") }
}

/// Cells in columns, the first one flush left, the others flush right.
fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; COLUMNS] = std::array::from_fn(|column| width(column).unwrap_or(0));
    let mut text = String::new();
    for row in rows {
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let _ = match column {
                0 => write!(text, "{cell:<width$}"),
                _ => write!(text, "  {cell:>width$}"),
            };
        }
        text.push('\n');
    }
    text
}

fn thousands(number: i64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

//! What a network gets wrong.

use super::digits::{Digits, Palette, Tile};
use crate::training::evaluation::Mistake;

/// The first mistakes, `most` of them at most, with their labels and predictions.
pub fn mistakes(mistakes: &[Mistake], of: &str, most: usize) -> Digits {
    let tile = |mistake: &Mistake| {
        let Mistake { index, label, prediction, .. } = mistake;
        Tile::digit(&mistake.digit, format!("{index}: {label} as {}", prediction.label))
    };
    let shown = mistakes.len().min(most);
    let some = if shown < mistakes.len() { format!("{shown} of ") } else { String::new() };
    let plural = if mistakes.len() == 1 { "" } else { "s" };
    Digits {
        title: format!("{some}{} mistake{plural} on the {of}", mistakes.len()),
        note: "number: label as prediction, the surest first".into(),
        tiles: mistakes.iter().take(most).map(tile).collect(),
        columns: shown.clamp(1, 10),
        palette: Palette::Ink,
    }
}

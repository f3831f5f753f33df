//! Figures made of characters: true-colour half blocks, or ASCII.

use std::fmt::Write;

use super::confusion::Confusion;
use super::digits::{Digits, Palette, Tile};
use crate::CLASSES;
use crate::SIDE;
use crate::output::text;

/// Characters from background to ink, and for values below and above 0.
const INK: &[u8] = b" .:-=+*#%@";
const BELOW: &[u8] = b" .-=";
const ABOVE: &[u8] = b" .+#";
/// Columns between tiles.
const GAP: usize = 2;

/// Lines above the first tile, with the prompt that comes below the last.
const AROUND: usize = 3;

/// How many tiles of half their size, with captions, a terminal of this size shows at once; at
/// least one row of them.
pub fn tiles_that_fit(width: usize, height: usize) -> usize {
    let side = SIDE / 2;
    let across = ((width + GAP) / (side + GAP)).clamp(1, 10);
    let down = height.saturating_sub(AROUND) / (side / 2 + 2); // a caption and an empty line each
    across * down.max(1)
}

/// The tiles in lines of at most `width` characters: true-colour half blocks, or plain characters.
pub fn digits(digits: &Digits, color: bool, width: usize) -> String {
    // Half as large where otherwise a row would not fit.
    let fit = |side: usize| (width + GAP) / (side + GAP);
    let side = if fit(SIDE) < digits.columns { SIDE / 2 } else { SIDE };
    let mut text = format!("{}\n", digits.title);
    if !digits.note.is_empty() {
        text += &format!("{}\n", digits.note);
    }
    for row in digits.tiles.chunks(digits.columns.min(fit(side)).max(1)) {
        text.push('\n');
        let drawn: Vec<_> =
            row.iter().map(|tile| lines(tile, digits.palette, side, color)).collect();
        for line in 0..side / 2 {
            let parts: Vec<_> = drawn.iter().map(|tile| tile[line].as_str()).collect();
            text += &(trimmed(&parts.join(&" ".repeat(GAP)), color) + "\n");
        }
        if row.iter().any(|tile| !tile.caption.is_empty()) {
            let names: Vec<_> = row.iter().map(|tile| format!("{:^side$}", tile.caption)).collect();
            text += &(trimmed(&names.join(&" ".repeat(GAP)), false) + "\n");
        }
    }
    text
}

fn trimmed(line: &str, color: bool) -> String {
    (if color { line } else { line.trim_end() }).into()
}

/// The tile in lines, each of which shows two rows of pixels.
fn lines(tile: &Tile, palette: Palette, side: usize, color: bool) -> Vec<String> {
    let block = SIDE / side;
    let pixel = |row: usize, column: usize| {
        let places = (0..block * block)
            .map(|at| (row * block + at / block) * SIDE + column * block + at % block);
        places.map(|place| tile.pixels[place]).sum::<f32>() / (block * block) as f32
    };
    let line = |row: usize| {
        let mut text = String::new();
        for column in 0..side {
            let (upper, lower) = (pixel(row, column), pixel(row + 1, column));
            if !color {
                text.push(character(palette, (upper + lower) / 2.));
                continue;
            }
            let [[a, b, c], [d, e, f]] = [upper, lower].map(|value| palette.color(value));
            let _ = write!(text, "\x1b[38;2;{a};{b};{c};48;2;{d};{e};{f}m▀");
        }
        text + if color { "\x1b[0m" } else { "" }
    };
    (0..side).step_by(2).map(line).collect()
}

fn character(palette: Palette, value: f32) -> char {
    let (characters, share) = match palette {
        Palette::Ink => (INK, value),
        Palette::Values(limit) => {
            (if value < 0. { BELOW } else { ABOVE }, (value.abs() / limit).sqrt())
        }
    };
    let last = characters.len() - 1;
    characters[((share * characters.len() as f32) as usize).min(last)].into()
}

/// The matrix, with coloured cells or without.
pub fn confusion(confusion: &Confusion, color: bool) -> String {
    let mut text = format!("{}\n\n", confusion.title);
    if !color {
        return text + &text::confusion(&confusion.counts);
    }
    text += "label ↓ predicted →\n   ";
    for digit in 0..CLASSES {
        let _ = write!(text, "{digit:^7}");
    }
    for (label, row) in confusion.counts.iter().enumerate() {
        let _ = write!(text, "\n{label:>2} ");
        for (predicted, count) in row.iter().enumerate() {
            let ([r, g, b], dark) = confusion.color(label, predicted);
            let front = if dark { "255;255;255" } else { "20;20;20" };
            let _ = write!(text, "\x1b[38;2;{front};48;2;{r};{g};{b}m{count:^7}");
        }
        text += "\x1b[0m";
    }
    text + "\n"
}

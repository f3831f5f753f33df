//! What the first layer looks for.

use super::digits::{Digits, Palette, Tile};
use crate::{PIXELS, SIDE};

/// Share of the weights that get colours of their own: a few outliers must not make all others
/// pale.
const SHOWN: (usize, usize) = (995, 1000);

/// The weights of the first layer, a tile for each hidden unit: those with the largest weights,
/// `most` of them at most.
pub fn weights_map(mut units: Vec<[f32; PIXELS]>, most: usize) -> Digits {
    let norm = |unit: &[f32]| unit.iter().map(|weight| weight * weight).sum::<f32>();
    units.sort_by(|a, b| norm(b).total_cmp(&norm(a)));
    let all = units.len();
    units.truncate(most);
    let mut sizes: Vec<f32> = units.as_flattened().iter().map(|weight| weight.abs()).collect();
    sizes.sort_by(f32::total_cmp);
    let limit = sizes.get(sizes.len() * SHOWN.0 / SHOWN.1).copied().unwrap_or(0.);
    Digits {
        title: format!("Weights of {} of {all} hidden units", units.len()),
        note: format!("from the {SIDE}×{SIDE} pixels, the largest first"),
        columns: units.len().min(10),
        tiles: units.into_iter().map(|pixels| Tile { pixels, caption: String::new() }).collect(),
        palette: Palette::Values(limit.max(f32::MIN_POSITIVE)),
    }
}

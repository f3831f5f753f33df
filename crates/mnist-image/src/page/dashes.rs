//! Dashed lines: short pieces of lines one after the other, of about one length and as far apart.

use image::GrayImage;

use super::trace::{STRAY, Trace};

// Chosen on drawn pages, in the tests and in `tests/sheets`, unless said otherwise.
/// Dashes from which on a row of them is a line.
const MIN_DASHES: usize = 5;
/// Share of them that touch no other ink: bars of digits do.
const MIN_FREE: f32 = 0.5;
/// Share of the page's longer side: the longest dash.
const MAX_DASH: f32 = 1. / 20.;
/// The widest gap, in dashes.
const MAX_GAP: f32 = 1.8;
/// By which factor dashes may differ in length, and gaps in width.
const MAX_RATIO: f32 = 1.6;
/// By which factor a gap may differ from two gaps and the dash that is missing between them.
const MAX_MISSING_RATIO: f32 = 1.25;
/// How much farther, for each pixel of a gap, a dash may lie from the way that those before it go.
const STRAY_PER_PIXEL: f32 = 0.06;

/// Puts the lines down the mask in place of the dashes that they consist of; `unit` is what counts
/// as a pixel on a page with this longer side.
pub(super) fn join(traces: Vec<Trace>, mask: &GrayImage, longest: f32, unit: f32) -> Vec<Trace> {
    let (mut dashes, mut lines): (Vec<Trace>, Vec<Trace>) =
        traces.into_iter().partition(|trace| trace.length() as f32 <= MAX_DASH * longest);
    dashes.sort_by_key(Trace::start);
    let mut rows: Vec<Vec<usize>> = Vec::new();
    let mut taken = vec![false; dashes.len()];
    for first in 0..dashes.len() {
        if taken[first] {
            continue;
        }
        let mut row = vec![first];
        while let Some(next) = next(&dashes, &taken, &row, unit) {
            row.push(next);
        }
        let free = || row.iter().filter(|&&dash| dashes[dash].is_free(mask)).count();
        if row.len() >= MIN_DASHES && free() as f32 >= MIN_FREE * row.len() as f32 {
            row.iter().for_each(|&dash| taken[dash] = true);
            rows.push(row);
        }
    }
    let mut left: Vec<Option<Trace>> = dashes.into_iter().map(Some).collect();
    for row in rows {
        let parts = row.into_iter().filter_map(|dash| left[dash].take());
        lines.extend(parts.reduce(Trace::joined));
    }
    lines.extend(left.into_iter().flatten());
    lines
}

/// The dash that follows a row; one between may be hidden by a stroke.
fn next(dashes: &[Trace], taken: &[bool], row: &[usize], unit: f32) -> Option<usize> {
    let (first, last) = (&dashes[row[0]], &dashes[row[row.len() - 1]]);
    let length = first.length() as f32;
    let gap = |from: &Trace, to: &Trace| (to.start() - from.end() - 1) as f32;
    let usual = row.get(1).map(|&second| gap(first, &dashes[second]));
    let widest = usual.map_or(MAX_GAP * length, |gap| MAX_RATIO * (2. * gap + length));
    let slope = first.slope_to(last);
    let is_like = |value: f32, other: f32, ratio: f32| {
        value <= ratio * other + unit && other <= ratio * value + unit
    };
    let after = dashes.partition_point(|dash| dash.start() <= last.end());
    let near = dashes[after..].iter().take_while(|dash| gap(last, dash) <= widest);
    let stray = |dash: &Trace| (dash.first_centre() - last.expected_at(slope, dash.start())).abs();
    (after..)
        .zip(near)
        .filter(|(index, dash)| {
            let gap = gap(last, dash);
            // Nearer than usual is one after a dash that what crosses it has lengthened.
            let is_regular = usual.is_none_or(|usual| {
                gap <= MAX_RATIO * usual + unit
                    || is_like(gap, 2. * usual + length, MAX_MISSING_RATIO)
            });
            !taken[*index]
                && is_regular
                && is_like(dash.length() as f32, length, MAX_RATIO)
                && stray(dash) <= STRAY * unit + STRAY_PER_PIXEL * gap
        })
        .min_by(|(_, one), (_, other)| {
            one.start().cmp(&other.start()).then(stray(one).total_cmp(&stray(other)))
        })
        .map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use image::Luma;

    use super::super::trace::follow;
    use super::*;

    /// The lengths of the lines down an image of 400×400 that is inked where `inked(x, y)`.
    fn lengths(inked: impl Fn(u32, u32) -> bool) -> Vec<u32> {
        let mask = GrayImage::from_fn(400, 400, |x, y| Luma([if inked(x, y) { 255 } else { 0 }]));
        let mut lengths: Vec<u32> = follow(&mask, true, 400.).iter().map(Trace::length).collect();
        lengths.sort_unstable();
        lengths
    }

    #[test]
    fn dashes_in_a_row_are_one_line_even_where_one_is_missing() {
        let dashed = |x: u32, y: u32| x.abs_diff(100 + y / 20) < 2 && y % 24 < 12;
        assert_eq!(lengths(dashed), [396]);
        assert_eq!(lengths(|x, y| dashed(x, y) && y / 24 != 7), [396]);
    }

    #[test]
    fn dashes_that_are_few_or_irregular_are_none() {
        let few = |x: u32, y: u32| x.abs_diff(100) < 2 && y < 96 && y % 24 < 12;
        assert_eq!(lengths(few), [12; 4]);
        let starts = [0, 20, 92, 124, 206, 223, 285, 327];
        let irregular = |x: u32, y: u32| {
            x.abs_diff(100) < 2 && starts.iter().any(|start| (*start..start + 12).contains(&y))
        };
        assert_eq!(lengths(irregular), [12; 8]);
        let astray = |x: u32, y: u32| x.abs_diff(100 + 9 * (y / 24 % 3)) < 2 && y % 24 < 12;
        assert_eq!(lengths(astray), [12; 17]);
    }
}

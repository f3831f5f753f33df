//! Lines that are not writing: ruled, squared and dotted paper, tables, forms and frames.
//!
//! A line is traced from column to column as a run of ink that stays thin and goes straight on; it
//! may be dashed, tilted or drawn by hand, and is followed across the strokes that cross it. Long
//! ones are erased but for those strokes. What is long depends on the height of the digits, which
//! is known only once the lines are gone: so what may be a line is set aside first and then
//! compared.

use image::GrayImage;

use crate::component::{Component, components, label};
use crate::page::groups::digit_height;
use crate::page::trace::{Trace, follow};

// Chosen on drawn pages, in the tests and in `tests/sheets`, unless said otherwise.
/// Share of the page's longer side: how far from a line's end more of it is looked for.
const MAX_RESUMPTION: f32 = 0.25;
/// Share of the page's longer side: the shortest line, unless it joins two others.
const MIN_LENGTH: f32 = 0.2;
/// The shortest line on a small page, in pixels.
const MIN_LENGTH_PIXELS: f32 = 12.;
/// Share of the digits' height that a component must exceed to count as a digit.
const MIN_DIGIT: f32 = 0.5;
/// How far from a line another may end and still join it: pixels, and this part of the page's
/// longer side.
const JOIN_DISTANCE: (f32, f32) = (2., 400.);
/// A line is at least this many times as long as a digit is high.
const LENGTH_IN_DIGITS: f32 = 1.6;
/// Share of the digits' height that the longest dash of a line has at most.
const MAX_DASH_IN_DIGITS: f32 = 0.75;
/// Digits that are enough to measure their height.
const ENOUGH_DIGITS: usize = 3;
/// Share of the page's width or height that a line has which crosses the page.
const MOST_OF_PAGE: f32 = 0.9;
/// Share of the digits' height that a line between two others has at least.
const JOINING_LENGTH: f32 = 0.6;
/// Slopes by which the walls of cells may differ.
const MAX_SKEW: f32 = 0.1;

/// Erases lines from the `ink` of a page. They are looked for in `faint`, what is at all darker
/// than the paper; `mask` is what is surely ink.
pub(super) fn erase(ink: &mut GrayImage, mask: &mut GrayImage, faint: &GrayImage) {
    let longest = mask.width().max(mask.height()) as f32;
    let is_long = |line: &&Trace| {
        line.length() as f32 >= (MIN_LENGTH * longest).max(MIN_LENGTH_PIXELS)
            && line.is_slender(longest)
    };
    let mut lines = follow(&transposed(faint), false, longest);
    lines.extend(follow(faint, true, longest));
    if !lines.iter().any(|line| is_long(&line)) {
        return;
    }
    let mut rest = mask.clone();
    lines.iter().filter(is_long).for_each(|line| line.erase_from(&mut rest));
    let labels = label(&rest);
    let found = components(&labels, &rest, ink);
    let Some(height) = digit_height(&found) else { return };
    let height = height as f32;
    // The stem of a 4 or 9 is longer than what is left of it: where no others show the height of
    // digits, a line must cross the page, or touch nothing.
    let is_digit = |one: &Component| one.height() as f32 > MIN_DIGIT * height;
    let digits = found.iter().filter(|one| is_digit(one)).count();
    let is_of_digit = |x, y| match labels.get_pixel(x, y).0[0] {
        0 => false,
        label => is_digit(&found[label as usize - 1]),
    };
    let sides = [mask.width() as f32, mask.height() as f32];
    // 1s below one another are as long as digits are high.
    let has_short_dashes =
        |line: &Trace| line.dash.is_none_or(|dash| dash as f32 <= MAX_DASH_IN_DIGITS * height);
    let is_apart = |line: &Trace| {
        digits >= ENOUGH_DIGITS
            || line.length() as f32 >= MOST_OF_PAGE * sides[usize::from(line.down)]
            || !line.touches(rest.dimensions(), is_of_digit)
    };
    let (long, short): (Vec<Trace>, Vec<Trace>) = lines.into_iter().partition(|line| {
        is_long(&line)
            && line.length() as f32 >= LENGTH_IN_DIGITS * height
            && has_short_dashes(line)
            && is_apart(line)
    });
    let near = JOIN_DISTANCE.0 + longest / JOIN_DISTANCE.1;
    let joins =
        |line: &&Trace| line.length() as f32 >= JOINING_LENGTH * height && line.joins(&long, near);
    let joining: Vec<&Trace> = short.iter().filter(joins).collect();
    let parallel = parallel(&joining);
    let widest = MAX_RESUMPTION * longest;
    let resumes = |line: &&Trace| long.iter().any(|other| line.resumes(other, widest));
    for line in long.iter().chain(parallel).chain(short.iter().filter(resumes)) {
        line.erase_from(mask);
        line.erase_from(ink);
    }
}

/// Of lines between two others, as the walls of cells, those that have about the usual slope: any
/// other is a stroke of a digit that fills its cell.
fn parallel<'a>(lines: &'a [&Trace]) -> impl Iterator<Item = &'a Trace> {
    let usual = |down: bool| {
        let own = lines.iter().filter(|line| line.down == down);
        let mut slopes: Vec<f32> = own.map(|line| line.slope()).collect();
        slopes.sort_by(f32::total_cmp);
        slopes.get(slopes.len() / 2).copied().unwrap_or(0.)
    };
    let usual = [usual(false), usual(true)];
    let is_parallel =
        move |line: &&Trace| (line.slope() - usual[usize::from(line.down)]).abs() <= MAX_SKEW;
    lines.iter().copied().filter(is_parallel)
}

/// With columns for rows.
pub(super) fn transposed(image: &GrayImage) -> GrayImage {
    let (width, height) = image.dimensions();
    let mut turned = GrayImage::new(height, width);
    for (y, row) in image.as_raw().chunks_exact(width.max(1) as usize).enumerate() {
        let column = turned.iter_mut().skip(y).step_by(height as usize);
        column.zip(row).for_each(|(out, &grey)| *out = grey);
    }
    turned
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Luma;

    /// A page of 400×300 with rings as digits, and lines where `line(x, y)`; and without lines.
    fn page(line: impl Fn(f32, f32) -> bool) -> (GrayImage, GrayImage) {
        let ring = |x: u32, y: u32| {
            let (dx, dy) = ((x % 80) as f32 - 40., (y % 75) as f32 - 37.);
            (dx.hypot(dy) - 17.).abs() < 2.5
        };
        let draw = |lines: bool| {
            GrayImage::from_fn(400, 300, |x, y| {
                let inked = ring(x, y) || lines && line(x as f32, y as f32);
                Luma([if inked { 255 } else { 0 }])
            })
        };
        (draw(true), draw(false))
    }

    /// Pixels that differ once the lines of `drawn` are erased.
    fn left(line: impl Fn(f32, f32) -> bool) -> usize {
        let (mut mask, wanted) = page(line);
        let (mut ink, faint) = (mask.clone(), mask.clone());
        erase(&mut ink, &mut mask, &faint);
        mask.iter().zip(wanted.iter()).filter(|(a, b)| a != b).count()
    }

    #[test]
    fn lines_are_erased_and_what_crosses_them_is_not() {
        let ruled = |_: f32, y: f32| (y % 75. - 45.).abs() < 1.;
        let tilted = |x: f32, y: f32| ((y - 0.12 * x).rem_euclid(75.) - 45.).abs() < 1.;
        let dotted = |x: f32, y: f32| x % 6. < 3. && ((y % 75.) - 68.).abs() < 1.;
        let table = |x: f32, y: f32| (y % 75.) < 2. || (x % 80.) < 2.;
        let inner = |x: f32, y: f32| {
            let inside = (75. ..228.).contains(&y) && (80. ..322.).contains(&x);
            inside && ((y % 75.) < 2. || (x % 80.) < 2.)
        };
        let frame = |x: f32, y: f32| {
            let edge = |at: f32, side: f32| (4. ..9.).contains(&at.min(side - at));
            edge(x, 400.) && (4. ..296.).contains(&y) || edge(y, 300.) && (4. ..396.).contains(&x)
        };
        let dashed = |x: f32, y: f32| x % 24. < 12. && (y % 75. - 68.).abs() < 2.;
        let resumed = |x: f32, y: f32| !(60. ..110.).contains(&x) && (y % 75. - 70.).abs() < 1.;
        for (name, left) in [
            ("ruled", left(ruled)),
            ("tilted", left(tilted)),
            ("dotted", left(dotted)),
            ("dashed", left(dashed)),
            ("table", left(table)),
            ("table within the page", left(inner)),
            ("thick frame", left(frame)),
            ("line under a stroke that goes along it", left(resumed)),
        ] {
            assert!(left < 200, "{name}: {left} pixels");
        }
    }

    #[test]
    fn the_stem_of_a_lone_9_is_not_a_line_but_the_box_around_it_is() {
        let draw = |boxed: bool| {
            GrayImage::from_fn(100, 100, |x, y| {
                let loops = ((x as f32 - 45.).hypot(y as f32 - 35.) - 12.).abs() < 2.;
                let stem = (56..59).contains(&x) && (22..80).contains(&y);
                let edge = |at: u32| at.abs_diff(10) < 2 || at.abs_diff(90) < 2;
                let within = |at: u32| (9..92).contains(&at);
                let frame = edge(x) && within(y) || edge(y) && within(x);
                Luma([if loops || stem || boxed && frame { 255 } else { 0 }])
            })
        };
        for boxed in [false, true] {
            let mut mask = draw(boxed);
            let (mut ink, faint) = (mask.clone(), mask.clone());
            erase(&mut ink, &mut mask, &faint);
            let differ = mask.iter().zip(draw(false).iter()).filter(|(a, b)| a != b).count();
            assert!(differ < 40, "{boxed}: {differ}");
        }
    }

    #[test]
    fn bars_of_digits_in_a_row_are_no_dashed_line() {
        // 7s, 2s and 4s of straight strokes, 40 pixels high and 60 apart.
        let seven = |x: i32, y: i32| y < 4 && x < 24 || (x - (24 - y / 3)).abs() < 2;
        let two = |x: i32, y: i32| y >= 36 && x < 24 || (x - (24 - y / 2)).abs() < 2;
        let four = |x: i32, y: i32| {
            (24..28).contains(&y) && x < 26
                || (x - (16 - y * 2 / 3)).abs() < 2 && y < 26
                || (16..19).contains(&x)
        };
        let digits: [&dyn Fn(i32, i32) -> bool; 3] = [&seven, &two, &four];
        let mut mask = GrayImage::from_fn(640, 240, |x, y| {
            let (x, y) = (x as i32 - 30, y as i32 - 20);
            let (row, inside) = ((y / 70) as usize, x >= 0 && y >= 0 && y % 70 < 40 && x < 600);
            let inked = inside && row < 3 && digits[row](x % 60, y % 70);
            Luma([if inked { 255 } else { 0 }])
        });
        let (mut ink, faint, drawn) = (mask.clone(), mask.clone(), mask.clone());
        erase(&mut ink, &mut mask, &faint);
        assert!(mask == drawn);
    }

    #[test]
    fn strokes_of_digits_are_not_lines() {
        // A row of 1s, with and without other digits.
        for others in [false, true] {
            let mut mask = GrayImage::from_fn(400, 120, |x, y| {
                let one = x % 60 < 3 && (20..100).contains(&y);
                let ring = ((x as f32 - 330.).hypot(y as f32 - 60.) - 38.).abs() < 2.;
                Luma([if one || others && ring { 255 } else { 0 }])
            });
            let (mut ink, faint, drawn) = (mask.clone(), mask.clone(), mask.clone());
            erase(&mut ink, &mut mask, &faint);
            assert_eq!(mask, drawn);
        }
    }
}

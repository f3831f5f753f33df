//! Pale strokes beside dark ones. Writing that is pale has edges as sharp as the rest, for its own
//! ink; shadows and what shows through from the other side have not.
//!
//! One threshold for a page breaks pale strokes, so they get one of their own, from their own ink.

use image::{GrayImage, Luma};

use super::groups::MIN_DIGIT_HEIGHT;
use crate::component::{Component, Labels, components, label};
use crate::ink::{Levels, binarise};

/// Share of the usual ink below which a component is pale.
const PALE: f32 = 0.5;
/// Share of the usual sharpness from which on a pale component is writing. Chosen on pages drawn
/// like our own, of training digits.
const MIN_SHARPNESS: f32 = 0.5;

/// A component of what is at all darker than paper, and the steps of ink between its pixels.
struct Stroke {
    whole: Component,
    /// Sum of the squares of its ink.
    squares: f32,
    /// Sums of the steps to the pixels on the right and below, and of their squares.
    steps: [f32; 2],
}

impl Stroke {
    /// Its ink, 0 to 255, without the soft edges: the mean, weighted by the ink itself.
    fn level(&self) -> f32 {
        self.squares / self.whole.weight
    }

    /// How steep its edges are for its ink: about 1 over their width in pixels.
    fn sharpness(&self) -> f32 {
        self.steps[1] / (self.steps[0] * self.level()).max(1.)
    }

    fn may_be_digit(&self) -> bool {
        self.whole.size() >= MIN_DIGIT_HEIGHT
    }
}

/// Takes pale strokes into `mask` as a whole, and what is pale but not sharp out of it. `ink` that
/// is above `faint` is at all darker than the paper.
pub(super) fn revise(mask: &mut GrayImage, ink: &GrayImage, levels: Levels, faint: u8) {
    let at_all = binarise(ink, faint);
    let labels = label(&at_all);
    let strokes = strokes(components(&labels, &at_all, ink), &labels, ink);
    let Some((level, sharpness)) = usual(&strokes) else { return };
    // The same part of the way to its own ink as for the page as a whole.
    let floor = f32::from(levels.floor);
    let part = (f32::from(levels.threshold) - floor) / (level - floor).max(1.);
    let thresholds: Vec<Option<f32>> = strokes
        .iter()
        .map(|stroke| match stroke.level() < PALE * level && stroke.may_be_digit() {
            true if stroke.sharpness() < MIN_SHARPNESS * sharpness => Some(f32::INFINITY),
            true => Some(floor + part * (stroke.level() - floor)),
            false => None,
        })
        .collect();
    for ((pixel, &label), &ink) in mask.iter_mut().zip(labels.iter()).zip(ink.iter()) {
        if label > 0
            && let Some(threshold) = thresholds[label as usize - 1]
        {
            *pixel = if f32::from(ink) > threshold { 255 } else { 0 };
        }
    }
}

/// The components `found`, in the order of their labels, with what is between their pixels.
fn strokes(found: Vec<Component>, labels: &Labels, ink: &GrayImage) -> Vec<Stroke> {
    let stroke = |whole: Component| Stroke { whole, squares: 0., steps: [0.; 2] };
    let mut strokes: Vec<Stroke> = found.into_iter().map(stroke).collect();
    let (width, height) = ink.dimensions();
    for (x, y, &Luma([label])) in labels.enumerate_pixels() {
        if label == 0 {
            continue;
        }
        let stroke = &mut strokes[label as usize - 1];
        let own = f32::from(ink.get_pixel(x, y).0[0]);
        let step = |x: u32, y: u32| match x < width && y < height {
            true => (f32::from(ink.get_pixel(x, y).0[0]) - own).abs(),
            false => 0.,
        };
        for step in [step(x + 1, y), step(x, y + 1)] {
            stroke.steps[0] += step;
            stroke.steps[1] += step * step;
        }
        stroke.squares += own * own;
    }
    strokes
}

/// The usual level and sharpness, of the half of the ink that is darkest; nothing without strokes
/// that are large enough for a digit.
fn usual(strokes: &[Stroke]) -> Option<(f32, f32)> {
    let mut large: Vec<&Stroke> = strokes.iter().filter(|stroke| stroke.may_be_digit()).collect();
    large.sort_by(|a, b| b.level().total_cmp(&a.level()));
    let half = large.iter().map(|stroke| stroke.whole.weight).sum::<f32>() / 2.;
    let mut sum = 0.;
    let middle = large.iter().position(|stroke| {
        sum += stroke.whole.weight;
        sum >= half
    })?;
    let mut sharpness: Vec<f32> =
        large[..=middle].iter().map(|stroke| stroke.sharpness()).collect();
    sharpness.sort_by(f32::total_cmp);
    Some((large[middle].level(), sharpness[sharpness.len() / 2]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use imageproc::filter::gaussian_blur_f32;

    /// Rings on paper: dark ones, and one of this ink, blurred by so many pixels.
    fn page(pale: u8, blur: f32) -> GrayImage {
        let ring = |x: u32, y: u32, middle: f32| {
            ((x as f32 - middle).hypot(y as f32 - 50.) - 20.).abs() < 3.
        };
        let draw = |middles: &'static [f32], ink: u8| {
            GrayImage::from_fn(320, 100, move |x, y| {
                Luma([if middles.iter().any(|&middle| ring(x, y, middle)) { ink } else { 0 }])
            })
        };
        let dark = gaussian_blur_f32(&draw(&[40., 100., 160.], 230), 0.8);
        let pale = gaussian_blur_f32(&draw(&[250.], pale), blur);
        GrayImage::from_fn(320, 100, |x, y| {
            Luma([dark.get_pixel(x, y).0[0].max(pale.get_pixel(x, y).0[0])])
        })
    }

    /// Pixels of the mask on the left and on the right.
    fn inked(pale: u8, blur: f32) -> [usize; 2] {
        let ink = page(pale, blur);
        let levels = Levels { floor: 12, threshold: 76 };
        let mut mask = binarise(&ink, levels.threshold);
        revise(&mut mask, &ink, levels, 20);
        [0..200, 200..320].map(|columns| {
            let own = mask.enumerate_pixels().filter(|(x, ..)| columns.contains(x));
            own.filter(|(.., pixel)| pixel.0[0] > 0).count()
        })
    }

    #[test]
    fn sharp_pale_strokes_are_whole_and_soft_ones_are_not_there() {
        let [dark, alike] = inked(230, 0.8);
        assert!((3 * alike).abs_diff(dark) * 20 < dark, "{alike} {dark}");
        for pale in [70, 90] {
            let [left, right] = inked(pale, 0.8);
            assert_eq!(left, dark);
            assert!(right.abs_diff(alike) * 5 < alike, "{pale}: {right}, not {alike}");
            assert_eq!(inked(pale, 4.), [dark, 0]);
        }
    }
}

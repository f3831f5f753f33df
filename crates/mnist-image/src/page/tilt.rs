//! The tilt of a page.

use image::GrayImage;

use crate::component::{Component, components, label};

// Chosen on drawn pages, in the tests and in `tests/sheets`, unless said otherwise.
/// The largest tilt, in degrees either way, that is corrected.
const MAX_TILT: f32 = 12.;
/// Steps in degrees in which tilts are tried, first and then near the best.
const STEPS: [f32; 2] = [0.5, 0.1];
/// With fewer components as large as a digit, there is too little to see a tilt.
const MIN_COMPONENTS: usize = 4;
/// Inked pixels that are looked at.
const MAX_POINTS: usize = 20_000;
/// A page is turned if that makes its rows at least this many times as distinct.
const MIN_GAIN: f64 = 1.1;
/// Height, in pixels, of the rows that are counted.
const ROW_HEIGHT: f32 = 2.;
/// Fine steps to either side of the best coarse one, which together reach almost to its neighbours.
const FINE_STEPS: i32 = 4;

/// The angle in degrees at which the rows of ink are most distinct: that of ruled lines, else of
/// lines of writing. What is smaller than `smallest`, in pixels, is not counted as writing.
pub(super) fn tilt(mask: &GrayImage, smallest: u32) -> f32 {
    let large = |component: &&Component| component.size() >= smallest;
    if components(&label(mask), mask, mask).iter().filter(large).count() < MIN_COMPONENTS {
        return 0.;
    }
    let inked = mask.enumerate_pixels().filter(|(.., ink)| ink.0[0] > 0);
    let points: Vec<(f32, f32)> = inked.map(|(x, y, _)| (x as f32, y as f32)).collect();
    let step = points.len().div_ceil(MAX_POINTS).max(1);
    // More rows than any tilt has, above and below the page's first one.
    let reach = ((mask.width() + mask.height()) as f32 / ROW_HEIGHT) as i32 + 1;
    let mut rows = vec![0u64; 2 * reach as usize];
    let mut distinctness = |degrees: f32| {
        let (sin, cos) = degrees.to_radians().sin_cos();
        rows.fill(0);
        for (x, y) in points.iter().step_by(step) {
            let row = ((y * cos - x * sin) / ROW_HEIGHT) as i32;
            rows[(row + reach) as usize] += 1;
        }
        rows.iter().map(|count| count * count).sum::<u64>() as f64
    };
    let mut best = |around: f32, step: f32, steps: i32| {
        let tried = (-steps..=steps).map(|at| around + at as f32 * step);
        let tried = tried.map(|degrees| (degrees, distinctness(degrees)));
        tried.max_by(|(_, a), (_, b)| a.total_cmp(b)).unwrap_or((0., 0.))
    };
    let (coarse, _) = best(0., STEPS[0], (MAX_TILT / STEPS[0]) as i32);
    let (found, found_distinctness) = best(coarse, STEPS[1], FINE_STEPS);
    if found_distinctness > MIN_GAIN * distinctness(0.) { found } else { 0. }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Luma;

    /// Lines of ten bars each that fall by `degrees` from left to right.
    fn writing(degrees: f32) -> GrayImage {
        let slope = degrees.to_radians().tan();
        GrayImage::from_fn(600, 400, |x, y| {
            let line = y as f32 - slope * (x as f32 - 300.);
            let inked = x % 50 < 12 && line > 60. && line < 340. && line % 70. < 30.;
            Luma([if inked { 255 } else { 0 }])
        })
    }

    #[test]
    fn the_tilt_is_that_of_the_lines_of_writing() {
        for degrees in [-8., -3., 0., 5., 11.] {
            let found = tilt(&writing(degrees), 10);
            assert!((found - degrees).abs() < 0.6, "{degrees}: {found}");
        }
    }

    #[test]
    fn one_digit_is_not_turned() {
        let slash =
            GrayImage::from_fn(90, 90, |x, y| Luma([if x.abs_diff(y) < 5 { 255 } else { 0 }]));
        assert_eq!(tilt(&slash, 10), 0.);
    }
}

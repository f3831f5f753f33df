//! Where the ink is and how dark: one estimate of the background, and one rule for light on dark,
//! for images of one digit and for pages.
//!
//! The background is what a grey closing leaves, once its window is wider than the strokes: strokes
//! are filled with the paper around them, shadows and dark corners stay as they are.

use image::GrayImage;
use image::imageops;
use imageproc::contrast::{ThresholdType, threshold};

use crate::blur::blurred;
use crate::resize::{resized, thumbnail};

/// Longest sides, in pixels, to which the image is shrunk to estimate the background: the smaller,
/// the wider is the closing's window, which has the same size at each.
const CLOSING_SIDES: [u32; 4] = [480, 240, 120, 60];
/// Radius, in pixels, of the closing's window; the last is for strokes of 2/5 of the image.
const CLOSING_RADIUS: u32 = 6;
const WIDEST_RADIUS: u32 = 12;
/// A wider window is taken if it fills this many times as much as the one before. Chosen on
/// photographs in uneven light and on single digits of all widths.
const WIDER_FILLS: f64 = 1.25;
/// Shares of the paper's brightness that must be missing for a pixel to count as filled: with the
/// narrowest window, which catches pale strokes, and with wider ones, which catch shadows, too.
const FILLED: [f32; 2] = [0.06, 0.2];
/// Radii, as shares of the image's longer side, of the surroundings that ink is compared with to
/// distinguish light from dark.
const SURROUNDINGS: [f32; 3] = [0.02, 0.06, 0.25];
/// Longest side, in pixels, at which they are compared.
const POLARITY_SIDE: u32 = 480;
/// Mean grey up to which the ground is dark. On lighter ground, light ink must stand out by more.
const DARK_GROUND: u64 = 140;
/// Skewness of the light's deviations from which on the writing is light, on dark ground and on
/// other.
const LIGHT_SKEWNESS: [f64; 2] = [0., 2.];
/// Standard deviation, in pixels, of the blur against grain on images of this side and more.
const GRAIN_BLUR: f32 = 0.8;
const GRAIN_SIDE: f32 = 400.;
/// Side, in pixels, of images that are too small to be blurred.
pub(crate) const SMALL_SIDE: u32 = 128;
/// Ink, from 0 to 255, that writing must have at least.
const MIN_INK: u8 = 12;
/// A threshold of at least this much ink, 0 to 255, separates writing from paper, not grain from
/// grain.
const CLEAR_INK: u8 = 60;

/// Share of the pixels of a page that are paper at least: writing covers about a third at most.
const PAPER_SHARE: f64 = 0.65;
/// Grain ends this many times as far above the median of paper as the quantile at [`PAPER_SHARE`]
/// is.
const GRAIN_SPREADS: usize = 6;
/// Share of the pixels of a small drawing that have no ink at all where its ground is clean.
const CLEAN_SHARE: f64 = 0.9;
/// The part of the writing, 1/20, that is left out as darker than usual when its darkness is
/// measured.
const DARKEST_PART: u32 = 20;
/// The threshold is at most this many tenths of the way from grain to dark writing.
const MAX_THRESHOLD_TENTHS: u8 = 3;

/// How much darker than the background each pixel is, or on a dark ground lighter: 0 to 255.
pub(crate) fn ink(grey: &GrayImage) -> GrayImage {
    let longest = grey.width().max(grey.height());
    let ink = if is_light_on_dark(&shrunk(grey, POLARITY_SIDE)) {
        let mut inverted = grey.clone();
        imageops::invert(&mut inverted);
        darker(&inverted, &background(&inverted))
    } else {
        darker(grey, &background(grey))
    };
    match longest {
        0..=SMALL_SIDE => ink,
        _ => blurred(&ink, GRAIN_BLUR * (longest as f32 / GRAIN_SIDE).min(1.)),
    }
}

/// Shrunk to a longest side of `side`, or less, if it is larger.
pub(crate) fn shrunk(grey: &GrayImage, side: u32) -> GrayImage {
    let (width, height) = grey.dimensions();
    match width.max(height).div_ceil(side) {
        0 | 1 => grey.clone(),
        times => thumbnail(grey, width.div_ceil(times), height.div_ceil(times)),
    }
}

/// Whether the writing is lighter than its ground: grain goes both ways, writing one. That is
/// clearest in surroundings somewhat wider than the strokes.
fn is_light_on_dark(small: &GrayImage) -> bool {
    let longest = small.width().max(small.height()) as f32;
    let integral = integral(small);
    let skewness = |share: f32| {
        let around = box_means(&integral, small.dimensions(), (longest * share).ceil() as u32);
        let (mut squares, mut cubes) = (0., 0.);
        for (&grey, around) in small.iter().zip(around) {
            let deviation = f64::from(grey) - f64::from(around);
            squares += deviation.powi(2);
            cubes += deviation.powi(3);
        }
        let count = small.len() as f64;
        (cubes / count) / (squares / count).max(1e-9).powf(1.5)
    };
    let skewness = SURROUNDINGS.map(skewness);
    let clearest = skewness.into_iter().max_by(|a, b| a.abs().total_cmp(&b.abs()));
    let sum: u64 = small.iter().map(|&grey| u64::from(grey)).sum();
    let ground = usize::from(sum >= DARK_GROUND * small.len() as u64);
    clearest.is_some_and(|skewness| skewness > LIGHT_SKEWNESS[ground])
}

/// The paper without what is written on it, shrunk.
fn background(grey: &GrayImage) -> GrayImage {
    // A small image is a drawing or cut out: its digit may fill it, and there is hardly any shadow.
    let is_small = grey.width().max(grey.height()) <= SMALL_SIDE;
    let mut small = shrunk(grey, CLOSING_SIDES[0]);
    let (mut chosen, mut ink) = (None, 0.);
    let narrower = CLOSING_SIDES.iter().map(|&side| (side, CLOSING_RADIUS));
    let widest = [(CLOSING_SIDES[CLOSING_SIDES.len() - 1], WIDEST_RADIUS)];
    for (number, (side, radius)) in narrower.chain(widest).enumerate() {
        small = shrunk(&small, side);
        if is_small && number < CLOSING_SIDES.len() {
            continue; // the widest is taken anyway
        }
        // At its own size, a small image has windows that are as wide as a large one's.
        let longest = small.width().max(small.height());
        let radius = (radius * longest).div_ceil(side);
        let closed = closing(&small, radius);
        let filled = filled(&small, &closed, radius, FILLED[number.min(1)]);
        if chosen.is_none() || filled > WIDER_FILLS * ink {
            chosen = Some((closed, radius));
            ink = filled;
        }
    }
    let smooth =
        |(closed, radius): (GrayImage, u32)| blurred(&closed, (radius as f32 / 2.).max(0.5));
    chosen.map_or(small, smooth)
}

/// The mean share of its brightness that `small` lacks of `closed`, beyond what is usual and
/// `least`. Left out is what is within `edge` of the image's edge, where a window sees too little
/// of the paper: a dark corner would be ink.
fn filled(small: &GrayImage, closed: &GrayImage, edge: u32, least: f32) -> f64 {
    let (width, height) = small.dimensions();
    let inner = |at: u32, side: u32| (edge.min(side / 4)..side - edge.min(side / 4)).contains(&at);
    let mut shares: Vec<f32> = small
        .enumerate_pixels()
        .zip(closed.iter())
        .filter(|((x, y, _), _)| inner(*x, width) && inner(*y, height))
        .map(|((.., grey), &paper)| 1. - (f32::from(grey.0[0]) + 1.) / (f32::from(paper) + 1.))
        .collect();
    let middle = shares.len() / 2;
    let least = *shares.select_nth_unstable_by(middle, f32::total_cmp).1 + least;
    let beyond = shares.iter().filter(|share| **share > least);
    beyond.map(|share| f64::from(share - least)).sum::<f64>() / shares.len() as f64
}

/// How much darker than `background`, which is stretched to the same size, each pixel is, 0 to 255.
fn darker(grey: &GrayImage, background: &GrayImage) -> GrayImage {
    let (width, height) = grey.dimensions();
    let mut ink = resized(background, width, height);
    for (ink, &grey) in ink.iter_mut().zip(grey.iter()) {
        // By one more, so that black is not ink on black.
        let share = (f32::from(grey) + 1.) / (f32::from(*ink) + 1.);
        *ink = (255. * (1. - share) + 0.5) as u8; // below 0 becomes 0
    }
    ink
}

/// A grey closing with a square window.
pub(crate) fn closing(image: &GrayImage, radius: u32) -> GrayImage {
    extreme(&extreme(&dilated(image, radius), radius, u8::min), radius, u8::min)
}

/// A grey dilation with a square window: the lightest pixel within `radius` on both axes.
pub(crate) fn dilated(mask: &GrayImage, radius: u32) -> GrayImage {
    extreme(&extreme(mask, radius, u8::max), radius, u8::max)
}

/// By how much the lightest pixel within `radius` on both axes is lighter than the darkest.
pub(crate) fn contrasts(image: &GrayImage, radius: u32) -> impl Iterator<Item = u8> {
    let darkest = extreme(&extreme(image, radius, u8::min), radius, u8::min);
    let pairs = dilated(image, radius).into_raw().into_iter().zip(darkest.into_raw());
    pairs.map(|(lightest, darkest)| lightest - darkest)
}

/// The extreme of each row's pixels within `radius`, transposed: called twice, that of a square.
///
/// The windows of a row grow all at once, from one pixel to two, four and so on; the last step
/// joins two that overlap.
fn extreme(image: &GrayImage, radius: u32, choose: impl Fn(u8, u8) -> u8) -> GrayImage {
    let (width, height) = image.dimensions();
    let mut out = GrayImage::new(height, width);
    if out.is_empty() {
        return out;
    }
    let (side, radius) = (width as usize, radius as usize);
    let window = 2 * radius + 1;
    let mut extremes = vec![0; side + 2 * radius];
    let mut larger = extremes.clone();
    for (y, row) in image.as_raw().chunks_exact(side).enumerate() {
        // Beyond its ends, the row goes on as its last pixels are: they are in those windows
        // anyway.
        extremes[..radius].fill(row[0]);
        extremes[radius..radius + side].copy_from_slice(row);
        extremes[radius + side..].fill(row[side - 1]);
        let mut reach = 1;
        while 2 * reach <= window {
            let pairs = extremes.iter().zip(&extremes[reach..]);
            larger.iter_mut().zip(pairs).for_each(|(out, (&a, &b))| *out = choose(a, b));
            std::mem::swap(&mut extremes, &mut larger);
            reach *= 2;
        }
        let pairs = extremes.iter().zip(&extremes[window - reach..]);
        let column = out.iter_mut().skip(y).step_by(height as usize);
        column.zip(pairs).for_each(|(out, (&a, &b))| *out = choose(a, b));
    }
    out
}

/// For each corner of the pixels, one more than these on both axes, the sum of all above and to the
/// left of it (Crow 1984, "Summed-area tables for texture mapping").
fn integral(image: &GrayImage) -> Vec<u32> {
    let side = image.width() as usize;
    let mut sums = vec![0; (side + 1) * (image.height() as usize + 1)];
    for (y, row) in image.as_raw().chunks_exact(side.max(1)).enumerate() {
        let (above, below) = sums[y * (side + 1)..].split_at_mut(side + 1);
        let mut sum = 0;
        for ((out, above), &grey) in below[1..].iter_mut().zip(&above[1..]).zip(row) {
            sum += u32::from(grey);
            *out = above + sum;
        }
    }
    sums
}

/// The mean of the square window of `radius` around each pixel, row by row, of an image of this
/// size with these sums.
fn box_means(sums: &[u32], (width, height): (u32, u32), radius: u32) -> impl Iterator<Item = f32> {
    let row = move |y: u32| &sums[y as usize * (width + 1) as usize..][..=width as usize];
    (0..height).flat_map(move |y| {
        let (top, bottom) = (y.saturating_sub(radius), (y + radius).min(height - 1) + 1);
        let (upper, lower) = (row(top), row(bottom));
        (0..width).map(move |x| {
            let (left, right) = (x.saturating_sub(radius), (x + radius).min(width - 1) + 1);
            let sum = |row: &[u32]| row[right as usize] - row[left as usize];
            (sum(lower) - sum(upper)) as f32 / ((right - left) * (bottom - top)) as f32
        })
    })
}

/// What is paper and what is writing, in ink from 0 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Levels {
    /// Up to here it is paper and its grain.
    pub floor: u8,
    /// Above this it is writing.
    pub threshold: u8,
}

impl Levels {
    /// Of an image of ink; nothing where there is no ink at all.
    pub fn of(ink: &GrayImage) -> Option<Levels> {
        let mut histogram = [0u32; 256];
        ink.iter().for_each(|&ink| histogram[usize::from(ink)] += 1);
        // The grain is measured where there is surely paper. A bold digit that fills its image
        // leaves less of that, but then it is clear what is ink.
        let level = usize::from(otsu(&histogram));
        let clear = level >= usize::from(CLEAR_INK);
        let (paper, most) = if clear { (level, level / 2) } else { (255, 254) };
        let count: u32 = histogram[..=paper].iter().sum();
        let quantile = |share: f64| {
            let mut rest = (f64::from(count) * share) as i64;
            histogram.iter().position(|&count| {
                rest -= i64::from(count);
                rest < 0
            })
        };
        let (middle, upper) = (quantile(0.5)?, quantile(PAPER_SHARE)?);
        // A small drawing on a clean ground needs all its greys.
        let small = ink.width().max(ink.height()) <= SMALL_SIDE;
        let least =
            if small && clear && quantile(CLEAN_SHARE)? == 0 { 0 } else { usize::from(MIN_INK) };
        let floor = (middle + GRAIN_SPREADS * (upper - middle)).min(most).max(least) as u8;
        histogram[..=usize::from(floor)].fill(0);
        let above: u32 = histogram.iter().sum();
        let mut rest = above / DARKEST_PART;
        let dark = histogram.iter().rposition(|&count| {
            let reached = count > rest;
            rest = rest.saturating_sub(count);
            reached
        })?;
        let highest = floor + (dark as u8 - floor) / 10 * MAX_THRESHOLD_TENTHS;
        Some(Levels { floor, threshold: otsu(&histogram).max(floor).min(highest) })
    }
}

/// White where there is more ink than `level`, else black.
pub(crate) fn binarise(ink: &GrayImage, level: u8) -> GrayImage {
    threshold(ink, level, ThresholdType::Binary)
}

/// The level that parts a histogram into the two classes that differ most (Otsu 1979). The one in
/// imageproc overflows 32 bits on large white scans.
fn otsu(histogram: &[u32; 256]) -> u8 {
    let count: f64 = histogram.iter().map(|&count| f64::from(count)).sum();
    let weighted = |(level, &count): (usize, &u32)| level as f64 * f64::from(count);
    let sum: f64 = histogram.iter().enumerate().map(weighted).sum();
    let (mut below, mut sum_below) = (0., 0.);
    let (mut best, mut largest) = (0, 0.);
    for (level, &pixels) in histogram.iter().enumerate() {
        below += f64::from(pixels);
        sum_below += level as f64 * f64::from(pixels);
        let above = count - below;
        if below == 0. || above == 0. {
            continue;
        }
        let variance = below * above * (sum_below / below - (sum - sum_below) / above).powi(2);
        if variance > largest {
            (best, largest) = (level as u8, variance);
        }
    }
    best
}

#[cfg(test)]
mod tests;

//! Pictures of single digits → 28×28 grey bytes as MNIST has them.
//!
//! MNIST's recipe (<http://yann.lecun.com/exdb/mnist/>): the digit is fitted into a box of 20×20
//! with its aspect kept, anti-aliased, and its centre of mass is put at the centre of 28×28.

use std::array;

use image::imageops::{self, FilterType};
use image::{GrayImage, ImageBuffer, Luma};
use imageproc::contrast::{ThresholdType, otsu_level, threshold};
use imageproc::distance_transform::{Norm, distance_transform};
use imageproc::filter::gaussian_blur_f32;
use imageproc::morphology::{Mask, dilate, grayscale_close, grayscale_dilate};
use imageproc::region_labelling::{Connectivity, connected_components};

use crate::{Error, PIXELS, Result, SIDE};

/// A digit as the network sees it: rows of 28 pixels, 0 for paper to 255 for full ink.
pub type Digit = [u8; PIXELS];

/// Longest side, in pixels, at which a digit is looked for; larger pictures are shrunk to it.
const WORKING_SIDE: u32 = 512;
/// Longest side, in pixels, that MNIST's recipe gives a digit.
const BOX: u32 = 20;
/// Grey levels that ink must stand out from paper.
const MIN_CONTRAST: f32 = 16.;

/// Brings the digit in a grey picture into MNIST's form.
///
/// Fails when nothing in the picture stands out from its background.
pub fn normalise(grey: &GrayImage) -> Result<Digit> {
    let longest = grey.width().max(grey.height());
    if longest == 0 {
        return Err(Error::NoPixels);
    }
    let ink = if longest > WORKING_SIDE {
        let side = |side: u32| {
            ((u64::from(side) * u64::from(WORKING_SIDE) / u64::from(longest)) as u32).max(1)
        };
        ink(&imageops::thumbnail(grey, side(grey.width()), side(grey.height())))?
    } else {
        ink(grey)?
    };
    digit(&isolate(&ink)?).ok_or(Error::Blank)
}

/// MNIST's recipe for the ink of one digit; nothing where there is no ink.
pub(crate) fn digit(ink: &GrayImage) -> Option<Digit> {
    Some(centre(&fit(ink)?))
}

/// How much darker than the paper each pixel is, 0 to 255; light on dark is turned round first.
fn ink(grey: &GrayImage) -> Result<GrayImage> {
    let (low, high) = grey.iter().fold((255, 0), |(low, high), &g| (g.min(low), g.max(high)));
    if f32::from(high - low) < MIN_CONTRAST {
        return Err(Error::Blank);
    }
    let (width, height) = grey.dimensions();
    let mut edge: Vec<u8> = grey
        .enumerate_pixels()
        .filter(|(x, y, _)| *x == 0 || *y == 0 || x + 1 == width || y + 1 == height)
        .map(|(.., grey)| grey.0[0])
        .collect();
    edge.sort_unstable();
    let quantile = |part: usize| edge[(edge.len() - 1) * part / 10];

    let mut paper_like = grey.clone();
    let (mut paper, spread) = (quantile(5), quantile(9) - quantile(1));
    if paper <= otsu_level(grey) {
        imageops::invert(&mut paper_like);
        paper = 255 - paper;
    }
    // An even background is taken as it is: small drawings have no room to estimate one.
    let paper = match spread > 8 {
        true => background(&paper_like),
        false => GrayImage::from_pixel(width, height, Luma([paper])),
    };
    Ok(darker(&paper_like, &paper))
}

/// How much darker than `paper` each pixel is, 0 to 255.
pub(crate) fn darker(grey: &GrayImage, paper: &GrayImage) -> GrayImage {
    let mut ink = grey.clone();
    for (ink, paper) in ink.iter_mut().zip(paper.iter()) {
        let share = f32::from(*ink) / f32::from((*paper).max(1));
        *ink = (255. * (1. - share) + 0.5) as u8; // below 0 becomes 0
    }
    ink
}

/// The paper without what is written on it, by a grey closing wider than any stroke.
fn background(grey: &GrayImage) -> GrayImage {
    let (width, height) = grey.dimensions();
    let shrink = width.max(height).div_ceil(64);
    let small = imageops::thumbnail(grey, width.div_ceil(shrink), height.div_ceil(shrink));
    let radius = (small.width().max(small.height()) / 8) as u8;
    let closed = grayscale_close(&small, &Mask::square(radius));
    let smooth = gaussian_blur_f32(&closed, f32::from(radius).max(1.) / 2.);
    imageops::resize(&smooth, width, height, FilterType::Triangle)
}

/// White where there is more ink than `level`, else black.
pub(crate) fn binary(ink: &GrayImage, level: u8) -> GrayImage {
    threshold(ink, level, ThresholdType::Binary)
}

/// A connected part of the ink.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub pixels: u32,
    /// Sum of the ink.
    pub weight: f32,
    pub left: u32,
    pub top: u32,
    pub right: u32,
    pub bottom: u32,
}

impl Part {
    /// Free pixels between the boxes of two parts, on the axis where they are farther apart.
    pub fn gap(&self, other: &Part) -> u32 {
        let across = self.left.max(other.left).saturating_sub(self.right.min(other.right));
        let down = self.top.max(other.top).saturating_sub(self.bottom.min(other.bottom));
        across.max(down)
    }

    pub fn width(&self) -> u32 {
        self.right - self.left + 1
    }

    pub fn height(&self) -> u32 {
        self.bottom - self.top + 1
    }

    pub fn size(&self) -> u32 {
        self.width().max(self.height())
    }

    /// Whether it reaches the edge of a picture of this size.
    pub fn is_cut_off(&self, (width, height): (u32, u32)) -> bool {
        self.left == 0 || self.top == 0 || self.right + 1 == width || self.bottom + 1 == height
    }

    pub fn union(&self, other: &Part) -> Part {
        Part {
            pixels: self.pixels + other.pixels,
            weight: self.weight + other.weight,
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
        }
    }
}

/// The parts of a labelled picture in the order of their labels, 1 first, as far as they are in
/// `mask`; one that has no pixel there has 0 of them.
pub(crate) fn parts(
    labels: &ImageBuffer<Luma<u32>, Vec<u32>>,
    mask: &GrayImage,
    ink: &GrayImage,
) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for (x, y, &Luma([label])) in labels.enumerate_pixels() {
        if label == 0 {
            continue;
        }
        let empty = Part { pixels: 0, weight: 0., left: x, top: y, right: x, bottom: y };
        let index = label as usize - 1;
        if parts.len() <= index {
            parts.resize(index + 1, empty.clone());
        }
        if mask.get_pixel(x, y).0[0] == 0 {
            continue;
        }
        let pixel = Part { pixels: 1, weight: f32::from(ink.get_pixel(x, y).0[0]), ..empty };
        let part = &mut parts[index];
        *part = if part.pixels == 0 { pixel } else { part.union(&pixel) };
    }
    parts
}

/// The ink of the digit alone, from 0 to 255: without specks, neighbours cut off by the picture's
/// edge, and the paper's grain. One digit's several strokes stay together.
fn isolate(ink: &GrayImage) -> Result<GrayImage> {
    let (width, height) = ink.dimensions();
    let longest = width.max(height);
    let near = (longest / 100) as u8;
    let smooth = match longest {
        0..=128 => ink.clone(),
        _ => gaussian_blur_f32(ink, longest as f32 / 400.),
    };
    let mask = binary(&smooth, otsu_level(&smooth));
    // Closes the gaps of broken strokes. Most pictures are too small to need it.
    let joined = if near > 0 { dilate(&mask, Norm::LInf, near) } else { mask.clone() };
    let labels = connected_components(&joined, Connectivity::Eight, Luma([0]));

    let parts = parts(&labels, &mask, &smooth);
    let cut_off = |part: &Part| part.is_cut_off((width, height));
    // What is meant is whole and near the middle: neighbours may be in the picture, too.
    let score = |part: &Part| {
        let off = |from: u32, to: u32, side: u32| (from + to + 1) as f32 / side as f32 - 1.;
        let aside = off(part.left, part.right, width).hypot(off(part.top, part.bottom, height));
        part.weight / if cut_off(part) { 4. } else { 1. } / (1. + 2. * aside.powi(2))
    };
    let main = parts
        .iter()
        .max_by(|a, b| score(a).total_cmp(&score(b)))
        .filter(|part| part.pixels > 0)
        .ok_or(Error::Blank)?;
    let belongs: Vec<bool> = parts
        .iter()
        .map(|part| {
            part.pixels * 50 >= main.pixels
                && part.gap(main) * 4 <= main.size()
                && (cut_off(main) || !cut_off(part))
        })
        .collect();

    // Soft edges lie outside the mask.
    let around = near.max(2);
    let kept = GrayImage::from_fn(width, height, |x, y| {
        let label = labels.get_pixel(x, y).0[0] as usize;
        Luma([if label > 0 && belongs[label - 1] { 255 } else { 0 }])
    });
    let all = dilate(&joined, Norm::LInf, around);
    let kept = if kept == joined { all.clone() } else { dilate(&kept, Norm::LInf, around) };
    let grain: Vec<f32> = ink
        .iter()
        .zip(all.iter())
        .filter(|(_, written)| **written == 0)
        .map(|(&ink, _)| f32::from(ink))
        .collect();
    let mut strokes: Vec<u8> = smooth
        .iter()
        .zip(mask.iter())
        .filter(|(_, stroke)| **stroke > 0)
        .map(|(&ink, _)| ink)
        .collect();
    strokes.sort_unstable();
    let (mean, deviation) = mean_and_deviation(&grain);
    let floor = mean + 3. * deviation;
    let full = f32::from(strokes[(strokes.len() - 1) * 9 / 10]);
    if full - floor < MIN_CONTRAST / 2. {
        return Err(Error::Blank);
    }
    let levels: [u8; 256] =
        array::from_fn(|ink| (255. * (ink as f32 - floor) / (full - floor)).round() as u8);
    let mut digit = smooth;
    for (ink, kept) in digit.iter_mut().zip(kept.iter()) {
        *ink = if *kept > 0 { levels[usize::from(*ink)] } else { 0 };
    }
    Ok(digit)
}

fn mean_and_deviation(values: &[f32]) -> (f32, f32) {
    if values.is_empty() {
        return (0., 0.);
    }
    let count = values.len() as f32;
    let mean = values.iter().sum::<f32>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / count;
    (mean, variance.sqrt())
}

/// Crops to the ink and fits it into 20×20.
fn fit(digit: &GrayImage) -> Option<GrayImage> {
    let inked = digit.enumerate_pixels().filter(|(.., ink)| ink.0[0] > 0);
    let (left, top, right, bottom) = inked
        .fold((u32::MAX, u32::MAX, 0, 0), |(l, t, r, b), (x, y, _)| {
            (l.min(x), t.min(y), r.max(x), b.max(y))
        });
    if left > right {
        return None;
    }
    let (width, height) = (right + 1 - left, bottom + 1 - top);
    let mut crop = imageops::crop_imm(digit, left, top, width, height).to_image();
    let shrink = width.max(height).div_ceil(WORKING_SIDE);
    if shrink > 1 {
        // At full size, to thicken would take long. Widened first, thin strokes do not fade.
        crop = grayscale_dilate(&crop, &Mask::square((shrink / 2) as u8));
        crop = imageops::thumbnail(&crop, width.div_ceil(shrink), height.div_ceil(shrink));
    }
    let crop = thicken(crop);
    let (width, height) = crop.dimensions();
    let longest = width.max(height);
    if longest == BOX {
        return Some(crop);
    }
    let side = |side: u32| ((side * BOX) as f32 / longest as f32).round().max(1.) as u32;
    // The triangle's support grows with the reduction, so that it averages.
    let mut fitted = imageops::resize(&crop, side(width), side(height), FilterType::Triangle);
    let darkest = f32::from(fitted.iter().copied().max().unwrap_or(0).max(1));
    fitted.iter_mut().for_each(|ink| *ink = (f32::from(*ink) * 255. / darkest).round() as u8);
    Some(fitted)
}

/// Widens strokes that would be thinner than MNIST's once scaled: those are about 2.2 pixels wide,
/// and a fine pen on a large sheet would fade to grey.
fn thicken(crop: GrayImage) -> GrayImage {
    const MNIST_WIDTH: f32 = 2.2;
    const TOO_THIN: f32 = 1.6;
    let scale = BOX as f32 / crop.width().max(crop.height()) as f32;
    let outside = GrayImage::from_fn(crop.width() + 2, crop.height() + 2, |x, y| {
        let inside = (1..=crop.width()).contains(&x) && (1..=crop.height()).contains(&y);
        Luma([if inside && crop.get_pixel(x - 1, y - 1).0[0] > 127 { 0 } else { 255 }])
    });
    let depths: Vec<f32> = distance_transform(&outside, Norm::L1)
        .iter()
        .filter(|depth| **depth > 0)
        .map(|&depth| f32::from(depth))
        .collect();
    // Across a stroke w pixels wide the depth rises from 1 to w/2 and falls: its mean is w/4 + 1/2.
    let width = 4. * mean_and_deviation(&depths).0 - 2.;
    let missing = (MNIST_WIDTH / scale - width) / 2.;
    if width * scale >= TOO_THIN || missing < 0.5 {
        return crop;
    }
    let radius = missing.round() as u8;
    let margin = u32::from(radius);
    let mut wide = GrayImage::new(crop.width() + 2 * margin, crop.height() + 2 * margin);
    imageops::replace(&mut wide, &crop, margin.into(), margin.into());
    grayscale_dilate(&wide, &Mask::disk(radius))
}

/// Puts the centre of mass at pixel (14, 14), counted from 0, as in MNIST's files.
fn centre(fitted: &GrayImage) -> Digit {
    let (mut mass, mut x_mass, mut y_mass) = (0., 0., 0.);
    for (x, y, ink) in fitted.enumerate_pixels() {
        let ink = f32::from(ink.0[0]);
        mass += ink;
        x_mass += ink * x as f32;
        y_mass += ink * y as f32;
    }
    let offset = |moment: f32, side: u32| {
        let offset = (SIDE as f32 / 2. - moment / mass).round() as usize; // below 0 becomes 0
        offset.min(SIDE - side as usize)
    };
    let (left, top) = (offset(x_mass, fitted.width()), offset(y_mass, fitted.height()));
    let mut digit = [0; PIXELS];
    for (x, y, ink) in fitted.enumerate_pixels() {
        digit[(top + y as usize) * SIDE + left + x as usize] = ink.0[0];
    }
    digit
}

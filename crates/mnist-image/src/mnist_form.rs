//! MNIST's form: <http://yann.lecun.com/exdb/mnist/>. The digit is fitted into a box of 20×20 with
//! its aspect kept, anti-aliased, and its centre of mass is put at the centre of 28×28.

use image::GrayImage;
use image::imageops;
use imageproc::morphology::{Mask, grayscale_dilate};

use crate::ink::dilated;
use crate::resize::{nearest, resized, thumbnail};
use crate::{Digit, PIXELS, SIDE};

/// Longest side, in pixels, that MNIST's recipe gives a digit.
const BOX: u32 = 20;
/// Longest side, in pixels, at which strokes are measured and widened; larger digits are shrunk to
/// it.
const MEASURED_SIDE: u32 = 512;
/// Mean width, in pixels of 28×28, of the strokes of MNIST's digits.
const MNIST_STROKE: f32 = 2.2;
/// Width in the same pixels below which strokes would fade to grey: they are widened to MNIST's.
const THIN_STROKE: f32 = 1.2;
/// Strokes of fewer pixels than this for each pixel that they are shrunk to would fade as well.
const THIN: u32 = 2;

/// MNIST's form of the ink of one digit, 0 to 255; nothing where there is no ink.
pub(crate) fn mnist_form(ink: &GrayImage) -> Option<Digit> {
    Some(centre(&fit(ink)?))
}

/// Crops to the ink and fits it into 20×20.
fn fit(digit: &GrayImage) -> Option<GrayImage> {
    let rows = digit.as_raw().chunks_exact(digit.width().max(1) as usize);
    let (mut left, mut right, mut top, mut bottom) = (usize::MAX, 0, None, 0);
    for (y, (first, last)) in rows.clone().enumerate().filter_map(|(y, row)| Some((y, ends(row)?)))
    {
        (left, right) = (left.min(first), right.max(last));
        top.get_or_insert(y);
        bottom = y;
    }
    let rows = rows.take(bottom + 1).skip(top?);
    let (width, height) = ((right + 1 - left) as u32, rows.len() as u32);
    let pixels = rows.flat_map(|row| &row[left..=right]).copied().collect();
    let mut crop = GrayImage::from_vec(width, height, pixels)?;
    let shrink = width.max(height).div_ceil(MEASURED_SIDE);
    if shrink > 1 {
        crop = shrunk(&crop, shrink); // at full size, to thicken would take long
    }
    let crop = thicken(crop);
    let (width, height) = crop.dimensions();
    let longest = width.max(height);
    if longest == BOX {
        return Some(crop);
    }
    let side = |side: u32| ((side * BOX) as f32 / longest as f32).round().max(1.) as u32;
    // The triangle's support grows with the reduction, so that it averages.
    let mut fitted = resized(&crop, side(width), side(height));
    let darkest = f32::from(fitted.iter().copied().max().unwrap_or(0).max(1));
    fitted.iter_mut().for_each(|ink| *ink = nearest(f32::from(*ink) * 255. / darkest));
    Some(fitted)
}

/// The first and the last pixel of a row that have ink.
pub(crate) fn ends(row: &[u8]) -> Option<(usize, usize)> {
    let is_ink = |ink: &u8| *ink > 0;
    Some((row.iter().position(is_ink)?, row.iter().rposition(is_ink)?))
}

/// Shrunk to a `times`-th of its sides. Widened first, thin strokes do not fade.
pub(crate) fn shrunk(ink: &GrayImage, times: u32) -> GrayImage {
    let wide = match stroke_width(ink) < (THIN * times) as f32 {
        true => &dilated(ink, times / 2),
        false => ink,
    };
    thumbnail(wide, ink.width().div_ceil(times), ink.height().div_ceil(times))
}

/// Widens strokes that would be thinner than MNIST's once scaled: those are about 2.2 pixels wide,
/// and a fine pen on a large sheet would fade to grey.
fn thicken(crop: GrayImage) -> GrayImage {
    let scale = BOX as f32 / crop.width().max(crop.height()) as f32;
    let width = stroke_width(&crop);
    let missing = (MNIST_STROKE / scale - width) / 2.;
    if width * scale >= THIN_STROKE || missing < 0.5 {
        return crop;
    }
    let radius = missing.round() as u8;
    let margin = u32::from(radius);
    let mut wide = GrayImage::new(crop.width() + 2 * margin, crop.height() + 2 * margin);
    imageops::replace(&mut wide, &crop, margin.into(), margin.into());
    grayscale_dilate(&wide, &Mask::disk(radius))
}

/// The mean width of the strokes in pixels.
fn stroke_width(ink: &GrayImage) -> f32 {
    let (sum, count) = depths(ink);
    // Across a stroke w pixels wide the depth rises from 1 to w/2 and falls: its mean is w/4 + 1/2.
    4. * sum as f32 / count.max(1) as f32 - 2.
}

/// The sum of the depths of the pixels that are more ink than paper, and their number: the steps
/// from each to the nearest that is not, or that lies beyond the edge.
///
/// Two passes (Rosenfeld & Pfaltz 1966), one from above and left, one from below and right.
fn depths(ink: &GrayImage) -> (u64, u64) {
    let side = ink.width() as usize;
    let mut depths: Vec<u16> = ink.iter().map(|&ink| u16::from(ink > 127)).collect();
    let mut above = vec![0; side];
    for row in depths.chunks_exact_mut(side) {
        let mut before = 0;
        for (depth, above) in row.iter_mut().zip(&mut above) {
            *depth *= before.min(*above) + 1;
            (before, *above) = (*depth, *depth);
        }
    }
    let (mut sum, mut count) = (0, 0);
    let mut below = vec![0; side];
    for row in depths.chunks_exact_mut(side).rev() {
        let mut after = 0;
        for (depth, below) in row.iter_mut().zip(&mut below).rev() {
            *depth = (*depth).min(after.min(*below) + 1);
            (after, *below) = (*depth, *depth);
            sum += u64::from(*depth);
            count += u64::from(*depth > 0);
        }
    }
    (sum, count)
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

#[cfg(test)]
mod tests {
    use image::Luma;
    use imageproc::distance_transform::{Norm, distance_transform};

    use super::*;
    use crate::noise;

    #[test]
    fn depths_are_the_distances_of_imageproc() {
        for (width, height) in [(1, 1), (1, 30), (40, 1), (61, 47)] {
            for least in [20, 120] {
                let mut ink = noise(width, height);
                ink.iter_mut().for_each(|ink| *ink = if *ink > least { 255 } else { 0 });
                let around = GrayImage::from_fn(width + 2, height + 2, |x, y| {
                    let inside = (1..=width).contains(&x) && (1..=height).contains(&y);
                    Luma([if inside { 255 - ink.get_pixel(x - 1, y - 1).0[0] } else { 255 }])
                });
                let expected = distance_transform(&around, Norm::L1);
                let expected = expected.iter().filter(|depth| **depth > 0);
                let sum = expected.clone().map(|&depth| u64::from(depth)).sum();
                assert_eq!(depths(&ink), (sum, expected.count() as u64), "{width}×{height}");
            }
        }
    }

    fn bar(width: u32, height: u32) -> GrayImage {
        GrayImage::from_fn(200, 200, |x, y| {
            let inside = (15..15 + width).contains(&x) && (50..50 + height).contains(&y);
            Luma([if inside { 255 } else { 0 }])
        })
    }

    #[test]
    fn a_bar_is_fitted_and_centred_to_the_pixel() {
        let expected: Digit = std::array::from_fn(|index| {
            let (x, y) = (index % 28, index / 28);
            if (12..17).contains(&x) && (5..25).contains(&y) { 255 } else { 0 }
        });
        assert_eq!(mnist_form(&bar(10, 40)), Some(expected));
    }

    #[test]
    fn a_fine_stroke_is_widened_to_that_of_mnist() {
        let form = mnist_form(&bar(1, 100)).unwrap();
        let ink: u32 = form[14 * SIDE..15 * SIDE].iter().map(|&ink| u32::from(ink)).sum();
        assert!((400..700).contains(&ink), "{ink}");
    }

    #[test]
    fn no_ink_has_no_form() {
        assert_eq!(mnist_form(&GrayImage::new(9, 9)), None);
    }
}

//! Grey images resized with the triangle filter, or shrunk to the means of blocks: to the bit what
//! `image` makes, which computes four channels.

use std::ops::Range;

use image::GrayImage;

/// For each pixel of a resized row or column: the first of those that it is the weighted mean of,
/// and their weights.
fn weights(from: u32, to: u32) -> Vec<(usize, Vec<f32>)> {
    let ratio = from as f32 / to as f32;
    // The triangle is wider than a pixel where the image shrinks, so that it averages.
    let support = ratio.max(1.);
    let of = |pixel: u32| {
        let middle = (pixel as f32 + 0.5) * ratio;
        let first = ((middle - support).floor() as i64).clamp(0, i64::from(from) - 1);
        let end = ((middle + support).ceil() as i64).clamp(first + 1, i64::from(from));
        let triangle = |at: i64| (1. - ((at as f32 - (middle - 0.5)) / support).abs()).max(0.);
        let mut weights: Vec<f32> = (first..end).map(triangle).collect();
        let sum = weights.iter().fold(0., |sum, weight| sum + weight);
        weights.iter_mut().for_each(|weight| *weight /= sum);
        (first as usize, weights)
    };
    (0..to).map(of).collect()
}

/// `image` at another size.
pub(crate) fn resized(image: &GrayImage, width: u32, height: u32) -> GrayImage {
    if image.dimensions() == (width, height) {
        return image.clone();
    }
    let mut out = GrayImage::new(width, height);
    if image.is_empty() || out.is_empty() {
        return out;
    }
    let side = image.width() as usize;
    let across = weights(image.width(), width);
    let mut row = vec![0.; side];
    for ((first, weights), out) in
        weights(image.height(), height).iter().zip(out.chunks_exact_mut(width as usize))
    {
        row.fill(0.);
        for (weight, from) in weights.iter().zip(image.as_raw().chunks_exact(side).skip(*first)) {
            row.iter_mut().zip(from).for_each(|(sum, &grey)| *sum += f32::from(grey) * weight);
        }
        for ((first, weights), out) in across.iter().zip(out) {
            let pairs = weights.iter().zip(&row[*first..]);
            *out = nearest(pairs.fold(0., |sum, (weight, grey)| sum + grey * weight));
        }
    }
    out
}

/// The pixels of which each pixel of a shrunk row or column is the mean.
fn blocks(from: u32, to: u32) -> impl Iterator<Item = Range<usize>> {
    let ratio = from as f32 / to as f32;
    (0..to).map(move |pixel| {
        let start = pixel as f32 * ratio;
        let first = (start.ceil() as u32).min(from - 1);
        let end = ((start + ratio).ceil() as u32).clamp(first + 1, from);
        first as usize..end as usize
    })
}

/// `image` at a size that is no larger, each pixel the mean of a block: `imageops::thumbnail`.
pub(crate) fn thumbnail(image: &GrayImage, width: u32, height: u32) -> GrayImage {
    let mut out = GrayImage::new(width, height);
    if image.is_empty() || out.is_empty() {
        return out;
    }
    let side = image.width() as usize;
    let across: Vec<Range<usize>> = blocks(image.width(), width).collect();
    let mut sums = vec![0u32; side];
    for (rows, out) in blocks(image.height(), height).zip(out.chunks_exact_mut(width as usize)) {
        sums.fill(0);
        for row in image.as_raw()[rows.start * side..rows.end * side].chunks_exact(side) {
            sums.iter_mut().zip(row).for_each(|(sum, &grey)| *sum += u32::from(grey));
        }
        for (columns, out) in across.iter().zip(out) {
            let count = (rows.len() * columns.len()) as u32;
            *out = ((sums[columns.clone()].iter().sum::<u32>() + count / 2) / count) as u8;
        }
    }
    out
}

/// The nearest level, as `round` gives it, which is slow where the processor is not known to have
/// it.
pub(crate) fn nearest(level: f32) -> u8 {
    let below = level as u8; // cut to 0 to 255
    below.saturating_add((level - f32::from(below) >= 0.5).into())
}

#[cfg(test)]
mod tests {
    use image::imageops::{self, FilterType};

    use super::*;
    use crate::noise;

    #[test]
    fn images_are_resized_as_by_the_crate_image() {
        let sides = [(1, 1), (1, 20), (7, 5), (20, 20), (33, 64), (90, 31)];
        for (width, height) in sides {
            let image = noise(width, height);
            for (to_width, to_height) in sides.into_iter().chain([(200, 3), (480, 300)]) {
                let expected = imageops::resize(&image, to_width, to_height, FilterType::Triangle);
                let found = resized(&image, to_width, to_height);
                assert!(found == expected, "{width}×{height} to {to_width}×{to_height}");
            }
        }
    }

    #[test]
    fn images_are_shrunk_as_by_the_crate_image() {
        let sides = [(1, 1), (1, 20), (7, 5), (20, 20), (33, 64), (90, 31), (640, 479)];
        for (width, height) in sides {
            let image = noise(width, height);
            for (to_width, to_height) in sides {
                if to_width <= width && to_height <= height {
                    let expected = imageops::thumbnail(&image, to_width, to_height);
                    let found = thumbnail(&image, to_width, to_height);
                    assert!(found == expected, "{width}×{height} to {to_width}×{to_height}");
                }
            }
        }
    }

    #[test]
    fn the_nearest_level_is_that_of_round() {
        let half = |at: u16| f32::from(at) / 2.;
        for level in (0..600).map(half).flat_map(|at| [at.next_down(), at, at.next_up(), -at]) {
            assert_eq!(nearest(level), level.round() as u8, "{level}");
        }
    }
}

//! Grey images blurred with a Gaussian: to the bit what `imageproc` makes, which takes several
//! times as long.

use std::iter;

use image::GrayImage;

/// `image` blurred with a Gaussian of the standard deviation `sigma`, in pixels.
pub(crate) fn blurred(image: &GrayImage, sigma: f32) -> GrayImage {
    let mut out = image.clone();
    if image.is_empty() {
        return out;
    }
    let kernel = kernel(sigma);
    let (side, radius) = (image.width() as usize, kernel.len() / 2);
    let mut sums = vec![0.; side];
    let mut padded = vec![0.; side + 2 * radius];
    for (row, out) in image.as_raw().chunks_exact(side).zip(out.chunks_exact_mut(side)) {
        // Beyond its ends, the row goes on as its last pixels are.
        padded[..radius].fill(f32::from(row[0]));
        padded[radius..].iter_mut().zip(row).for_each(|(out, &grey)| *out = f32::from(grey));
        padded[radius + side..].fill(f32::from(row[side - 1]));
        sums.fill(0.);
        for (at, weight) in kernel.iter().enumerate() {
            sums.iter_mut().zip(&padded[at..]).for_each(|(sum, grey)| *sum += grey * weight);
        }
        out.iter_mut().zip(&sums).for_each(|(out, &sum)| *out = sum as u8);
    }
    let across = out.clone();
    let rows = across.as_raw().chunks_exact(side);
    let (first, last) = (rows.clone().next(), rows.clone().next_back());
    let before = iter::repeat_n(first, radius).flatten();
    let rows: Vec<&[u8]> =
        before.chain(rows).chain(iter::repeat_n(last, radius).flatten()).collect();
    for (near, out) in rows.windows(kernel.len()).zip(out.chunks_exact_mut(side)) {
        sums.fill(0.);
        for (row, weight) in near.iter().zip(&kernel) {
            sums.iter_mut().zip(*row).for_each(|(sum, &grey)| *sum += f32::from(grey) * weight);
        }
        out.iter_mut().zip(&sums).for_each(|(out, &sum)| *out = sum as u8);
    }
    out
}

/// The weights of the pixels within two standard deviations.
fn kernel(sigma: f32) -> Vec<f32> {
    let radius = (2. * sigma).ceil() as i32;
    let density = |at: i32| {
        (sigma * std::f32::consts::TAU.sqrt()).recip()
            * (-(at as f32).powi(2) / (2. * sigma.powi(2))).exp()
    };
    let mut weights: Vec<f32> = (-radius..=radius).map(density).collect();
    let sum: f32 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= sum);
    weights
}

#[cfg(test)]
mod tests {
    use imageproc::filter::gaussian_blur_f32;

    use super::*;
    use crate::noise;

    #[test]
    fn images_are_blurred_as_by_imageproc() {
        for (width, height) in [(1, 1), (1, 9), (7, 5), (33, 64), (90, 31)] {
            let image = noise(width, height);
            for sigma in [0.3, 0.56, 0.8, 1.4, 3., 6.] {
                let expected = gaussian_blur_f32(&image, sigma);
                assert!(blurred(&image, sigma) == expected, "{width}×{height}, {sigma}");
            }
        }
    }
}

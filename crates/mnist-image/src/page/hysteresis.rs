//! Strokes that fade and break: thresholding with hysteresis, as edges are traced by (Canny 1986,
//! "A computational approach to edge detection"). Ink below the threshold is writing where it goes
//! on from ink above it.

use image::GrayImage;

use crate::component::label;
use crate::ink::{Levels, binarise, dilated};

/// The lower threshold, as a part of the way from the paper to the upper one. Chosen on pages drawn
/// like our own, of training digits.
const LOWER: f32 = 0.5;
/// Widest gap in a fading stroke is twice this many pixels.
const REACH: u32 = 2;
/// Pixels around what is above the threshold that are its soft edges.
const SOFT_EDGE: u32 = 2;

/// Adds to `mask` the ink that goes on from it, without its soft edges, where that is less than
/// what it goes on from: a shadow with specks in it is none.
pub(super) fn extend(mask: &mut GrayImage, ink: &GrayImage, levels: Levels) {
    let floor = f32::from(levels.floor);
    let lower = floor + LOWER * (f32::from(levels.threshold) - floor);
    let weak = binarise(ink, lower as u8);
    let mut new = weak.clone();
    let edges = dilated(mask, SOFT_EDGE);
    new.iter_mut().zip(edges.iter()).for_each(|(new, edge)| *new &= !edge);
    if new.iter().all(|new| *new == 0) {
        return;
    }
    let labels = label(&dilated(&weak, REACH));
    let most = labels.iter().max().map_or(0, |&most| most as usize);
    let mut counts = vec![[0u32; 2]; most + 1]; // above the threshold, and new
    for ((&label, mask), new) in labels.iter().zip(mask.iter()).zip(new.iter()) {
        counts[label as usize][0] += u32::from(*mask > 0);
        counts[label as usize][1] += u32::from(*new > 0);
    }
    for ((&label, mask), is_new) in labels.iter().zip(mask.iter_mut()).zip(new.iter()) {
        let [strong, new] = counts[label as usize];
        if label > 0 && new < strong {
            *mask |= is_new;
        }
    }
}

#[cfg(test)]
mod tests {
    use image::Luma;

    use super::*;

    /// How many pixels of a dark bar, a fading one that goes on from it, and a speck that does not
    /// are in the mask; the fading bar is this long.
    fn kept(fading: u32) -> [usize; 3] {
        let ink = GrayImage::from_fn(300, 40, |x, y| {
            let bar = (18..22).contains(&y);
            Luma([match x {
                10..60 if bar => 200,
                60..240 if bar && x < 60 + fading && x % 5 > 1 => 70,
                280..284 if bar => 70,
                _ => 0,
            }])
        });
        let levels = Levels { floor: 10, threshold: 90 };
        let mut mask = binarise(&ink, levels.threshold);
        extend(&mut mask, &ink, levels);
        let count = |from: u32, to: u32| {
            let inked = mask
                .enumerate_pixels()
                .filter(|(x, _, pixel)| pixel.0[0] > 0 && (from..to).contains(x));
            inked.count()
        };
        [count(0, 60), count(60, 270), count(270, 300)]
    }

    #[test]
    fn what_goes_on_from_writing_is_writing_and_specks_and_shadows_are_not() {
        let [dark, fading, speck] = kept(40);
        assert_eq!((dark, speck), (200, 0));
        assert!((80..=96).contains(&fading), "{fading}");
        // More of it than of what it goes on from.
        assert_eq!(kept(180), [200, 0, 0]);
    }
}

//! Digits of two lines that touch, one above the other: one component, which is cut between the
//! lines.

use std::cmp::Reverse;

use image::{GrayImage, Luma};

use super::ruled_lines::transposed;
use super::seams::{seams, strokes};
use crate::component::{Component, Labels};

/// Heights and greatest width, in heights of a digit, of a component that may belong to two lines.
const TALL: [f32; 2] = [1.5, 4.];
const MAX_TALL_WIDTH: f32 = 4.;
/// Heights of a neighbour that shows where a line is, in heights of a digit.
const NEIGHBOUR: [f32; 2] = [0.6, 1.4];
/// Distance, in heights of a digit, up to which a component is a neighbour.
const NEIGHBOURHOOD: f32 = 4.;
/// Share of a digit's height by which the ends of a tall component and those of its neighbours may
/// differ, and up to which two lines overlap.
const MAX_END_OFFSET: f32 = 0.6;
const OVERLAP: f32 = 0.2;

/// Cuts components that reach over two lines apart: gives what is below each cut a label of its
/// own. Digits are about `height` pixels high. Whether there were any.
pub(super) fn split(
    labels: &mut Labels,
    found: &[Component],
    ink: &GrayImage,
    height: u32,
) -> bool {
    let mut next = found.len() as u32;
    for (label, tall) in (1..).zip(found) {
        let Some((top, bottom)) = between_lines(tall, found, height as f32) else { continue };
        // Seams lead down: the rows between the lines are looked at from the side.
        let own = GrayImage::from_fn(tall.width(), tall.height(), |x, y| {
            let (x, y) = (tall.left + x, tall.top + y);
            if labels.get_pixel(x, y).0[0] == label { *ink.get_pixel(x, y) } else { Luma([0]) }
        });
        let turned = transposed(&own);
        let middle = |seam: &[u32]| tall.top + seam[seam.len() / 2];
        let fits = |seam: &Vec<u32>| (top..=bottom).contains(&middle(seam));
        let cut = seams(&turned, height)
            .into_iter()
            .filter(fits)
            .min_by_key(|seam| (strokes(seam, &turned), (top + bottom).abs_diff(2 * middle(seam))));
        let Some(cut) = cut else { continue };
        next += 1;
        for (x, &from) in (tall.left..).zip(&cut) {
            for y in tall.top + from..=tall.bottom {
                let pixel = labels.get_pixel_mut(x, y);
                if pixel.0[0] == label {
                    pixel.0[0] = next;
                }
            }
        }
    }
    next as usize > found.len()
}

/// The rows from the middle of the upper line's digits to that of the lower one's, where `tall`
/// reaches over two lines, which its neighbours show.
fn between_lines(tall: &Component, found: &[Component], height: f32) -> Option<(u32, u32)> {
    let of = |size: u32| size as f32 / height;
    if !(TALL[0]..TALL[1]).contains(&of(tall.height())) || of(tall.width()) > MAX_TALL_WIDTH {
        return None;
    }
    let away = |one: &Component| one.left.max(tall.left).saturating_sub(one.right.min(tall.right));
    let is_near = |one: &&Component| {
        (NEIGHBOUR[0]..NEIGHBOUR[1]).contains(&of(one.height())) && of(away(one)) <= NEIGHBOURHOOD
    };
    let nearest = |level: &dyn Fn(&Component) -> u32| {
        let level = found.iter().filter(is_near).filter(|one| of(level(one)) <= MAX_END_OFFSET);
        level.min_by_key(|one| (away(one), Reverse(one.pixels)))
    };
    let upper = nearest(&|one| one.top.abs_diff(tall.top))?;
    let lower = nearest(&|one| one.bottom.abs_diff(tall.bottom))?;
    let overlap = upper.bottom.saturating_sub(lower.top);
    let middle = |one: &Component| (one.top + one.bottom) / 2;
    (of(overlap) <= OVERLAP).then(|| (middle(upper), middle(lower)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::component::{components, label};

    /// Rings of 40 pixels in a table of two lines, 42 pixels apart, with 1s between some of them.
    fn page(joined: bool, neighbours: bool) -> GrayImage {
        GrayImage::from_fn(260, 160, |x, y| {
            let (x, y) = (x as f32, y as f32);
            let ring = |cx: f32, cy: f32| ((x - cx).hypot(y - cy) - 18.).abs() < 3.;
            let middle = ring(120., 50.) || ring(124., 92.);
            let around =
                neighbours && [50., 200.].iter().any(|&cx| ring(cx, 50.) || ring(cx + 2., 94.));
            let bridge = joined && (118. ..122.).contains(&x) && (66. ..76.).contains(&y);
            Luma([if middle || around || bridge { 255 } else { 0 }])
        })
    }

    fn boxes(mask: &GrayImage) -> Vec<(u32, u32, u32)> {
        let mut labels = label(mask);
        let found = components(&labels, mask, mask);
        split(&mut labels, &found, mask, 41);
        let found = components(&labels, mask, mask);
        found.iter().map(|one| (one.left, one.top, one.height())).collect()
    }

    #[test]
    fn what_touches_from_line_to_line_is_cut_between_them() {
        let found = boxes(&page(true, true));
        assert_eq!(found.len(), 6);
        assert!(found.iter().all(|&(.., height)| (35..=50).contains(&height)), "{found:?}");
    }

    #[test]
    fn a_tall_digit_stays_whole_where_no_neighbours_show_two_lines() {
        assert_eq!(boxes(&page(true, false)).len(), 1);
        // Beside digits of one line only.
        let mask = GrayImage::from_fn(260, 160, |x, y| {
            let stem = (100..106).contains(&x) && (30..110).contains(&y);
            let digit = [40, 160, 210].iter().any(|left| (*left..left + 6).contains(&x));
            Luma([if stem || digit && (30..71).contains(&y) { 255 } else { 0 }])
        });
        assert_eq!(boxes(&mask).len(), 4);
    }
}

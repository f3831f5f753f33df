//! Seams: paths from top to bottom through the least ink, where touching digits may be cut apart
//! (Avidan & Shamir 2007, "Seam carving for content-aware image resizing").

use std::iter;

use image::GrayImage;

use crate::resize::thumbnail;

// Chosen on drawn pages, in the tests and in `tests/sheets`, unless said otherwise.
/// Digits at least twice as high, in pixels, are shrunk to this height to look for seams: the time
/// it takes grows with the cube of the height.
const SEARCH_SIDE: u32 = 64;
/// Seams that are tried in a group; joined-up writing would have hundreds.
const MAX_SEAMS: usize = 48;
/// Cost, in ink, of a step aside, which makes the seam longer.
const SLANT_COST: u32 = 20;
/// Cost, in ink, of each pixel away from the seam's middle column.
const SWAY_COST: u32 = 2;
/// Ink, from 0 to 255, above which a seam goes through a stroke.
pub(super) const STROKE_INK: u8 = 100;
// Parts of a digit's height, 1/6 and so on, and the pixels that each is at least.
/// From the ends of a group to the middle column of a seam.
const END_MARGIN: (u32, u32) = (6, 3);
/// From the middle column of a seam to where it may sway.
const SWAY: (u32, u32) = (5, 2);
/// Between the middle columns of two seams.
const SPACING: (u32, u32) = (16, 2);

/// A path from top to bottom: the column of every row.
pub(super) type Seam = Vec<u32>;

/// How many strokes a seam goes through.
pub(super) fn strokes(seam: &Seam, ink: &GrayImage) -> usize {
    let inked = |(y, &x): (usize, &u32)| ink.get_pixel(x, y as u32).0[0] > STROKE_INK;
    let inked: Vec<bool> = seam.iter().enumerate().map(inked).collect();
    inked.chunk_by(|a, b| a == b).filter(|run| run[0]).count()
}

/// The cheapest seams through the ink, from left to right, where digits are `height` pixels high.
pub(super) fn seams(ink: &GrayImage, height: u32) -> Vec<Seam> {
    let times = (height / SEARCH_SIDE).max(1);
    if times == 1 {
        return cheapest(ink, height);
    }
    let (width, rows) = ink.dimensions();
    let small = thumbnail(ink, width.div_ceil(times), rows.div_ceil(times));
    let stretched = |seam: Seam| {
        let columns = seam.iter().flat_map(|x| iter::repeat_n(x * times, times as usize));
        columns.take(rows as usize).collect()
    };
    cheapest(&small, height / times).into_iter().map(stretched).collect()
}

fn cheapest(ink: &GrayImage, height: u32) -> Vec<Seam> {
    let (width, rows) = ink.dimensions();
    let of_height = |(part, least): (u32, u32)| (height / part).max(least);
    let (margin, sway, spacing) = (of_height(END_MARGIN), of_height(SWAY), of_height(SPACING));
    // The least cost of reaching each pixel of a band from above, row by row, with a column of
    // paper that cannot be reached at either end.
    let wide = (2 * sway + 1).min(width) as usize + 2;
    let mut costs = vec![u32::MAX / 2; (rows as usize + 1) * wide];
    let mut swaying = vec![0; wide];
    let through = |middle: u32| {
        let (first, last) = (middle.saturating_sub(sway), (middle + sway).min(width - 1));
        let band = (last - first + 1) as usize;
        costs[1..=band].fill(0);
        costs[band + 1] = u32::MAX / 2;
        for (cost, x) in swaying.iter_mut().zip(first..=last) {
            *cost = SWAY_COST * x.abs_diff(middle);
        }
        for y in 0..rows as usize {
            let (above, below) = costs[y * wide..].split_at_mut(wide);
            let ink = &ink.as_raw()[y * width as usize + first as usize..][..band];
            let ways = above.windows(3).zip(ink).zip(&swaying);
            for (cost, ((way, &ink), swaying)) in below[1..=band].iter_mut().zip(ways) {
                // A slanted step is longer.
                let way_cost = way[1].min(way[0].min(way[2]) + SLANT_COST);
                *cost = way_cost + u32::from(ink) + swaying;
            }
            below[band + 1] = u32::MAX / 2;
        }
        let last_row = &costs[rows as usize * wide..][1..=band];
        let mut at = (0..band).min_by_key(|&at| last_row[at]).unwrap_or(0);
        let cost = last_row[at];
        let mut seam = vec![0; rows as usize];
        for y in (0..rows as usize).rev() {
            seam[y] = first + at as u32;
            let way = &costs[y * wide + at..][..3];
            let (left, straight, right) = (way[0] + SLANT_COST, way[1], way[2] + SLANT_COST);
            at = match left.min(straight).min(right) {
                least if least == left => at - 1,
                least if least == straight => at,
                _ => at + 1,
            };
        }
        (cost, middle, seam)
    };
    let mut found: Vec<_> = (margin..width.saturating_sub(margin)).map(through).collect();
    found.sort_by_key(|(cost, ..)| *cost);
    let mut kept: Vec<(u32, Seam)> = Vec::new();
    for (_, middle, seam) in found {
        let apart = |(other, _): &(u32, Seam)| other.abs_diff(middle) >= spacing;
        if kept.len() < MAX_SEAMS && kept.iter().all(apart) {
            kept.push((middle, seam));
        }
    }
    kept.sort_by_key(|(middle, _)| *middle);
    kept.into_iter().map(|(_, seam)| seam).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Luma;

    #[test]
    fn the_cheapest_seam_leads_where_two_rings_touch() {
        let ring = |x: u32, y: u32, middle: f32| {
            ((x as f32 - middle).hypot(y as f32 - 25.) - 18.).abs() < 3.
        };
        let bridge = |x: u32, y: u32| (40..52).contains(&x) && (24..27).contains(&y);
        let rings = GrayImage::from_fn(92, 50, |x, y| {
            let inked = ring(x, y, 23.) || ring(x, y, 68.) || bridge(x, y);
            Luma([if inked { 255 } else { 0 }])
        });
        let found = seams(&rings, 42);
        let at = |x: u32| found.iter().find(|seam| seam[25].abs_diff(x) < 3).unwrap();
        assert_eq!(strokes(at(45), &rings), 1);
        // Through a ring it is two strokes.
        assert_eq!(strokes(at(23), &rings), 2);
    }
}

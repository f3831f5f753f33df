//! Photographs and scans of handwriting → the digits on them, line by line.
//!
//! The paper is estimated and divided out, the page set upright, ruled lines are taken away, and
//! what hangs together is gathered into blobs: usually a digit each, sometimes several that touch.
//! For a wide blob there are several ways to cut it; which one is right is for the network to say,
//! in [`crate::reading`].

use std::collections::BTreeMap;

use image::imageops::{self, FilterType};
use image::{GrayImage, ImageBuffer, Luma};
use imageproc::contrast::otsu_level;
use imageproc::distance_transform::Norm;
use imageproc::filter::{gaussian_blur_f32, median_filter};
use imageproc::geometric_transformations::{Border, Interpolation, Projection, warp_into};
use imageproc::morphology::dilate;
use imageproc::region_labelling::{Connectivity, connected_components};
use serde::Serialize;

use crate::image::{Digit, Part, binary, darker, digit, parts};

/// Numbers of parts, 0 for none.
type Labels = ImageBuffer<Luma<u32>, Vec<u32>>;

/// Longest side, in pixels, at which writing is looked for; larger pictures are shrunk to it.
const WORKING_SIDE: u32 = 1600;
/// Ink, from 0 to 255, that writing must have at least.
const MIN_INK: u8 = 12;
/// Height in working pixels that a digit must have at least.
const MIN_HEIGHT: u32 = 10;
/// Cuts that are tried in a blob; joined-up writing would have hundreds.
const MAX_CUTS: usize = 48;
/// Tilts in degrees, either way, that are set right.
const MAX_TILT: f32 = 12.;

/// A place on the picture, in its own pixels once it is upright.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bounds {
    /// Distance from the left edge.
    pub x: u32,
    /// Distance from the upper edge.
    pub y: u32,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

/// What may be one digit: the part of a blob between two of its cuts.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Number of the cut that it begins at; 0 is the blob's left end.
    pub from: usize,
    /// Number of the cut that it ends at.
    pub to: usize,
    /// As the network sees it.
    pub digit: Digit,
    /// Where it is on the picture.
    pub bounds: Bounds,
    /// Where it is on the page that was looked at, set upright and shrunk.
    pub local: Bounds,
}

/// Ink that hangs together.
#[derive(Clone, Debug)]
pub struct Blob {
    /// How many strokes each cut goes through, from the blob's left end, through none, to its right.
    pub strokes: Vec<usize>,
    /// What lies between its cuts, in every combination that may be a digit.
    pub pieces: Vec<Piece>,
}

/// Finds the writing on a picture: its lines from top to bottom, the blobs of each from left to
/// right. A page with nothing written on it gives no lines.
pub fn find(grey: &GrayImage) -> Vec<Vec<Blob>> {
    let longest = grey.width().max(grey.height());
    if longest == 0 {
        return Vec::new();
    }
    let scale = (longest as f32 / WORKING_SIDE as f32).max(1.);
    let side = |side: u32| ((side as f32 / scale).round() as u32).max(1);
    let (width, height) = (side(grey.width()), side(grey.height()));
    let ink = match scale > 1. {
        true => ink(&imageops::thumbnail(grey, width, height)),
        false => ink(grey),
    };
    let Some((floor, threshold)) = levels(&ink) else { return Vec::new() };
    let tilt = tilt(&binary(&ink, threshold));
    let page = Page::new(ink, tilt, (floor, threshold), grey.dimensions(), scale);
    page.lines()
}

/// How much darker than the paper, or on dark ground lighter, each pixel is, 0 to 255.
fn ink(grey: &GrayImage) -> GrayImage {
    let (width, height) = grey.dimensions();
    // Around any pixel there is more paper than ink; a fifth of the size is window enough, and an
    // eighth of the resolution is enough for the paper's slow changes.
    let shrink = (width.max(height) / 200).max(1);
    let small = imageops::thumbnail(grey, width.div_ceil(shrink), height.div_ceil(shrink));
    let radius = (small.width().max(small.height()) / 10).max(2);
    let paper = median_filter(&small, radius, radius);
    let paper = gaussian_blur_f32(&paper, radius as f32 / 8.);
    let paper = imageops::resize(&paper, width, height, FilterType::Triangle);
    let inverted = |grey: &GrayImage| {
        let mut inverted = grey.clone();
        imageops::invert(&mut inverted);
        inverted
    };
    // Grain goes both ways, writing one; but only dark ground can be written on in light.
    let grain = grey.iter().zip(paper.iter()).map(|(&g, &p)| (f64::from(g) - f64::from(p)).powi(3));
    let dark = small.iter().map(|&g| u64::from(g)).sum::<u64>() < 140 * small.len() as u64;
    let ink = match dark && grain.sum::<f64>() > 0. {
        true => darker(&inverted(grey), &inverted(&paper)),
        false => darker(grey, &paper),
    };
    match width.max(height) {
        0..=400 => ink,
        _ => gaussian_blur_f32(&ink, 0.8),
    }
}

/// Up to which level ink is none, and above which it is writing: not paper, its grain, or whatever
/// is much fainter than the rest. Nothing where there is no ink at all.
fn levels(ink: &GrayImage) -> Option<(u8, u8)> {
    let mut histogram = [0u32; 256];
    ink.iter().for_each(|&ink| histogram[usize::from(ink)] += 1);
    let quantile = |share: f64| {
        let mut rest = (f64::from(ink.width() * ink.height()) * share) as i64;
        histogram.iter().position(|&count| {
            rest -= i64::from(count);
            rest < 0
        })
    };
    // Writing covers a third of a page at most; the rest tells how much grain the paper has.
    let (middle, upper) = (quantile(0.5)?, quantile(0.65)?);
    let floor = (middle + 6 * (upper - middle)).max(usize::from(MIN_INK)) as u8;
    let mut above: Vec<u8> = ink.iter().copied().filter(|&ink| ink > floor).collect();
    above.sort_unstable();
    let dark = *above.get(above.len() * 19 / 20)?;
    let strip = GrayImage::from_raw(above.len() as u32, 1, above)?;
    Some((floor, otsu_level(&strip).max(floor).min(floor + (dark - floor) / 10 * 3)))
}

/// The angle in degrees at which the rows of ink are most distinct: that of ruled lines, else of
/// lines of writing.
fn tilt(mask: &GrayImage) -> f32 {
    let labels = connected_components(mask, Connectivity::Eight, Luma([0]));
    let large = |part: &&Part| part.size() >= MIN_HEIGHT;
    if parts(&labels, mask, mask).iter().filter(large).count() < 4 {
        return 0.; // too little to tell
    }
    let inked = mask.enumerate_pixels().filter(|(.., ink)| ink.0[0] > 0);
    let points: Vec<(f32, f32)> = inked.map(|(x, y, _)| (x as f32, y as f32)).collect();
    let step = points.len().div_ceil(20_000).max(1);
    let distinctness = |degrees: f32| {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let mut rows: BTreeMap<i32, u64> = BTreeMap::new();
        for (x, y) in points.iter().step_by(step) {
            *rows.entry(((y * cos - x * sin) / 2.) as i32).or_default() += 1;
        }
        rows.values().map(|count| count * count).sum::<u64>() as f64
    };
    let best = |around: f32, step: f32, steps: i32| {
        let angles = (-steps..=steps).map(|at| around + at as f32 * step);
        angles.max_by(|a, b| distinctness(*a).total_cmp(&distinctness(*b))).unwrap_or(0.)
    };
    let found = best(best(0., 0.5, (MAX_TILT * 2.) as i32), 0.1, 4);
    if distinctness(found) > 1.1 * distinctness(0.) { found } else { 0. }
}

/// A page set upright.
struct Page {
    ink: GrayImage,
    mask: GrayImage,
    /// Ink up to here is paper.
    floor: u8,
    /// From a place here to the place on the picture.
    back: Projection,
    scale: f32,
    picture: (u32, u32),
}

impl Page {
    fn new(
        ink: GrayImage,
        tilt: f32,
        (floor, threshold): (u8, u8),
        picture: (u32, u32),
        scale: f32,
    ) -> Page {
        let (width, height) = (ink.width() as f32, ink.height() as f32);
        let mut page = Page {
            ink,
            mask: GrayImage::default(),
            floor,
            back: Projection::scale(1., 1.),
            scale,
            picture,
        };
        if tilt != 0. {
            let angle = tilt.to_radians();
            let (sin, cos) = (angle.sin().abs(), angle.cos());
            let (wide, high) = (width * cos + height * sin, height * cos + width * sin);
            let upright = Projection::translate(wide / 2., high / 2.)
                * Projection::rotate(-angle)
                * Projection::translate(-width / 2., -height / 2.);
            let mut turned = GrayImage::new(wide as u32, high as u32);
            let border = Border::Constant(Luma([0]));
            warp_into(&page.ink, upright, Interpolation::Bilinear, border, &mut turned);
            page.ink = turned;
            page.back = upright.invert();
        }
        page.mask = binary(&page.ink, threshold);
        page.erase_ruled_lines(&binary(&page.ink, floor + (threshold - floor) / 3));
        page
    }

    /// Takes away thin lines across half the page or more, but not what is written over them.
    fn erase_ruled_lines(&mut self, faint: &GrayImage) {
        for vertical in [false, true] {
            let turned = if vertical { imageops::rotate90(faint) } else { faint.clone() };
            for (x, top, bottom) in ruled(&turned) {
                for y in top..=bottom {
                    // rotate90 has taken (x, y) to (height - 1 - y, x).
                    let (x, y) = if vertical { (y, self.mask.height() - 1 - x) } else { (x, y) };
                    self.mask.put_pixel(x, y, Luma([0]));
                    self.ink.put_pixel(x, y, Luma([0]));
                }
            }
        }
    }

    fn lines(&self) -> Vec<Vec<Blob>> {
        let labels = connected_components(&self.mask, Connectivity::Eight, Luma([0]));
        let found = parts(&labels, &self.mask, &self.ink);
        let Some(height) = digit_height(&found) else { return Vec::new() };
        // Only for labelling: joins broken strokes.
        let near = (height as f32 * 0.06).round() as u8;
        let joined = dilate(&self.mask, Norm::LInf, near);
        let labels = connected_components(&joined, Connectivity::Eight, Luma([0]));
        let found = parts(&labels, &self.mask, &self.ink);
        let Some(height) = digit_height(&found) else { return Vec::new() };

        let mut groups = gather(&found, height);
        let strength = |part: &Part| part.weight / part.pixels as f32;
        let mut strengths: Vec<f32> = groups.iter().map(|(part, _)| strength(part)).collect();
        strengths.sort_by(f32::total_cmp);
        let usual = strengths.get(strengths.len() / 2).copied().unwrap_or(0.);
        groups.retain(|(part, _)| {
            let (wide, high) = (part.width(), part.height());
            high * 5 >= height * 2
                && high <= height * 3
                && wide <= height * 8
                && wide <= high * 6
                && strength(part) > 0.4 * usual
        });
        let cut_off = |part: &Part| part.is_cut_off(self.mask.dimensions());
        if groups.iter().any(|(part, _)| !cut_off(part)) {
            groups.retain(|(part, _)| !cut_off(part));
        }
        let blob = |(part, members): &(Part, Vec<usize>)| self.blob(part, members, &labels, height);
        in_lines(groups).iter().map(|line| line.iter().map(blob).collect()).collect()
    }

    /// Cuts the blob of the parts `members` in every way that may give digits.
    fn blob(&self, part: &Part, members: &[usize], labels: &Labels, height: u32) -> Blob {
        const MARGIN: u32 = 3;
        let left = part.left.saturating_sub(MARGIN);
        let top = part.top.saturating_sub(MARGIN);
        let right = (part.right + MARGIN).min(self.ink.width() - 1);
        let bottom = (part.bottom + MARGIN).min(self.ink.height() - 1);
        let own = GrayImage::from_fn(right - left + 1, bottom - top + 1, |x, y| {
            let member = members.contains(&(labels.get_pixel(left + x, top + y).0[0] as usize));
            Luma([if member && self.mask.get_pixel(left + x, top + y).0[0] > 0 { 255 } else { 0 }])
        });
        let mut inked: Vec<u8> = own
            .enumerate_pixels()
            .filter(|(.., own)| own.0[0] > 0)
            .map(|(x, y, _)| self.ink.get_pixel(left + x, top + y).0[0])
            .collect();
        inked.sort_unstable();
        let full = f32::from(inked[(inked.len() - 1) * 9 / 10]);
        let floor = f32::from(self.floor);
        let around = dilate(&own, Norm::LInf, 2); // soft edges lie outside the mask
        let ink = GrayImage::from_fn(own.width(), own.height(), |x, y| {
            let ink = f32::from(self.ink.get_pixel(left + x, top + y).0[0]) - floor;
            let inside = around.get_pixel(x, y).0[0] > 0;
            Luma([if inside { (255. * ink / (full - floor)).round() as u8 } else { 0 }])
        });

        let mut ways = match part.width() * 4 > part.height() * 3 && part.width() * 5 > height * 3 {
            true => seams(&ink, height),
            false => Vec::new(),
        };
        let crossed = |way: &Vec<u32>| {
            let inked: Vec<bool> = way
                .iter()
                .enumerate()
                .map(|(y, &x)| ink.get_pixel(x, y as u32).0[0] > 100)
                .collect();
            inked.chunk_by(|a, b| a == b).filter(|run| run[0]).count()
        };
        let strokes = [0].into_iter().chain(ways.iter().map(crossed)).chain([0]).collect();
        ways.insert(0, vec![0; ink.height() as usize]);
        ways.push(vec![ink.width(); ink.height() as usize]);
        let range = |way: &Vec<u32>| {
            way.iter().fold((u32::MAX, 0), |(least, most), &x| (least.min(x), most.max(x)))
        };
        let ranges: Vec<(u32, u32)> = ways.iter().map(range).collect();
        let end = ways.len() - 1;
        let mut pieces = Vec::new();
        for (from, to) in (0..end).flat_map(|from| (from + 1..=end).map(move |to| (from, to))) {
            let whole = from == 0 && to == end;
            // The columns that it reaches over; those that are its own in every row are fewer.
            let ((start, inner), (outer, stop)) = (ranges[from], ranges[to]);
            if !whole && outer.saturating_sub(inner) > height * 3 / 2 + 2 * MARGIN {
                continue; // joined-up writing has thousands: not worth a closer look
            }
            let within =
                |x: u32, y: u32| (ways[from][y as usize]..ways[to][y as usize]).contains(&x);
            let places: Vec<(u32, u32)> = (0..own.height())
                .flat_map(|y| (start..stop).map(move |x| (x, y)))
                .filter(|&(x, y)| own.get_pixel(x, y).0[0] > 0 && within(x, y))
                .map(|(x, y)| (left + x, top + y))
                .collect();
            let Some(local) = extent(places.iter().copied()) else { continue };
            if !whole && (local.height * 2 < height || local.width * 2 > height * 3) {
                continue;
            }
            let bounds = extent(places.iter().map(|&at| self.on_picture(at)));
            let Some(bounds) = bounds else { continue };
            let piece = GrayImage::from_fn(stop - start, ink.height(), |x, y| {
                if within(start + x, y) { *ink.get_pixel(start + x, y) } else { Luma([0]) }
            });
            if let Some(digit) = digit(&piece) {
                pieces.push(Piece { from, to, digit, bounds, local });
            }
        }
        Blob { strokes, pieces }
    }

    /// The pixel of the picture that one of this page came from.
    fn on_picture(&self, (x, y): (u32, u32)) -> (u32, u32) {
        let (x, y) = self.back * (x as f32 + 0.5, y as f32 + 0.5);
        let place = |at: f32, side: u32| ((at * self.scale) as u32).min(side - 1);
        (place(x, self.picture.0), place(y, self.picture.1))
    }
}

/// The box around some places.
fn extent(places: impl Iterator<Item = (u32, u32)>) -> Option<Bounds> {
    let corners = |(l, t, r, b): (u32, u32, u32, u32), (x, y): (u32, u32)| {
        (l.min(x), t.min(y), r.max(x), b.max(y))
    };
    let (left, top, right, bottom) = places.fold((u32::MAX, u32::MAX, 0, 0), corners);
    (left <= right).then(|| Bounds {
        x: left,
        y: top,
        width: right - left + 1,
        height: bottom - top + 1,
    })
}

/// Ways from top to bottom through the least ink, each the x of every row: where touching digits
/// may be cut apart.
fn seams(ink: &GrayImage, height: u32) -> Vec<Vec<u32>> {
    let (width, rows) = ink.dimensions();
    let (margin, sway) = ((height / 6).max(3), (height / 5).max(2));
    let seam = |middle: u32| {
        let (first, last) = (middle.saturating_sub(sway), (middle + sway).min(width - 1));
        let band = (last - first + 1) as usize;
        let mut costs = vec![0u32; band];
        let mut steps: Vec<Vec<usize>> = Vec::new();
        for y in 0..rows {
            let (mut next, mut from) = (Vec::with_capacity(band), Vec::with_capacity(band));
            for at in 0..band {
                let nearby = at.saturating_sub(1)..=(at + 1).min(band - 1);
                // A slanted step is longer.
                let cost = |&other: &usize| costs[other] + if other == at { 0 } else { 20 };
                let best = nearby.min_by_key(cost).unwrap_or(at);
                let x = first + at as u32;
                next.push(
                    cost(&best) + u32::from(ink.get_pixel(x, y).0[0]) + 2 * x.abs_diff(middle),
                );
                from.push(best);
            }
            costs = next;
            steps.push(from);
        }
        let mut at = (0..band).min_by_key(|&at| costs[at]).unwrap_or(0);
        let cost = costs[at];
        let mut way = vec![0; rows as usize];
        for y in (0..rows as usize).rev() {
            way[y] = first + at as u32;
            at = steps[y][at];
        }
        (cost, middle, way)
    };
    let mut found: Vec<_> = (margin..width.saturating_sub(margin)).map(seam).collect();
    found.sort_by_key(|(cost, ..)| *cost);
    let mut kept: Vec<(u32, Vec<u32>)> = Vec::new();
    for (_, middle, way) in found {
        let apart = |(other, _): &(u32, Vec<u32>)| other.abs_diff(middle) >= (height / 16).max(2);
        if kept.len() < MAX_CUTS && kept.iter().all(apart) {
            kept.push((middle, way));
        }
    }
    kept.sort_by_key(|(middle, _)| *middle);
    kept.into_iter().map(|(_, way)| way).collect()
}

/// The columns of ruled lines: x, and the first and last y of what is to be erased there.
fn ruled(mask: &GrayImage) -> Vec<(u32, u32, u32)> {
    let (width, height) = mask.dimensions();
    let least = (width / 40).max(8);
    let mut long = GrayImage::new(width, height);
    for y in 0..height {
        let mut start = 0;
        for x in 0..=width {
            if x == width || mask.get_pixel(x, y).0[0] == 0 {
                if x - start >= least {
                    (start..x).for_each(|x| long.put_pixel(x, y, Luma([255])));
                }
                start = x + 1;
            }
        }
    }
    let joined = dilate(&long, Norm::LInf, 2);
    let labels = connected_components(&joined, Connectivity::Eight, Luma([0]));
    let lines: Vec<bool> = parts(&labels, &long, &long)
        .iter()
        .map(|part| 2 * part.width() >= width && part.pixels <= part.width() * (width / 130).max(3))
        .collect();
    let mut runs: BTreeMap<usize, Vec<(u32, u32, u32)>> = BTreeMap::new();
    for x in 0..width {
        let mut below = 0;
        for y in 0..height {
            let label = labels.get_pixel(x, y).0[0] as usize;
            if y < below || long.get_pixel(x, y).0[0] == 0 || !lines[label - 1] {
                continue;
            }
            let inked = |y: &u32| mask.get_pixel(x, *y).0[0] > 0;
            let top = (0..=y).rev().take_while(inked).last().unwrap_or(y);
            let bottom = (y..height).take_while(inked).last().unwrap_or(y);
            runs.entry(label).or_default().push((x, top, bottom));
            below = bottom + 1;
        }
    }
    let mut thin = Vec::new();
    for runs in runs.into_values() {
        let usual = lower_median(runs.iter().map(|(_, top, bottom)| bottom - top + 1).collect());
        thin.extend(runs.into_iter().filter(|(_, top, bottom)| bottom - top < usual + 2));
    }
    thin
}

/// The usual height of what may be digits, each counted by its ink.
fn digit_height(found: &[Part]) -> Option<u32> {
    let mut heights: Vec<(u32, u32)> = found
        .iter()
        .filter(|part| part.height() >= MIN_HEIGHT && part.width() < part.height() * 6)
        .map(|part| (part.height(), part.pixels))
        .collect();
    heights.sort_unstable();
    let half = heights.iter().map(|(_, pixels)| pixels).sum::<u32>() / 2;
    let mut sum = 0;
    heights.into_iter().find_map(|(height, pixels)| {
        sum += pixels;
        (sum > half).then_some(height)
    })
}

/// Puts the strokes of a digit together that do not touch, as the top of a 5 and its body: each
/// group with the numbers of its parts.
fn gather(found: &[Part], height: u32) -> Vec<(Part, Vec<usize>)> {
    let mut groups: Vec<(Part, Vec<usize>)> = found
        .iter()
        .enumerate()
        .filter(|(_, part)| part.pixels > 0 && part.size() * 8 >= height)
        .map(|(index, part)| (part.clone(), vec![index + 1]))
        .collect();
    let belong = |a: &Part, b: &Part| {
        let union = a.union(b);
        let small = a.pixels.min(b.pixels);
        let overlap = (a.right.min(b.right) + 1).saturating_sub(a.left.max(b.left));
        let above = overlap * 2 > a.width().min(b.width())
            && a.gap(b) * 4 <= height
            && union.height() * 2 <= height * 3;
        let beside = small * 4 < a.pixels.max(b.pixels)
            && a.gap(b) * 8 <= height
            && union.width() * 10 <= height * 13
            && union.height() * 10 <= height * 13;
        small * 50 >= a.pixels.max(b.pixels) && (above || beside)
    };
    let mut at = 0;
    while at < groups.len() {
        match (at + 1..groups.len()).find(|&other| belong(&groups[at].0, &groups[other].0)) {
            Some(other) => {
                let (part, members) = groups.swap_remove(other);
                groups[at].0 = groups[at].0.union(&part);
                groups[at].1.extend(members);
                // Of those before, none belonged to any other; to this one, as it is now, one may.
                at = (0..at).find(|&one| belong(&groups[one].0, &groups[at].0)).unwrap_or(at);
            }
            None => at += 1,
        }
    }
    groups
}

/// Sorts into lines: each group, from left to right, goes on with the line whose last one it is
/// most level with.
fn in_lines(mut groups: Vec<(Part, Vec<usize>)>) -> Vec<Vec<(Part, Vec<usize>)>> {
    groups.sort_by_key(|(part, _)| part.left + part.right);
    let mut lines: Vec<Vec<(Part, Vec<usize>)>> = Vec::new();
    for group in groups {
        let level = |line: &Vec<(Part, Vec<usize>)>| {
            let (last, own) = (&line[line.len() - 1].0, &group.0);
            let common = (last.bottom.min(own.bottom) + 1).saturating_sub(last.top.max(own.top));
            f64::from(common) / f64::from(last.height().min(own.height()))
        };
        let best = (0..lines.len()).max_by(|&a, &b| level(&lines[a]).total_cmp(&level(&lines[b])));
        match best.filter(|&line| level(&lines[line]) > 0.35) {
            Some(line) => lines[line].push(group),
            None => lines.push(vec![group]),
        }
    }
    let height = |line: &[(Part, Vec<usize>)]| {
        let sum: u32 = line.iter().map(|(part, _)| part.top + part.bottom).sum();
        f64::from(sum) / line.len() as f64
    };
    lines.sort_by(|a, b| height(a).total_cmp(&height(b)));
    lines
}

/// The median, of an even number the lower of the two, or 0 of none.
pub fn lower_median(mut values: Vec<u32>) -> u32 {
    values.sort_unstable();
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(0)
}

//! Paper that lies on a desk: found by its outline, a bright quadrilateral with straight sides, and
//! set straight. Where there is no clear one, the image is taken as it is.
//!
//! Straight lines are found by the Hough transform, and kept where it is brighter on one side of
//! them. Four that enclose enough of the image and are such edges along their whole length are the
//! sides of the paper; up to two of them may be edges of the image.

use std::cmp::Reverse;

use image::{GrayImage, imageops};
use imageproc::edges::canny;
use imageproc::geometric_transformations::Projection;
use imageproc::hough::{LineDetectionOptions, detect_lines};

use crate::ink::{closing, contrasts, shrunk};

// Chosen on drawn pages, in the tests and in `tests/sheets`, unless said otherwise.
/// Longest side, in pixels, at which the outline is looked for; the least one of an image.
const SEARCH_SIDE: u32 = 320;
const MIN_SIDE: u32 = 160;
/// Radius, in pixels, of strokes, lines and grain that are removed before.
const STROKE_RADIUS: u32 = 3;
/// Gradients of edges, as Canny's thresholds.
const EDGE: (f32, f32) = (15., 35.);
/// Least share of the longest side that a line has, and the part of it that is an edge of paper.
const MIN_EDGE: f32 = 0.16;
/// Lines that are tried as one side of the paper: those that are an edge along most of the way.
const TRIED: usize = 12;
/// Distances, in pixels, from a side at which the paper and the desk are compared, as far as the
/// image goes: a frame drawn on paper is narrower.
const COMPARED_AT: [f32; 3] = [3., 7., 14.];
/// Grey that the desk must be darker by than the paper.
const DARKER: f32 = 6.;
/// Share of the paper's brightness that the desk must be darker by, and of a side's length along
/// which it must be so: with all four sides in view, and where the image's edge stands for one or
/// two of them. Of folds and shadows, too, some lie between such edges.
const WHOLE: (f32, f32) = (0.07, 0.7);
const CUT_OFF: (f32, f32) = (0.18, 0.93);
/// Share of the difference at some distance that must be there close to the side: shadows are soft.
const SHARP_SIDE: f32 = 0.5;
/// Share of the image that the paper has at least.
const MIN_AREA: f32 = 0.15;
/// Degrees by which opposite sides may differ, and those that meet, from a right angle.
const MAX_ANGLES: (f32, f32) = (40., 35.);
/// Share of the paper's sides that is left out all round: its edge, curled or in its own shadow.
const INSET: f32 = 0.02;

/// A side of what may be paper.
struct Edge {
    /// A point on it, and the direction along it, to the right of which is the paper (y goes down).
    origin: (f32, f32),
    along: (f32, f32),
    /// How many steps of a pixel, up to each along it, are edges of paper, as [`WHOLE`] and as
    /// [`CUT_OFF`] ask for; none for an edge of the image.
    found: Option<Vec<(u32, u32)>>,
}

impl Edge {
    /// In degrees.
    fn angle(&self) -> f32 {
        self.along.1.atan2(self.along.0).to_degrees()
    }

    fn meets(&self, other: &Edge) -> Option<(f32, f32)> {
        let cross = |a: (f32, f32), b: (f32, f32)| a.0 * b.1 - a.1 * b.0;
        let from = (other.origin.0 - self.origin.0, other.origin.1 - self.origin.1);
        let sine = cross(self.along, other.along);
        let steps = cross(from, other.along) / sine;
        (sine.abs() > 0.1).then(|| self.at(steps))
    }

    fn at(&self, steps: f32) -> (f32, f32) {
        (self.origin.0 + steps * self.along.0, self.origin.1 + steps * self.along.1)
    }

    /// The share of the way from one place on it to another that is an edge of paper: as [`WHOLE`]
    /// asks for, and as [`CUT_OFF`] does.
    fn support(&self, from: (f32, f32), to: (f32, f32)) -> (f32, f32) {
        let Some(found) = &self.found else { return (1., 1.) };
        let step = |place: (f32, f32)| {
            (place.0 - self.origin.0) * self.along.0 + (place.1 - self.origin.1) * self.along.1
        };
        let (from, to) = (step(from), step(to));
        if to <= from {
            return (0., 0.);
        }
        let count = |step: f32| found[(step.max(0.) as usize).min(found.len() - 1)];
        let (before, after, steps) = (count(from), count(to), (to - from).max(1.));
        ((after.0 - before.0) as f32 / steps, (after.1 - before.1) as f32 / steps)
    }
}

/// What takes a place on the image to one on the paper, and the paper's size; none where no paper
/// is seen with a desk around it.
pub(super) fn find(grey: &GrayImage) -> Option<(Projection, (u32, u32))> {
    if grey.width().min(grey.height()) < MIN_SIDE {
        return None;
    }
    let small = smooth(&shrunk(grey, SEARCH_SIDE));
    if !may_have_desk(&small) {
        return None;
    }
    let (width, height) = (small.width() as f32, small.height() as f32);
    let [tops, rights, bottoms, lefts] = &edges(&small);
    let sideways = pairs(rights, lefts);
    let mut best: Option<(f32, [(f32, f32); 4])> = None;
    for (top, bottom) in pairs(tops, bottoms) {
        for &(right, left) in &sideways {
            if apart(top.angle() + 90., right.angle()) > MAX_ANGLES.1 {
                continue;
            }
            let sides = [top, right, bottom, left];
            let Some(corners) = corners(sides, (width, height)) else { continue };
            let area = area(&corners) / (width * height);
            if area < MIN_AREA || best.is_some_and(|(score, _)| score >= area) {
                continue;
            }
            let support = (0..4).map(|at| sides[at].support(corners[at], corners[(at + 1) % 4]));
            let is_whole = sides.iter().all(|side| side.found.is_some());
            let support = support.map(|(whole, cut)| if is_whole { whole } else { cut });
            let support = support.fold(1., f32::min);
            let score = area * support.powi(4);
            let least = if is_whole { WHOLE.1 } else { CUT_OFF.1 };
            if support >= least && best.is_none_or(|(other, _)| score > other) {
                best = Some((score, corners));
            }
        }
    }
    let scale = grey.width() as f32 / width;
    straightened(best?.1.map(|(x, y)| (x * scale, y * scale)))
}

/// Without strokes, lines and fine grain.
fn smooth(small: &GrayImage) -> GrayImage {
    let mut closed = closing(small, STROKE_RADIUS);
    imageops::invert(&mut closed);
    let mut opened = closing(&closed, STROKE_RADIUS);
    imageops::invert(&mut opened);
    opened
}

/// Whether the image's edge is somewhere darker than its lightest part, as a desk is: else there
/// is no need to look for paper, which takes long.
fn may_have_desk(small: &GrayImage) -> bool {
    let (right, bottom) = (small.width() - 1, small.height() - 1);
    let is_border = |x: u32, y: u32| x == 0 || y == 0 || x == right || y == bottom;
    let border = small.enumerate_pixels().filter(|(x, y, _)| is_border(*x, *y));
    let darkest = border.map(|(.., grey)| grey.0[0]).min().unwrap_or(0);
    let lightest = small.iter().copied().max().unwrap_or(0);
    f32::from(darkest) <= (1. - WHOLE.0) * f32::from(lightest)
}

/// The lines that may be the upper side of paper, the right, lower and left one, each with the
/// image's edge. The upper one goes right, the right one down.
fn edges(small: &GrayImage) -> [Vec<Edge>; 4] {
    let (width, height) = (small.width() as f32, small.height() as f32);
    let least = (MIN_EDGE * width.max(height)) as u32;
    let options = LineDetectionOptions { vote_threshold: least, suppression_radius: 3 };
    let reach = width.hypot(height);
    let mut sides = [const { Vec::new() }; 4];
    // Most of the time is Canny's. It is spared where too few pixels have both paper and desk beside
    // them (one more pixel away at most, by rounding) for a long line, with two steps at a pixel.
    let contrasts = contrasts(small, COMPARED_AT[0] as u32 + 1);
    let contrasting = contrasts.filter(|&by| f32::from(by) >= DARKER).count();
    let canny = (2 * contrasting >= least as usize).then(|| canny(small, EDGE.0, EDGE.1));
    for line in canny.iter().flat_map(|edges| detect_lines(edges, options)) {
        let (sin, cos) = (line.angle_in_degrees as f32).to_radians().sin_cos();
        for sign in [1., -1.] {
            let along = (-sin * sign, cos * sign);
            let foot = (line.r * cos, line.r * sin);
            let origin = (foot.0 - reach * along.0, foot.1 - reach * along.1);
            let mut edge = Edge { origin, along, found: None };
            let (mut whole, mut cut) = (0, 0);
            let step = |step: usize| {
                let darker = darker(small, edge.at(step as f32), along);
                whole += u32::from(darker >= WHOLE.0);
                cut += u32::from(darker >= CUT_OFF.0);
                (whole, cut)
            };
            edge.found = Some((0..2 * reach as usize).map(step).collect());
            if whole >= least {
                let side = (edge.angle() / 90.).round().rem_euclid(4.) as usize;
                sides[side].push((whole, edge));
            }
        }
    }
    let corners = [(0., 0.), (width - 1., 0.), (width - 1., height - 1.), (0., height - 1.)];
    let along = [(1., 0.), (0., 1.), (-1., 0.), (0., -1.)];
    let mut borders = corners.into_iter().zip(along);
    sides.map(|mut side| {
        side.sort_by_key(|(count, _)| Reverse(*count));
        let lines = side.into_iter().take(TRIED).map(|(_, edge)| edge);
        let border = borders.next().map(|(origin, along)| Edge { origin, along, found: None });
        lines.chain(border).collect()
    })
}

/// Those that may be opposite sides of the same paper.
fn pairs<'a>(ones: &'a [Edge], others: &'a [Edge]) -> Vec<(&'a Edge, &'a Edge)> {
    let pairs = ones.iter().flat_map(|one| others.iter().map(move |other| (one, other)));
    let may_be = |(one, other): &(&Edge, &Edge)| {
        apart(one.angle(), other.angle() + 180.) <= MAX_ANGLES.0
            && (one.found.is_some() || other.found.is_some())
    };
    pairs.filter(may_be).collect()
}

/// Between directions, in degrees.
fn apart(one: f32, other: f32) -> f32 {
    ((one - other + 540.).rem_euclid(360.) - 180.).abs()
}

/// By what share of its brightness it is darker to the left of a place than to its right, near and
/// farther away; 0 where that is not clear or not sharp.
fn darker(small: &GrayImage, (x, y): (f32, f32), (along, down): (f32, f32)) -> f32 {
    let grey = |away: f32| {
        let (x, y) = ((x - away * down).round(), (y + away * along).round());
        let inside = x >= 0. && y >= 0. && x < small.width() as f32 && y < small.height() as f32;
        inside.then(|| f32::from(small.get_pixel(x as u32, y as u32).0[0]))
    };
    let (mut least, mut close) = (1_f32, None);
    for away in COMPARED_AT {
        let (Some(paper), Some(desk)) = (grey(away), grey(-away)) else { break };
        let by = paper - desk;
        if by < DARKER || *close.get_or_insert(by) < SHARP_SIDE * by {
            return 0.;
        }
        least = least.min(by / paper);
    }
    if close.is_some() { least } else { 0. }
}

/// The corners between sides, the upper left one first, if all are within an image of this size.
fn corners(sides: [&Edge; 4], (width, height): (f32, f32)) -> Option<[(f32, f32); 4]> {
    let [top, right, bottom, left] = sides;
    let corners = [left.meets(top)?, top.meets(right)?, right.meets(bottom)?, bottom.meets(left)?];
    let inside =
        |(x, y): (f32, f32)| (-2. ..width + 2.).contains(&x) && (-2. ..height + 2.).contains(&y);
    corners.into_iter().all(inside).then_some(corners)
}

/// Of a polygon whose corners go round to the right; below 0 where they go to the left.
fn area(corners: &[(f32, f32); 4]) -> f32 {
    let cross = |at: usize| {
        let (a, b) = (corners[at], corners[(at + 1) % 4]);
        a.0 * b.1 - a.1 * b.0
    };
    (0..4).map(cross).sum::<f32>() / 2.
}

/// What makes a rectangle of these corners but for a margin, and its size.
fn straightened(corners: [(f32, f32); 4]) -> Option<(Projection, (u32, u32))> {
    let length =
        |a: usize, b: usize| (corners[a].0 - corners[b].0).hypot(corners[a].1 - corners[b].1);
    let (wide, high) = ((length(0, 1) + length(2, 3)) / 2., (length(0, 3) + length(1, 2)) / 2.);
    let margin = INSET * wide.min(high);
    let (left, top) = (-margin, -margin);
    let (right, bottom) = (wide - margin, high - margin);
    let to = [(left, top), (right, top), (right, bottom), (left, bottom)];
    let size = ((wide - 2. * margin) as u32, (high - 2. * margin) as u32);
    Some((Projection::from_control_points(corners, to)?, size))
}

#[cfg(test)]
mod tests;

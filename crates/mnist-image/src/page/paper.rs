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
mod tests {
    use image::Luma;

    use super::*;

    /// An image of 600×440 with a desk and, in these corners, paper with writing and a table on it.
    fn image(corners: [(f32, f32); 4], desk: impl Fn(f32, f32) -> f32, dim: bool) -> GrayImage {
        GrayImage::from_fn(600, 440, |x, y| {
            let (x, y) = (x as f32, y as f32);
            let inside = |at: usize| {
                let (a, b) = (corners[at], corners[(at + 1) % 4]);
                (b.0 - a.0) * (y - a.1) - (b.1 - a.1) * (x - a.0)
            };
            let written = (220. ..380.).contains(&x)
                && (160. ..280.).contains(&y)
                && (x % 40. < 3. || y % 30. < 3.);
            let grey = match (0..4).all(|at| inside(at) > 0.) {
                true if written => 60.,
                true => 225.,
                false => desk(x, y),
            };
            let shadow = 1. - 0.4 / (1. + (-(x + y - 480.) / 12.).exp());
            Luma([(grey * if dim { shadow } else { 1. }) as u8])
        })
    }

    const UPRIGHT: [(f32, f32); 4] = [(90., 70.), (510., 70.), (510., 370.), (90., 370.)];
    const TURNED: [(f32, f32); 4] = [(150., 50.), (540., 150.), (470., 400.), (80., 290.)];
    const PERSPECTIVE: [(f32, f32); 4] = [(150., 80.), (450., 90.), (540., 380.), (60., 370.)];

    fn dark(_: f32, _: f32) -> f32 {
        100.
    }

    /// Light wood: 3/4 as bright as the paper, in stripes.
    fn wood(x: f32, y: f32) -> f32 {
        165. + 15. * ((y + 8. * (x / 90.).sin()) / 6.).sin()
    }

    /// How far the corners of what is found are from the margin within these, at most.
    fn error(grey: &GrayImage, corners: [(f32, f32); 4]) -> Option<f32> {
        let (to_paper, (wide, high)) = find(grey)?;
        let margin = INSET * wide.min(high) as f32;
        let (right, bottom) = (wide as f32 + margin, high as f32 + margin);
        let expected = [(-margin, -margin), (right, -margin), (right, bottom), (-margin, bottom)];
        let away = corners.iter().zip(expected).map(|(&corner, (x, y))| {
            let found = to_paper * corner;
            (found.0 - x).hypot(found.1 - y)
        });
        away.reduce(f32::max)
    }

    #[test]
    fn paper_on_a_desk_is_found_and_set_straight() {
        for (name, corners) in
            [("upright", UPRIGHT), ("turned", TURNED), ("in perspective", PERSPECTIVE)]
        {
            for dim in [false, true] {
                let errors = [
                    error(&image(corners, dark, dim), corners),
                    error(&image(corners, wood, dim), corners),
                ];
                for found in errors {
                    assert!(found.is_some_and(|error| error < 12.), "{name} {dim}: {found:?}");
                }
            }
        }
    }

    #[test]
    fn paper_may_reach_one_or_two_edges_of_the_image() {
        let one = [(-9., 70.), (510., 70.), (510., 370.), (-9., 370.)];
        let two = [(-9., -9.), (510., -9.), (510., 370.), (-9., 370.)];
        for (corners, seen) in [
            (one, [(0., 70.), (510., 70.), (510., 370.), (0., 370.)]),
            (two, [(0., 0.), (510., 0.), (510., 370.), (0., 370.)]),
        ] {
            let found = error(&image(corners, dark, false), seen);
            assert!(found.is_some_and(|error| error < 12.), "{found:?}");
        }
    }

    #[test]
    fn without_a_desk_there_is_nothing_to_be_set_straight() {
        let all = [(-9., -9.), (609., -9.), (609., 449.), (-9., 449.)];
        let plain = image(all, dark, false);
        let drawn = |paint: &dyn Fn(f32, f32) -> f32| {
            GrayImage::from_fn(600, 440, |x, y| Luma([paint(x as f32, y as f32) as u8]))
        };
        let vignette = |x: f32, y: f32| 230. - 150. * ((x - 300.).hypot(y - 220.) / 372.).powi(2);
        let frame = |x: f32, y: f32| {
            let away = ((x - 300.).abs() / 250.).max((y - 220.).abs() / 170.);
            if (0.96..1.).contains(&away) { 40. } else { 225. }
        };
        let bar = |x: u32, y: u32| (12..16).contains(&x) && (4..24).contains(&y);
        let bar = GrayImage::from_fn(28, 28, |x, y| Luma([255 * u8::from(bar(x, y))]));
        let digit = imageops::resize(&bar, 280, 280, imageops::FilterType::Triangle);
        // Folded twice: each quarter as bright as it lies to the light, dark lines between.
        let folded = |x: f32, y: f32| match ((x - 310.).abs() < 2., (y - 225.).abs() < 2.) {
            (false, false) => {
                225. * (1. - 0.1 * f32::from(x > 310.)) * (1. - 0.06 * f32::from(y > 225.))
            }
            _ => 170.,
        };
        let letter = |x: f32, y: f32| match y as u32 {
            148..152 | 292..296 => 160.,
            150..294 => 225. + 0. * x,
            _ => 200.,
        };
        let away = |x: f32, y: f32| (x - 300.).abs().max((y - 200.).abs() * 1.3) - 150.;
        let shaded = move |x: f32, y: f32| if away(x, y) < 0. { 120. } else { 225. };
        let beside = |x: f32, y: f32| if x > 420. && y > 150. { 120. } else { 225. };
        let across = |x: f32, _: f32| if x > 420. { 120. } else { 225. };
        // The shadow of two things far away, with a broad edge.
        let soft = |at: f32| 1. / (1. + (-at / 14.).exp());
        let angle = |x: f32, y: f32| 225. * (0.55 + 0.45 * soft(x - 120.) * soft(y - 100.));
        let table = |x: f32, y: f32| {
            let inside = (20. ..580.).contains(&x) && (15. ..425.).contains(&y);
            if inside && ((x - 20.) % 93. < 5. || (y - 15.) % 58. < 5.) { 40. } else { 225. }
        };
        let bold = |x: f32, y: f32| {
            let away = (280. - (x - 300.).abs()).min(205. - (y - 220.).abs());
            if (0. ..14.).contains(&away) { 30. } else { 225. }
        };
        // Filled, but for the digits' cells.
        let form = |x: f32, y: f32| {
            let cell = (x % 120. > 20.) && (y % 110. > 20.);
            if cell { 225. } else { 150. }
        };
        for (name, grey) in [
            ("a page", plain),
            ("a page in shadow", image(all, dark, true)),
            ("dark corners", drawn(&vignette)),
            ("a frame", drawn(&frame)),
            ("a bold frame", drawn(&bold)),
            ("a table", drawn(&table)),
            ("a form of filled cells", drawn(&form)),
            ("folds across each other", drawn(&folded)),
            ("folds as in a letter", drawn(&letter)),
            ("a shadow in the middle", drawn(&shaded)),
            ("a shadow in a corner", drawn(&beside)),
            ("a shadow along a side", drawn(&across)),
            ("a soft shadow along two sides", drawn(&angle)),
            ("a light 1", digit),
            ("a small image", GrayImage::new(28, 28)),
        ] {
            assert!(find(&grey).is_none(), "{name}");
        }
    }
}

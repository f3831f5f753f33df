//! Paper that lies on a desk: found by its outline, a bright quadrilateral with straight sides, and set
//! straight. Where there is no clear one, the image is taken as it is.
//!
//! Straight lines are found by the Hough transform, and kept where it is brighter on one side of them.
//! Four that enclose enough of the image and are such edges along their whole length are the sides of the
//! paper; up to two of them may be edges of the image.

use image::{GrayImage, imageops};
use imageproc::edges::canny;
use imageproc::geometric_transformations::Projection;
use imageproc::hough::{LineDetectionOptions, detect_lines};

use crate::ink::{closing, shrunk};

/// Longest side, in pixels, at which the outline is looked for, and that an image must have at least.
const SEARCH_SIDE: u32 = 320;
const MIN_SIDE: u32 = 160;
/// Radius, in pixels, of strokes, lines and grain that are removed before.
const STROKE_RADIUS: u32 = 3;
/// Gradients of edges, as Canny's thresholds.
const EDGE: (f32, f32) = (15., 35.);
/// Shares of the longest side that a line may have votes for: as long as there are not too many.
const VOTES: [f32; 6] = [0.7, 0.5, 0.4, 0.3, 0.22, 0.16];
const ENOUGH_LINES: usize = 60;
/// Distances, in pixels, from a side at which the paper and the desk are compared, as far as the image
/// goes: a frame drawn on paper is narrower.
const BESIDE: [f32; 3] = [3., 7., 14.];
/// Share of the paper's brightness, and grey, that the desk must be darker by.
const DARKER: (f32, f32) = (0.07, 6.);
/// Share of a side's length along which it must be darker; where sides are edges of the image, the
/// others must make up for them.
const MIN_SUPPORT: (f32, f32) = (0.8, 0.93);
/// Share of the image that the paper has at least.
const MIN_AREA: f32 = 0.12;
/// Degrees by which opposite sides may differ, and those that meet, from a right angle.
const MAX_SKEW: (f32, f32) = (40., 35.);
/// Share of the paper's sides that is left out all round: its edge, curled or in its own shadow.
const MARGIN: f32 = 0.02;

/// A side of what may be paper.
struct Edge {
    /// A point on it; the direction along it; towards the paper is to the right of that, as y goes down.
    origin: (f32, f32),
    along: (f32, f32),
    /// How many steps of a pixel, up to each along it, are edges of paper; none for an edge of the image.
    found: Option<Vec<u32>>,
}

impl Edge {
    /// In degrees.
    fn angle(&self) -> f32 {
        self.along.1.atan2(self.along.0).to_degrees()
    }

    /// Where it meets another.
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

    /// The share of the way from one place on it to another that is an edge of paper.
    fn support(&self, from: (f32, f32), to: (f32, f32)) -> f32 {
        let Some(found) = &self.found else { return 1. };
        let step = |place: (f32, f32)| {
            (place.0 - self.origin.0) * self.along.0 + (place.1 - self.origin.1) * self.along.1
        };
        let (from, to) = (step(from), step(to));
        let count = |step: f32| found[(step.max(0.) as usize).min(found.len() - 1)] as f32;
        (count(to) - count(from)) / (to - from).max(1.)
    }
}

/// What takes a place on the image to one on the paper, and the paper's size; none where no paper is
/// seen with a desk around it.
pub(super) fn find(grey: &GrayImage) -> Option<(Projection, (u32, u32))> {
    if grey.width().min(grey.height()) < MIN_SIDE {
        return None;
    }
    let small = smooth(&shrunk(grey, SEARCH_SIDE));
    let edges = edges(&small);
    let (width, height) = (small.width() as f32, small.height() as f32);
    let apart = |a: f32, b: f32| ((a - b + 540.).rem_euclid(360.) - 180.).abs();
    // The upper side goes right, the right one down.
    let pairs = |towards: f32| {
        let first = edges.iter().filter(move |edge| apart(edge.angle(), towards) <= 45.);
        let pairs = first.flat_map(|first| edges.iter().map(move |second| (first, second)));
        let pairs = pairs.filter(|(first, second)| {
            apart(first.angle(), second.angle() + 180.) <= MAX_SKEW.0
                && (first.found.is_some() || second.found.is_some())
        });
        pairs.collect::<Vec<_>>()
    };
    let sideways = pairs(90.);
    let mut best: Option<(f32, [(f32, f32); 4])> = None;
    for (top, bottom) in pairs(0.) {
        for &(right, left) in &sideways {
            if apart(top.angle() + 90., right.angle()) > MAX_SKEW.1 {
                continue;
            }
            let Some(corners) = corners([top, right, bottom, left], (width, height)) else {
                continue;
            };
            let sides = [top, right, bottom, left];
            let ends = |at: usize| (corners[at], corners[(at + 1) % 4]);
            let support = (0..4).map(|at| sides[at].support(ends(at).0, ends(at).1));
            let support = support.fold(1., f32::min);
            let whole = sides.iter().all(|side| side.found.is_some());
            let least = if whole { MIN_SUPPORT.0 } else { MIN_SUPPORT.1 };
            let area = area(&corners) / (width * height);
            let score = area * support.powi(4);
            if support >= least && area >= MIN_AREA && best.is_none_or(|(other, _)| score > other) {
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

/// All lines that may be sides of paper, and the edges of the image.
fn edges(small: &GrayImage) -> Vec<Edge> {
    let (width, height) = (small.width() as f32, small.height() as f32);
    let canny = canny(small, EDGE.0, EDGE.1);
    let mut lines = Vec::new();
    for share in VOTES {
        let votes = (share * width.max(height)) as u32;
        let options = LineDetectionOptions { vote_threshold: votes, suppression_radius: 3 };
        let more = detect_lines(&canny, options);
        if more.len() > ENOUGH_LINES {
            break;
        }
        lines = more;
    }
    let border = |origin, along| Edge { origin, along, found: None };
    let mut edges = vec![
        border((0., 0.), (1., 0.)),
        border((width - 1., 0.), (0., 1.)),
        border((width - 1., height - 1.), (-1., 0.)),
        border((0., height - 1.), (0., -1.)),
    ];
    let (reach, least) = (width.hypot(height), (VOTES[VOTES.len() - 1] * width.max(height)) as u32);
    for line in lines {
        let (sin, cos) = (line.angle_in_degrees as f32).to_radians().sin_cos();
        for sign in [1., -1.] {
            let along = (-sin * sign, cos * sign);
            let foot = (line.r * cos, line.r * sin);
            let origin = (foot.0 - reach * along.0, foot.1 - reach * along.1);
            let mut edge = Edge { origin, along, found: None };
            let mut count = 0;
            let step = |step: usize| {
                count += u32::from(is_edge(small, edge.at(step as f32), along));
                count
            };
            let found: Vec<u32> = (0..2 * reach as usize).map(step).collect();
            if count >= least {
                edge.found = Some(found);
                edges.push(edge);
            }
        }
    }
    edges
}

/// Whether it is brighter to the right of a place than to its left, near and farther away.
fn is_edge(small: &GrayImage, (x, y): (f32, f32), (along, down): (f32, f32)) -> bool {
    let grey = |away: f32| {
        let (x, y) = ((x - away * down).round(), (y + away * along).round());
        let inside = x >= 0. && y >= 0. && x < small.width() as f32 && y < small.height() as f32;
        inside.then(|| f32::from(small.get_pixel(x as u32, y as u32).0[0]))
    };
    BESIDE.into_iter().all(|away| match (grey(away), grey(-away)) {
        (Some(paper), Some(desk)) => paper - desk >= (DARKER.0 * paper).max(DARKER.1),
        _ => away > BESIDE[0],
    })
}

/// The corners between sides, the upper left one first, where they are within an image of this size.
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
    let margin = MARGIN * wide.min(high);
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
        let margin = MARGIN * wide.min(high) as f32;
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
        let digit = imageops::resize(
            &GrayImage::from_fn(28, 28, |x, y| {
                Luma([if (12..16).contains(&x) && (4..24).contains(&y) { 255 } else { 0 }])
            }),
            280,
            280,
            imageops::FilterType::Triangle,
        );
        for (name, grey) in [
            ("a page", plain),
            ("a page in shadow", image(all, dark, true)),
            ("dark corners", drawn(&vignette)),
            ("a frame", drawn(&frame)),
            ("a light 1", digit),
            ("a small image", GrayImage::new(28, 28)),
        ] {
            assert!(find(&grey).is_none(), "{name}");
        }
    }
}

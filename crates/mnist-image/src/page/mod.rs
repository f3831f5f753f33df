//! Photographs and scans of handwriting → the digits on them, line by line.
//!
//! Paper on a desk is found and set straight, the background divided out, the page set upright,
//! lines erased, and the strokes that touch or belong together are gathered into groups: usually a
//! digit each, sometimes several that touch. For these there are several ways to cut them apart, a
//! [`Lattice`]; which one is right is for a network to say.

mod dashes;
mod frames;
mod groups;
mod hysteresis;
mod lattice;
mod lines;
mod pale;
mod paper;
mod ruled_lines;
mod seams;
mod stacked;
mod tilt;
mod trace;

use image::{GrayImage, Luma};
use imageproc::geometric_transformations::{Border, Interpolation, Projection, warp_into};
use serde::Serialize;

pub use lattice::{Candidate, Lattice};

use crate::component::{self, Component, Labels, components};
use crate::ink::{Levels, SMALL_SIDE, binarise, dilated, ink};
use crate::resize::thumbnail;
pub(crate) use groups::Group;
use groups::{MIN_DIGIT_HEIGHT, digit_height, grain, groups};
use lines::in_lines;

/// Longest side, in pixels, at which writing is looked for; larger images are shrunk to it.
const PAGE_SIDE: u32 = 1600;
/// Share of the digits' height by which strokes are widened to be joined where they break.
const JOINED_GAP: f32 = 0.06;
/// Faint lines are darker than the paper by this part, 1/3, of what writing is.
const FAINT_PART: u8 = 3;

/// A place on an image, in its own pixels once it is upright.
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

impl Bounds {
    /// The box around some places.
    fn around(places: impl Iterator<Item = (u32, u32)>) -> Option<Bounds> {
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
}

/// Finds the writing on an image: its lines from top to bottom, and on each, from left to right,
/// digits, or several that touch. A page with nothing written on it gives no lines.
///
/// ```
/// use image::{GrayImage, Luma};
///
/// let mut page = GrayImage::from_pixel(300, 100, Luma([230]));
/// for x in [80, 150, 220] {
///     imageproc::drawing::draw_filled_rect_mut(
///         &mut page,
///         imageproc::rect::Rect::at(x, 30).of_size(5, 40),
///         Luma([40]),
///     );
/// }
/// let lines = mnist_image::page::find(&page);
/// assert_eq!(lines.len(), 1);
/// assert_eq!(lines[0].len(), 3);
/// assert!((79..=81).contains(&lines[0][0].candidates[0].bounds.x));
/// ```
pub fn find(grey: &GrayImage) -> Vec<Vec<Lattice>> {
    find_and_show(grey, &mut |_, _| ())
}

/// Like [`find`], but shows `see` each stage by its name: the `paper`, set straight, where one was
/// found on a desk; the `ink`, 0 to 255; the page set `upright` and binarised; and the same
/// `without-lines`, whose pixels the candidates' `local` bounds count.
pub fn find_and_show(
    grey: &GrayImage,
    see: &mut dyn FnMut(&'static str, &GrayImage),
) -> Vec<Vec<Lattice>> {
    let Some(page) = Page::new(grey, see) else { return Vec::new() };
    let Some(Writing { groups, labels, height }) = page.writing() else { return Vec::new() };
    let lattice = |group: &Group| Lattice::new(&page, group, &labels, height);
    in_lines(groups, height).iter().map(|line| line.iter().map(lattice).collect()).collect()
}

/// A page set upright.
pub(crate) struct Page {
    ink: GrayImage,
    mask: GrayImage,
    levels: Levels,
    /// From a place here to the place on the shrunk image.
    back: Projection,
    /// How many times as large as that the image is.
    scale: f32,
    image: (u32, u32),
}

/// What is written on a page.
pub(crate) struct Writing {
    pub groups: Vec<Group>,
    labels: Labels,
    height: u32,
}

impl Page {
    /// Nothing where the image is blank.
    pub fn new(grey: &GrayImage, see: &mut dyn FnMut(&'static str, &GrayImage)) -> Option<Page> {
        let longest = grey.width().max(grey.height());
        if longest == 0 {
            return None;
        }
        let paper = paper::find(grey);
        let longest = paper.map_or(longest, |(_, (wide, high))| wide.max(high));
        let scale = (longest as f32 / PAGE_SIDE as f32).max(1.);
        let side = |side: u32| ((side as f32 / scale).round() as u32).max(1);
        let shrunk = (scale > 1.).then(|| thumbnail(grey, side(grey.width()), side(grey.height())));
        let seen = shrunk.as_ref().unwrap_or(grey);
        let mut back = Projection::scale(1., 1.);
        let mut ink = match paper {
            None => ink(seen),
            Some((to_paper, (wide, high))) => {
                let to_paper = Projection::scale(1. / scale, 1. / scale)
                    * to_paper
                    * Projection::scale(scale, scale);
                back = to_paper.invert();
                let mut straight = GrayImage::new(side(wide), side(high));
                let way = Interpolation::Bilinear;
                warp_into(seen, to_paper, way, Border::Replicate, &mut straight);
                see("paper", &straight);
                ink(&straight)
            }
        };
        see("ink", &ink);
        let levels = Levels::of(&ink)?;
        let tilt = tilt::tilt(&binarise(&ink, levels.threshold), MIN_DIGIT_HEIGHT);
        if tilt != 0. {
            let upright = upright(ink.dimensions(), tilt);
            let (width, height) = turned_size(ink.dimensions(), tilt);
            let mut turned = GrayImage::new(width, height);
            let border = Border::Constant(Luma([0]));
            warp_into(&ink, upright, Interpolation::Bilinear, border, &mut turned);
            ink = turned;
            back = back * upright.invert();
        }
        let mut mask = binarise(&ink, levels.threshold);
        see("upright", &mask);
        let faint = levels.floor + (levels.threshold - levels.floor) / FAINT_PART;
        let at_all = binarise(&ink, faint);
        ruled_lines::erase(&mut ink, &mut mask, &at_all);
        pale::revise(&mut mask, &ink, levels, faint);
        frames::erase(&mut ink, &mut mask);
        hysteresis::extend(&mut mask, &ink, levels);
        see("without-lines", &mask);
        Some(Page { ink, mask, levels, back, scale, image: grey.dimensions() })
    }

    /// The groups of strokes that may be digits.
    pub fn writing(&self) -> Option<Writing> {
        let labels = component::label(&self.mask);
        let found = components(&labels, &self.mask, &self.ink);
        let Some(height) = digit_height(&found) else { return self.in_pieces(labels, &found) };
        let grain = grain(&found, height);
        let mut mask = self.mask.clone();
        for (pixel, &label) in mask.iter_mut().zip(labels.iter()) {
            if label > 0 && grain[label as usize - 1] {
                *pixel = 0;
            }
        }
        // Only for labelling: joins broken strokes.
        let near = (height as f32 * JOINED_GAP).round() as u32;
        let mut labels = component::label(&dilated(&mask, near));
        let mut found = components(&labels, &mask, &self.ink);
        let height = digit_height(&found)?;
        if stacked::split(&mut labels, &found, &self.ink, height) {
            found = components(&labels, &mask, &self.ink);
        }

        let groups = groups(&found, height);
        Some(Writing { groups, labels, height })
    }

    /// All strokes as one digit, of a small image whose strokes are too short for one each.
    fn in_pieces(&self, labels: Labels, found: &[Component]) -> Option<Writing> {
        let (width, height) = self.dimensions();
        let whole = found.iter().cloned().reduce(|a, b| a.union(&b))?;
        let is_digit = width.max(height) <= SMALL_SIDE && whole.height() >= MIN_DIGIT_HEIGHT;
        let (all, height) = ((1..=found.len() as u32).collect(), whole.height());
        is_digit.then(|| Writing { groups: vec![Group { whole, labels: all }], labels, height })
    }

    /// The group, taken as one digit.
    pub fn whole(&self, writing: &Writing, group: &Group) -> Option<Candidate> {
        Lattice::whole(self, group, &writing.labels, writing.height)
    }

    /// Width and height.
    pub fn dimensions(&self) -> (u32, u32) {
        self.mask.dimensions()
    }

    /// The pixel of the image that one of this page came from.
    fn on_image(&self, (x, y): (u32, u32)) -> (u32, u32) {
        let (x, y) = self.back * (x as f32 + 0.5, y as f32 + 0.5);
        let place = |at: f32, side: u32| ((at * self.scale) as u32).min(side - 1);
        (place(x, self.image.0), place(y, self.image.1))
    }
}

/// The size of an image that is turned by `tilt` degrees.
fn turned_size((width, height): (u32, u32), tilt: f32) -> (u32, u32) {
    let (sin, cos) = tilt.to_radians().abs().sin_cos();
    let (width, height) = (width as f32, height as f32);
    ((width * cos + height * sin) as u32, (height * cos + width * sin) as u32)
}

/// What sets an image of this size, tilted by `tilt` degrees, upright.
fn upright(size: (u32, u32), tilt: f32) -> Projection {
    let (wide, high) = turned_size(size, tilt);
    Projection::translate(wide as f32 / 2., high as f32 / 2.)
        * Projection::rotate(-tilt.to_radians())
        * Projection::translate(size.0 as f32 / -2., size.1 as f32 / -2.)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_where_they_are_on_the_image_though_it_is_tilted_and_large() {
        for (degrees, scale) in [(0., 1.), (5., 1.), (-8., 1.), (5., 3.)] {
            let (sin, cos) = f32::to_radians(degrees).sin_cos();
            let place = |at: usize| {
                let (x, y) = (80. * (at % 6) as f32 - 200., 90. * (at / 6) as f32 - 90.);
                (scale * (300. + x * cos - y * sin), scale * (200. + x * sin + y * cos))
            };
            let page = GrayImage::from_fn((600. * scale) as u32, (400. * scale) as u32, |x, y| {
                let ring = |at: usize| {
                    let (cx, cy) = place(at);
                    ((x as f32 - cx).hypot(y as f32 - cy) / scale - 18.).abs() < 2.5
                };
                Luma([if (0..18).any(ring) { 40 } else { 225 }])
            });
            let lines = find(&page);
            let counts: Vec<usize> = lines.iter().map(Vec::len).collect();
            assert_eq!(counts, [6; 3], "{degrees} {scale}");
            for (at, lattice) in lines.iter().flatten().enumerate() {
                let end = lattice.strokes.len() - 1;
                let whole = lattice.candidates.iter().find(|one| (one.from, one.to) == (0, end));
                let bounds = whole.unwrap().bounds;
                let middle = |from: u32, side: u32| (from as f32 + side as f32 / 2.) / scale;
                let (x, y) = place(at);
                let off = (middle(bounds.x, bounds.width) - x / scale)
                    .hypot(middle(bounds.y, bounds.height) - y / scale);
                assert!(off < 2., "{degrees} {scale} {at}: {off}");
            }
        }
    }
}

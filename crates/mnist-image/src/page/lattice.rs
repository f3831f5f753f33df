//! Digits that touch → a segmentation lattice: every way to cut them apart that may give digits.

use std::ops::{Range, RangeInclusive};

use image::{GrayImage, Luma};

use super::groups::Group;
use super::seams::{STROKE_INK, Seam, seams, strokes};
use super::{Bounds, Page};
use crate::Digit;
use crate::component::{Labels, label};
use crate::ink::{binarise, dilated};
use crate::mnist_form::{ends, mnist_form, shrunk};
use crate::resize::nearest;

/// Share of a group's pixels that have less than full ink: strokes fade at their edges, and where
/// the pen is lifted. Chosen on scikit-learn's digits, drawn black on white.
const FADING: (usize, usize) = (9, 10);
/// Digits at least twice as high, in pixels, are shrunk to this height: what lies between any two
/// cuts is measured.
const CUT_SIDE: u32 = 128;
/// Free pixels around the ink.
const PADDING: u32 = 3;
/// Pixels by which soft edges reach beyond the mask.
const SOFT_EDGE: u32 = 2;
/// Width from which on a group may be several digits: its share of its own height and of a digit's.
/// Narrow digits touch as well, but then both are narrower than this only if they are 1s.
const SEVERAL: [f32; 2] = [0.75, 0.6];
/// The same where a cut goes through no stroke: a 1 stands close beside its neighbour.
const APART: f32 = 0.5;
/// Least height and greatest width of a digit between two cuts, in heights of a digit.
const MIN_PART_HEIGHT: f32 = 0.5;
const MAX_PART_WIDTH: f32 = 1.5;

/// What may be one digit: what lies between two cuts.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Number of the cut that it begins at; 0 is the left end.
    pub from: usize,
    /// Number of the cut that it ends at.
    pub to: usize,
    /// As the network sees it.
    pub digit: Digit,
    /// Where it is on the image.
    pub bounds: Bounds,
    /// Where it is on the page that was looked at, set upright and shrunk.
    pub local: Bounds,
}

/// Strokes that touch, the ways to cut them apart, and what lies between.
#[derive(Clone, Debug)]
pub struct Lattice {
    /// How many strokes each cut goes through, from the left end, through none, to the right end.
    pub strokes: Vec<usize>,
    /// What lies between two cuts, for every two between which a digit may be.
    pub candidates: Vec<Candidate>,
}

impl Lattice {
    /// Cuts `group`, of the components in `labels`, in every way that may give digits of about
    /// `height` pixels.
    pub(super) fn new(page: &Page, group: &Group, labels: &Labels, height: u32) -> Lattice {
        let own = Cutout::new(page, group, labels, height);
        let whole = &group.whole;
        let width = whole.width() as f32;
        let is_wide = |[own, usual]: [f32; 2]| {
            width > own * whole.height() as f32 && width > usual * height as f32
        };
        let is_several = is_wide(SEVERAL);
        let mut cuts = match is_several || is_wide([APART; 2]) && own.is_apart() {
            true => seams(&own.ink, height / own.shrink),
            false => Vec::new(),
        };
        if !is_several {
            cuts.retain(|seam| strokes(seam, &own.ink) == 0 && own.is_divided_by(seam));
        }
        own.lattice(page, cuts, height)
    }

    /// `group` as one digit, whatever its width.
    pub(super) fn whole(
        page: &Page,
        group: &Group,
        labels: &Labels,
        height: u32,
    ) -> Option<Candidate> {
        let mut uncut = Cutout::new(page, group, labels, height).lattice(page, Vec::new(), height);
        uncut.candidates.pop()
    }
}

/// Two cuts, and the columns that what lies between them reaches over.
struct Between<'a> {
    left: &'a Seam,
    right: &'a Seam,
    start: u32,
    stop: u32,
}

impl Between<'_> {
    /// Those of a row; none where the cuts have crossed.
    fn columns(&self, y: u32) -> Range<u32> {
        match (self.left[y as usize], self.right[y as usize]) {
            (left, right) if left < right => left..right,
            _ => self.start..self.start,
        }
    }
}

/// A group cut out of its page.
struct Cutout {
    /// Its place on the page.
    left: u32,
    top: u32,
    /// Its pixels.
    mask: GrayImage,
    /// Its ink with the soft edges, from 0 to 255.
    ink: GrayImage,
    /// How many times smaller both are than on the page: more than once only for very large
    /// digits.
    shrink: u32,
}

impl Cutout {
    fn new(page: &Page, group: &Group, labels: &Labels, height: u32) -> Cutout {
        let whole = &group.whole;
        let left = whole.left.saturating_sub(PADDING);
        let top = whole.top.saturating_sub(PADDING);
        let right = (whole.right + PADDING).min(page.ink.width() - 1);
        let bottom = (whole.bottom + PADDING).min(page.ink.height() - 1);
        let (columns, rows) = (left as usize..=right as usize, top as usize..=bottom as usize);
        let side = page.ink.width() as usize;
        let (labels, ink) =
            (part(labels, side, &columns, &rows), part(&page.ink, side, &columns, &rows));
        let pixels = labels.zip(part(&page.mask, side, &columns, &rows));
        let own = |(label, mask): (&u32, &u8)| {
            let is_own = *mask > 0 && group.labels.contains(label);
            if is_own { 255 } else { 0 }
        };
        let (width, height_of_all) = (right - left + 1, bottom - top + 1);
        let mask = GrayImage::from_vec(width, height_of_all, pixels.map(own).collect());
        let mask = mask.expect("it has a pixel for each place");
        let own = mask.iter().zip(ink.clone()).filter(|(own, _)| **own > 0);
        let mut inked: Vec<u8> = own.map(|(_, ink)| *ink).collect();
        inked.sort_unstable();
        let full = f32::from(inked[(inked.len() - 1) * FADING.0 / FADING.1]);
        let floor = f32::from(page.levels.floor);
        let mut soft = dilated(&mask, SOFT_EDGE);
        for (soft, &ink) in soft.iter_mut().zip(ink).filter(|(soft, _)| **soft > 0) {
            *soft = nearest(255. * (f32::from(ink) - floor) / (full - floor));
        }
        let ink = soft;
        let shrink = (height / CUT_SIDE).max(1);
        match shrink {
            1 => Cutout { left, top, mask, ink, shrink },
            _ => {
                let [mask, ink] = [mask, ink].map(|image| shrunk(&image, shrink));
                Cutout { left, top, mask, ink, shrink }
            }
        }
    }

    /// Whether its strokes do not all hang together.
    fn is_apart(&self) -> bool {
        label(&binarise(&self.ink, STROKE_INK)).iter().any(|&label| label > 1)
    }

    /// Whether there is ink on either side of `seam`.
    fn is_divided_by(&self, seam: &Seam) -> bool {
        let inked = |(x, y, _): &(u32, u32, &Luma<u8>)| self.mask.get_pixel(*x, *y).0[0] > 0;
        let is_left = |(x, y, _): (u32, u32, &Luma<u8>)| x < seam[y as usize];
        let mut pixels = self.mask.enumerate_pixels().filter(inked).map(is_left);
        let Some(first) = pixels.next() else { return false };
        pixels.any(|other| other != first)
    }

    /// What lies between every two of `cuts` and the ends, if it may be a digit of about `height`
    /// pixels.
    fn lattice(&self, page: &Page, mut cuts: Vec<Seam>, height: u32) -> Lattice {
        let own_height = height / self.shrink;
        let strokes: Vec<usize> = cuts.iter().map(|seam| strokes(seam, &self.ink)).collect();
        let strokes = [0].into_iter().chain(strokes).chain([0]).collect();
        let rows = self.ink.height() as usize;
        cuts.insert(0, vec![0; rows]);
        cuts.push(vec![self.ink.width(); rows]);
        let reach = |seam: &Seam| {
            seam.iter().fold((u32::MAX, 0), |(least, most), &x| (least.min(x), most.max(x)))
        };
        let reaches: Vec<(u32, u32)> = cuts.iter().map(reach).collect();
        let end = cuts.len() - 1;
        let mut candidates = Vec::new();
        for (from, to) in (0..end).flat_map(|from| (from + 1..=end).map(move |to| (from, to))) {
            let whole = from == 0 && to == end;
            // The columns that are its own in every row are fewer than those that it reaches over.
            let ((start, inner), (outer, stop)) = (reaches[from], reaches[to]);
            if !whole
                && outer.saturating_sub(inner)
                    > (MAX_PART_WIDTH * own_height as f32) as u32 + 2 * PADDING
            {
                continue; // joined-up writing has thousands: not worth a closer look
            }
            let between = Between { left: &cuts[from], right: &cuts[to], start, stop };
            if let Some((digit, bounds, local)) = self.candidate(page, &between, height, whole) {
                candidates.push(Candidate { from, to, digit, bounds, local });
            }
        }
        Lattice { strokes, candidates }
    }

    /// What lies between two cuts: MNIST's form of it, and its places on the image and on the page.
    /// Nothing where it has not the size of a digit, unless it is all there is.
    fn candidate(
        &self,
        page: &Page,
        between: &Between,
        height: u32,
        whole: bool,
    ) -> Option<(Digit, Bounds, Bounds)> {
        let (start, stop) = (between.start, between.stop);
        // Of each row, the ends alone: no pixel between them is farther out, on the image neither.
        let ends_in = |y: u32| {
            let columns = between.columns(y);
            let row = &row(&self.mask, y)[columns.start as usize..columns.end as usize];
            let both = ends(row).map(|(first, last)| [first, last]);
            both.into_iter().flatten().map(move |x| (columns.start + x as u32, y))
        };
        let places: Vec<(u32, u32)> = (0..self.mask.height())
            .flat_map(ends_in)
            .flat_map(|(x, y)| {
                let (x, y) = (self.left + x * self.shrink, self.top + y * self.shrink);
                [(x, y), (x + self.shrink - 1, y + self.shrink - 1)]
            })
            .collect();
        let local = Bounds::around(places.iter().copied())?;
        let [wide, high] = [local.width, local.height].map(|side| side as f32 / height as f32);
        if !whole && (high < MIN_PART_HEIGHT || wide > MAX_PART_WIDTH) {
            return None;
        }
        let bounds = Bounds::around(places.iter().map(|&at| page.on_image(at)))?;
        let mut ink = GrayImage::new(stop - start, self.ink.height());
        for (y, out) in (0..).zip(ink.chunks_exact_mut((stop - start) as usize)) {
            let Range { start: from, end: to } = between.columns(y);
            let columns = (from - start) as usize..(to - start) as usize;
            out[columns].copy_from_slice(&row(&self.ink, y)[from as usize..to as usize]);
        }
        Some((mnist_form(&ink)?, bounds, local))
    }
}

/// The pixels of a part of an image that is `side` pixels wide.
fn part<'a, T>(
    pixels: &'a [T],
    side: usize,
    columns: &'a RangeInclusive<usize>,
    rows: &RangeInclusive<usize>,
) -> impl Iterator<Item = &'a T> + Clone {
    let rows = pixels.chunks_exact(side).take(rows.end() + 1).skip(*rows.start());
    rows.flat_map(|row| &row[columns.clone()])
}

fn row(image: &GrayImage, y: u32) -> &[u8] {
    let side = image.width() as usize;
    &image.as_raw()[y as usize * side..][..side]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::component::{components, label};
    use crate::page::find;

    /// A page with a ring of 40 pixels around each of these columns.
    fn rings(columns: &[u32]) -> GrayImage {
        GrayImage::from_fn(400, 100, |x, y| {
            let ring = |&middle: &u32| {
                ((x as f32 - middle as f32).hypot(y as f32 - 50.) - 18.).abs() < 2.5
            };
            Luma([if columns.iter().any(ring) { 30 } else { 225 }])
        })
    }

    #[test]
    fn what_touches_can_be_cut_into_digits() {
        let line = &find(&rings(&[60, 150, 188, 280]))[0];
        assert_eq!(line.len(), 3);
        let pair = &line[1];
        let end = pair.strokes.len() - 1;
        let side = |from: usize, to: usize| {
            let found = pair.candidates.iter().find(|one| (one.from, one.to) == (from, to));
            found.map(|candidate| candidate.bounds)
        };
        let halves = (1..end).filter_map(|cut| Some((side(0, cut)?, side(cut, end)?)));
        let best = halves.min_by_key(|(left, right)| left.width.abs_diff(right.width)).unwrap();
        for (half, middle) in [(best.0, 150), (best.1, 188)] {
            assert!((half.x + half.width / 2).abs_diff(middle) <= 3, "{half:?}");
            assert!(half.width.abs_diff(40) <= 6 && half.height.abs_diff(40) <= 3, "{half:?}");
        }
    }

    #[test]
    fn narrow_digits_are_cut_apart_only_where_nothing_is_cut() {
        // A bar close beside another, joined with it at half of its height or not.
        let candidates = |joined: bool| {
            let page = GrayImage::from_fn(200, 100, |x, y| {
                let bar = (30..70).contains(&y)
                    && [80, 97, 150].iter().any(|&left| (left..left + 5).contains(&x));
                let bridge = joined && (48..52).contains(&y) && (80..102).contains(&x);
                Luma([if bar || bridge { 30 } else { 225 }])
            });
            let page = Page::new(&page, &mut |_, _| ()).unwrap();
            let labels = label(&page.mask);
            let found = components(&labels, &page.mask, &page.ink);
            let near: Vec<_> = (1..).zip(&found).filter(|(_, one)| one.left < 120).collect();
            let whole =
                near.iter().map(|(_, one)| (*one).clone()).reduce(|a, b| a.union(&b)).unwrap();
            let group = Group { whole, labels: near.iter().map(|(label, _)| *label).collect() };
            Lattice::new(&page, &group, &labels, 40).candidates.len()
        };
        assert!(candidates(false) > 2);
        assert_eq!(candidates(true), 1);
    }

    #[test]
    fn a_candidate_is_the_digit_as_it_would_be_alone() {
        let whole = |lattice: &Lattice| {
            let end = lattice.strokes.len() - 1;
            lattice.candidates.iter().find(|one| (one.from, one.to) == (0, end)).unwrap().digit
        };
        let [together, alone] = [rings(&[60, 150]), rings(&[150])].map(|page| find(&page));
        assert_eq!(whole(&together[0][1]), whole(&alone[0][0]));
    }

    #[test]
    fn a_very_large_digit_has_the_form_and_the_place_that_it_has_when_small() {
        let ring = |scale: f32| {
            let side = (100. * scale) as u32;
            GrayImage::from_fn(side, side, |x, y| {
                let (dx, dy) = (x as f32 / scale - 50., y as f32 / scale - 50.);
                Luma([if (dx.hypot(dy) - 35.).abs() < 4. { 30 } else { 225 }])
            })
        };
        let [small, large] = [4., 15.].map(|scale| {
            let lattice = &find(&ring(scale))[0][0];
            let end = lattice.strokes.len() - 1;
            let is_whole = |one: &&Candidate| (one.from, one.to) == (0, end);
            lattice.candidates.iter().find(is_whole).unwrap().clone()
        });
        let differ = small.digit.iter().zip(&large.digit).map(|(a, b)| u32::from(a.abs_diff(*b)));
        let ink: u32 = small.digit.iter().map(|ink| u32::from(*ink)).sum();
        let differ: u32 = differ.sum();
        assert!(differ * 10 < ink, "{differ} of {ink}");
        for (small, large) in
            [(small.bounds.x, large.bounds.x), (small.bounds.width, large.bounds.width)]
        {
            assert!((small as f32 / 4. - large as f32 / 15.).abs() < 1., "{small} {large}");
        }
    }
}

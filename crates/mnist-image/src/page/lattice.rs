//! Digits that touch → a segmentation lattice: every way to cut them apart that may give digits.

use image::{GrayImage, Luma};
use imageproc::distance_transform::Norm;
use imageproc::morphology::dilate;

use super::groups::Group;
use super::seams::{Seam, seams, strokes};
use super::{Bounds, Page};
use crate::Digit;
use crate::component::Labels;
use crate::mnist_form::mnist_form;

/// Share of a group's pixels that have less than full ink: strokes fade at their edges, and where the
/// pen is lifted. Chosen on scikit-learn's digits, drawn black on white.
const FADING: (usize, usize) = (9, 10);
/// Free pixels around the ink.
const MARGIN: u32 = 3;

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
    /// Cuts `group`, of the components in `labels`, in every way that may give digits of about `height`
    /// pixels.
    pub(super) fn new(page: &Page, group: &Group, labels: &Labels, height: u32) -> Lattice {
        let own = Cutout::new(page, group, labels);
        let whole = &group.whole;
        let several = whole.width() * 4 > whole.height() * 3 && whole.width() * 5 > height * 3;
        let cuts = if several { seams(&own.ink, height) } else { Vec::new() };
        own.lattice(page, cuts, height)
    }

    /// `group` as one digit, whatever its width.
    pub(super) fn whole(
        page: &Page,
        group: &Group,
        labels: &Labels,
        height: u32,
    ) -> Option<Candidate> {
        let mut uncut = Cutout::new(page, group, labels).lattice(page, Vec::new(), height);
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
    fn contains(&self, x: u32, y: u32) -> bool {
        (self.left[y as usize]..self.right[y as usize]).contains(&x)
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
}

impl Cutout {
    fn new(page: &Page, group: &Group, labels: &Labels) -> Cutout {
        let whole = &group.whole;
        let left = whole.left.saturating_sub(MARGIN);
        let top = whole.top.saturating_sub(MARGIN);
        let right = (whole.right + MARGIN).min(page.ink.width() - 1);
        let bottom = (whole.bottom + MARGIN).min(page.ink.height() - 1);
        let mask = GrayImage::from_fn(right - left + 1, bottom - top + 1, |x, y| {
            let own = group.labels.contains(&labels.get_pixel(left + x, top + y).0[0]);
            let inked = own && page.mask.get_pixel(left + x, top + y).0[0] > 0;
            Luma([if inked { 255 } else { 0 }])
        });
        let mut inked: Vec<u8> = mask
            .enumerate_pixels()
            .filter(|(.., own)| own.0[0] > 0)
            .map(|(x, y, _)| page.ink.get_pixel(left + x, top + y).0[0])
            .collect();
        inked.sort_unstable();
        let full = f32::from(inked[(inked.len() - 1) * FADING.0 / FADING.1]);
        let floor = f32::from(page.levels.floor);
        let around = dilate(&mask, Norm::LInf, 2); // soft edges lie outside the mask
        let ink = GrayImage::from_fn(mask.width(), mask.height(), |x, y| {
            let ink = f32::from(page.ink.get_pixel(left + x, top + y).0[0]) - floor;
            let inside = around.get_pixel(x, y).0[0] > 0;
            Luma([if inside { (255. * ink / (full - floor)).round() as u8 } else { 0 }])
        });
        Cutout { left, top, mask, ink }
    }

    /// What lies between every two of `cuts` and the ends, if it may be a digit of about `height` pixels.
    fn lattice(&self, page: &Page, mut cuts: Vec<Seam>, height: u32) -> Lattice {
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
            if !whole && outer.saturating_sub(inner) > height * 3 / 2 + 2 * MARGIN {
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
        let places: Vec<(u32, u32)> = (0..self.mask.height())
            .flat_map(|y| (start..stop).map(move |x| (x, y)))
            .filter(|&(x, y)| self.mask.get_pixel(x, y).0[0] > 0 && between.contains(x, y))
            .map(|(x, y)| (self.left + x, self.top + y))
            .collect();
        let local = Bounds::around(places.iter().copied())?;
        if !whole && (local.height * 2 < height || local.width * 2 > height * 3) {
            return None;
        }
        let bounds = Bounds::around(places.iter().map(|&at| page.on_image(at)))?;
        let ink = GrayImage::from_fn(stop - start, self.ink.height(), |x, y| {
            let own = between.contains(start + x, y);
            if own { *self.ink.get_pixel(start + x, y) } else { Luma([0]) }
        });
        Some((mnist_form(&ink)?, bounds, local))
    }
}

//! Connected components of ink.

use image::{GrayImage, ImageBuffer, Luma};

/// The number of each pixel's component, from 1 on; 0 is paper.
pub(crate) type Labels = ImageBuffer<Luma<u32>, Vec<u32>>;

/// Share of a component's size that may lie along the image's edge without its being cut off.
const REACHING: f32 = 0.2;

/// Pixels of ink that touch, also at corners.
#[derive(Clone, Debug)]
pub(crate) struct Component {
    pub pixels: u32,
    /// Sum of the ink.
    pub weight: f32,
    /// How many of its pixels are at the image's edge.
    pub at_edge: u32,
    pub left: u32,
    pub top: u32,
    pub right: u32,
    pub bottom: u32,
}

impl Component {
    /// Distance in pixels between the nearest edges of two boxes, on the axis where it is larger; 1
    /// where they adjoin.
    pub fn gap(&self, other: &Component) -> u32 {
        let across = self.left.max(other.left).saturating_sub(self.right.min(other.right));
        let down = self.top.max(other.top).saturating_sub(self.bottom.min(other.bottom));
        across.max(down)
    }

    /// Mean ink of its pixels, 0 to 255.
    pub fn strength(&self) -> f32 {
        self.weight / self.pixels as f32
    }

    pub fn width(&self) -> u32 {
        self.right - self.left + 1
    }

    pub fn height(&self) -> u32 {
        self.bottom - self.top + 1
    }

    pub fn size(&self) -> u32 {
        self.width().max(self.height())
    }

    /// Whether the image's edge cuts it off, rather than that a stroke just reaches it.
    pub fn is_cut_off(&self) -> bool {
        self.at_edge as f32 > REACHING * self.size() as f32
    }

    pub fn union(&self, other: &Component) -> Component {
        Component {
            pixels: self.pixels + other.pixels,
            weight: self.weight + other.weight,
            at_edge: self.at_edge + other.at_edge,
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
        }
    }
}

/// Numbers the components of `mask` in the order of their first pixels, row by row.
///
/// Two passes (Rosenfeld & Pfaltz 1966): each pixel takes the label of one that it touches, and
/// where two labels meet, they are noted as one. A table of the labels, in place of one of all
/// pixels, fits into a cache.
pub(crate) fn label(mask: &GrayImage) -> Labels {
    let mut labels = Labels::new(mask.width(), mask.height());
    if labels.is_empty() {
        return labels;
    }
    let side = mask.width() as usize;
    // For each label itself, or a smaller one of the same component.
    let mut same = vec![0];
    // Rows of labels, with one pixel of paper at either end.
    let (mut above, mut row) = (vec![0; side + 2], vec![0; side + 2]);
    for (inked, out) in mask.as_raw().chunks_exact(side).zip(labels.chunks_exact_mut(side)) {
        for (x, _) in inked.iter().enumerate().filter(|(_, ink)| **ink > 0) {
            let beside = if row[x] > 0 { row[x] } else { above[x] };
            row[x + 1] = match (above[x + 1], above[x + 2], beside) {
                (0, 0, 0) => {
                    same.push(same.len() as u32);
                    same.len() as u32 - 1
                }
                (0, 0, beside) => beside,
                (0, right, 0) => right,
                (0, right, beside) => join(&mut same, right, beside),
                (over, ..) => over, // it touches the others already
            };
        }
        out.copy_from_slice(&row[1..=side]);
        std::mem::swap(&mut above, &mut row);
        row.fill(0);
    }
    let mut count = 0;
    for label in 1..same.len() {
        same[label] = match same[label] as usize {
            first if first == label => {
                count += 1;
                count
            }
            smaller => same[smaller],
        };
    }
    labels.iter_mut().for_each(|label| *label = same[*label as usize]);
    labels
}

/// Notes that two labels are of one component, and gives its least.
fn join(same: &mut [u32], one: u32, other: u32) -> u32 {
    let mut least = |mut label: u32| {
        while same[label as usize] != label {
            same[label as usize] = same[same[label as usize] as usize];
            label = same[label as usize];
        }
        label
    };
    let (one, other) = (least(one), least(other));
    same[one.max(other) as usize] = one.min(other);
    one.min(other)
}

/// The components of a labelled image in the order of their labels, 1 first, as far as they are in
/// `mask`; one that has no pixel there has 0 of them.
pub(crate) fn components(labels: &Labels, mask: &GrayImage, ink: &GrayImage) -> Vec<Component> {
    let mut components: Vec<Component> = Vec::new();
    let (width, height) = labels.dimensions();
    let side = width.max(1) as usize;
    let rows = labels.as_raw().chunks_exact(side);
    let rows = rows.zip(mask.as_raw().chunks_exact(side).zip(ink.as_raw().chunks_exact(side)));
    for (y, (labels, (mask, ink))) in (0..).zip(rows) {
        for (x, &label) in (0..).zip(labels).filter(|(_, label)| **label > 0) {
            let index = label as usize - 1;
            if components.len() <= index {
                let (pixels, weight, at_edge) = (0, 0., 0);
                let empty =
                    Component { pixels, weight, at_edge, left: x, top: y, right: x, bottom: y };
                components.resize(index + 1, empty);
            }
            if mask[x as usize] == 0 {
                continue;
            }
            let one = &mut components[index];
            if one.pixels == 0 {
                (one.left, one.top, one.right, one.bottom) = (x, y, x, y);
            }
            one.pixels += 1;
            one.weight += f32::from(ink[x as usize]);
            let at_edge = x == 0 || y == 0 || x + 1 == width || y + 1 == height;
            one.at_edge += u32::from(at_edge);
            (one.left, one.right) = (one.left.min(x), one.right.max(x));
            one.bottom = y;
        }
    }
    components
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise;

    #[test]
    fn components_touch_at_corners_and_have_a_box() {
        let mut mask = GrayImage::new(9, 6);
        for (x, y) in [(1, 1), (2, 2), (3, 1), (6, 4), (7, 4)] {
            mask.put_pixel(x, y, Luma([200]));
        }
        let [vee, dash] = &components(&label(&mask), &mask, &mask)[..] else { panic!("two") };
        assert_eq!((vee.pixels, vee.width(), vee.height(), vee.weight), (3, 3, 2, 600.));
        assert_eq!((dash.left, dash.top, dash.size()), (6, 4, 2));
        assert_eq!((vee.gap(dash), dash.gap(vee)), (3, 3));
        assert!(!vee.is_cut_off() && !dash.is_cut_off());
    }

    #[test]
    fn labels_are_those_of_imageproc() {
        use imageproc::region_labelling::{Connectivity, connected_components};
        for (width, height) in [(0, 3), (1, 40), (40, 1), (61, 47), (64, 64)] {
            for share in [30, 100, 150, 220] {
                let mut mask = noise(width, height);
                mask.iter_mut().for_each(|level| *level = if *level < share { 255 } else { 0 });
                let expected = connected_components(&mask, Connectivity::Eight, Luma([0]));
                assert!(label(&mask) == expected, "{width}×{height}, {share}");
            }
        }
    }

    #[test]
    fn a_stroke_may_reach_the_edge_but_not_lie_along_it() {
        let bar = |width: u32, height: u32| {
            let mask = GrayImage::from_fn(60, 60, |x, y| {
                Luma([if x < width && (10..10 + height).contains(&y) { 255 } else { 0 }])
            });
            components(&label(&mask), &mask, &mask)[0].clone()
        };
        assert!(!bar(40, 6).is_cut_off());
        assert!(bar(6, 40).is_cut_off());
    }
}

//! Connected components of ink.

use image::{GrayImage, ImageBuffer, Luma};
use imageproc::region_labelling::{Connectivity, connected_components};

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
    /// Distance in pixels between the nearest edges of two boxes, on the axis where it is larger; 1 where they adjoin.
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

/// Numbers the components of `mask`.
pub(crate) fn label(mask: &GrayImage) -> Labels {
    connected_components(mask, Connectivity::Eight, Luma([0]))
}

/// The components of a labelled image in the order of their labels, 1 first, as far as they are in
/// `mask`; one that has no pixel there has 0 of them.
pub(crate) fn components(labels: &Labels, mask: &GrayImage, ink: &GrayImage) -> Vec<Component> {
    let mut components: Vec<Component> = Vec::new();
    for (x, y, &Luma([label])) in labels.enumerate_pixels() {
        if label == 0 {
            continue;
        }
        let empty =
            Component { pixels: 0, weight: 0., at_edge: 0, left: x, top: y, right: x, bottom: y };
        let index = label as usize - 1;
        if components.len() <= index {
            components.resize(index + 1, empty.clone());
        }
        if mask.get_pixel(x, y).0[0] == 0 {
            continue;
        }
        let at_edge = x == 0 || y == 0 || x + 1 == labels.width() || y + 1 == labels.height();
        let weight = f32::from(ink.get_pixel(x, y).0[0]);
        let pixel = Component { pixels: 1, weight, at_edge: at_edge.into(), ..empty };
        let component = &mut components[index];
        *component = if component.pixels == 0 { pixel } else { component.union(&pixel) };
    }
    components
}

#[cfg(test)]
mod tests {
    use super::*;

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

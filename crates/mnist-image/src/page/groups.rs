//! Connected components → groups: digits whose strokes may be apart, or several that touch.

use crate::component::Component;

// Chosen on drawn pages, in the tests and in `tests/sheets`, unless said otherwise.
/// Height in pixels that a digit must have at least.
pub(super) const MIN_DIGIT_HEIGHT: u32 = 10;
/// A component more than this many times as wide as it is high is not a digit, nor a few that
/// touch.
const MAX_ASPECT: u32 = 6;
/// Share of the digits' height below which a component is a speck.
const SPECK: f32 = 1. / 8.;
/// Share of the digits' height below which a component may be grain of the paper: if there are more
/// of them than main strokes, and it has less than this share of those strokes' ink.
const GRAIN: f32 = 1. / 4.;
const GRAIN_STRENGTH: f32 = 0.65;
/// Share of the larger one's pixels that the smaller of two strokes of a digit has at least.
const MIN_STROKE: f32 = 1. / 50.;
/// The least size of the larger of two strokes of a digit, in heights of a digit: specks are not
/// strokes.
const MAIN_STROKE: f32 = 0.35;

/// Of strokes one above the other: share of the narrower one's width that they have in common at
/// least; widest gap and greatest height of both, in heights of a digit.
const ABOVE: Joint = Joint { overlap: 0.5, gap: 0.25, width: f32::MAX, height: 1.5, small: 1. };
/// Of a small stroke beside a large one, as the second of a broken 4: its share of the large one's
/// pixels at most; widest gap and greatest size of both, in heights of a digit.
const BESIDE: Joint = Joint { overlap: 0., gap: 0.125, width: 1.3, height: 1.3, small: 0.25 };

/// Sizes of a group, in heights of a digit, outside of which it is dropped: least and greatest
/// height, and greatest width.
const GROUP_HEIGHTS: [f32; 2] = [0.4, 3.];
const MAX_GROUP_WIDTH: f32 = 8.;
/// Heights, in those of a digit, of one that the page's edge has left whole, by judgement.
const WHOLE_HEIGHTS: [f32; 2] = [0.75, 1.5];
/// Share of the usual ink below which a group is a shadow, or shows through from the other side.
const MIN_STRENGTH: f32 = 0.15;

/// How two strokes of one digit lie to each other.
struct Joint {
    overlap: f32,
    gap: f32,
    width: f32,
    height: f32,
    small: f32,
}

/// Strokes that make up one digit, or several that touch.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// The box and the ink of all.
    pub whole: Component,
    /// The labels of its components.
    pub labels: Vec<u32>,
}

impl Group {
    /// Whether it may be a digit of about `height` pixels, or several that touch.
    fn has_size(&self, height: u32) -> bool {
        let (wide, high) = (self.whole.width(), self.whole.height());
        let (width, heights) = (wide as f32 / height as f32, high as f32 / height as f32);
        (GROUP_HEIGHTS[0]..=GROUP_HEIGHTS[1]).contains(&heights)
            && width <= MAX_GROUP_WIDTH
            && wide <= high * MAX_ASPECT
    }

    /// Whether it is as high as digits are, no strip along the page's edge, and little of it lies
    /// there: a digit that the edge does not take much of.
    fn is_whole_at_edge(&self, height: u32) -> bool {
        let heights = self.whole.height() as f32 / height as f32;
        (WHOLE_HEIGHTS[0]..=WHOLE_HEIGHTS[1]).contains(&heights)
            && 3 * self.whole.width() > self.whole.height()
            && 3 * self.whole.at_edge < self.whole.size()
    }
}

/// The usual height of what may be digits, each counted by its ink.
pub(super) fn digit_height(found: &[Component]) -> Option<u32> {
    let mut heights: Vec<(u32, u32)> = found
        .iter()
        .filter(|one| one.height() >= MIN_DIGIT_HEIGHT && one.width() < one.height() * MAX_ASPECT)
        .map(|one| (one.height(), one.pixels))
        .collect();
    heights.sort_unstable();
    let half = heights.iter().map(|(_, pixels)| pixels).sum::<u32>() / 2;
    let mut sum = 0;
    heights.into_iter().find_map(|(height, pixels)| {
        sum += pixels;
        (sum > half).then_some(height)
    })
}

/// Which of the components `found` are grain of the paper, where digits are about `height` pixels
/// high.
pub(super) fn grain(found: &[Component], height: u32) -> Vec<bool> {
    let size = |one: &Component| one.size() as f32 / height as f32;
    let is_main = |one: &&Component| size(one) >= MAIN_STROKE;
    let least = GRAIN_STRENGTH * usual_strength(found.iter().filter(is_main));
    let is_grain = |one: &Component| size(one) < GRAIN && one.strength() < least;
    let count = found.iter().filter(|one| is_grain(one) && size(one) >= SPECK).count();
    let is_grainy = count > found.iter().filter(is_main).count();
    found.iter().map(|one| is_grainy && is_grain(one)).collect()
}

/// The median ink of components' pixels.
fn usual_strength<'a>(of: impl Iterator<Item = &'a Component>) -> f32 {
    let mut strengths: Vec<f32> = of.map(Component::strength).collect();
    strengths.sort_by(f32::total_cmp);
    strengths.get(strengths.len() / 2).copied().unwrap_or(0.)
}

/// The groups of the components `found`, by their labels, that may be digits of about `height`
/// pixels: as large and as dark as digits, and not cut off by the page's edge if any are not.
pub(super) fn groups(found: &[Component], height: u32) -> Vec<Group> {
    let mut groups = gather(found, height);
    let usual = usual_strength(groups.iter().map(|group| &group.whole));
    groups.retain(|group| group.has_size(height) && group.whole.strength() > MIN_STRENGTH * usual);
    let cut_off = |group: &Group| group.whole.is_cut_off() && !group.is_whole_at_edge(height);
    if groups.iter().any(|group| !cut_off(group)) {
        groups.retain(|group| !cut_off(group));
    }
    groups
}

/// Puts the strokes of a digit together that do not touch, as the top of a 5 and its body, where
/// digits are `height` pixels high.
fn gather(found: &[Component], height: u32) -> Vec<Group> {
    let mut groups: Vec<Group> = (1..)
        .zip(found)
        .filter(|(_, one)| one.pixels > 0 && one.size() as f32 >= SPECK * height as f32)
        .map(|(label, one)| Group { whole: one.clone(), labels: vec![label] })
        .collect();
    let mut at = 0;
    while at < groups.len() {
        let belong = |a: usize, b: usize| belong(&groups[a].whole, &groups[b].whole, height);
        match (at + 1..groups.len()).find(|&other| belong(at, other)) {
            Some(other) => {
                let Group { whole, labels } = groups.swap_remove(other);
                groups[at].whole = groups[at].whole.union(&whole);
                groups[at].labels.extend(labels);
                // Of those before, none belonged to any other; to this one, as it is now, one may.
                let belong =
                    |one: usize| self::belong(&groups[one].whole, &groups[at].whole, height);
                at = (0..at).find(|&one| belong(one)).unwrap_or(at);
            }
            None => at += 1,
        }
    }
    groups
}

/// Whether two components are strokes of one digit: one above the other, or a small one beside a
/// large one.
fn belong(a: &Component, b: &Component, height: u32) -> bool {
    let union = a.union(b);
    let small = a.pixels.min(b.pixels) as f32 / a.pixels.max(b.pixels) as f32;
    let common = (a.right.min(b.right) + 1).saturating_sub(a.left.max(b.left));
    let overlap = common as f32 / a.width().min(b.width()) as f32;
    let of_digit = |size: u32| size as f32 / height as f32;
    let fits = |joint: &Joint| {
        overlap >= joint.overlap
            && of_digit(a.gap(b)) <= joint.gap
            && of_digit(union.width()) <= joint.width
            && of_digit(union.height()) <= joint.height
            && small <= joint.small
    };
    small >= MIN_STROKE
        && of_digit(a.size().max(b.size())) >= MAIN_STROKE
        && (fits(&ABOVE) || fits(&BESIDE))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component that fills its box, of ink 200, on a page that is 400 pixels wide.
    fn filled(left: u32, top: u32, width: u32, height: u32) -> Component {
        let pixels = width * height;
        let (right, bottom) = (left + width - 1, top + height - 1);
        let at_edge = if right == 399 { height } else { 0 };
        Component { pixels, weight: 200. * pixels as f32, at_edge, left, top, right, bottom }
    }

    fn sizes(found: &[Component]) -> Vec<(u32, u32)> {
        let groups = groups(found, 40);
        let size = |group: &Group| (group.whole.width(), group.whole.height());
        let mut sizes: Vec<_> = groups.iter().map(size).collect();
        sizes.sort_unstable();
        sizes
    }

    #[test]
    fn the_usual_height_is_that_of_most_ink() {
        let digits = [38, 40, 42].map(|height| filled(50, 50, 6, height));
        let specks = [filled(9, 9, 3, 3), filled(20, 9, 4, 2), filled(30, 9, 2, 9)];
        let line = filled(10, 200, 300, 12);
        let found = [&digits[..], &specks, &[line]].concat();
        assert_eq!(digit_height(&found), Some(40));
        assert_eq!(digit_height(&specks), None);
    }

    #[test]
    fn strokes_of_one_digit_are_put_together_and_neighbours_are_not() {
        // The top of a 5 above its body, the stem of a 4 close beside its hook, and a 1.
        let five = [filled(52, 40, 20, 5), filled(50, 50, 20, 30)];
        let four = [filled(120, 40, 22, 32), filled(145, 50, 4, 36)];
        let one = [filled(190, 42, 6, 38)];
        assert_eq!(sizes(&[&five[..], &four, &one].concat()), [(6, 38), (22, 40), (29, 46)]);
        // Two lines, one close below the other.
        assert_eq!(sizes(&[filled(50, 40, 20, 40), filled(50, 85, 20, 40)]).len(), 2);
    }

    #[test]
    fn a_stroke_that_joins_two_others_takes_both() {
        let bars = [filled(50, 40, 20, 8), filled(50, 66, 20, 14), filled(52, 52, 16, 10)];
        assert_eq!(sizes(&bars), [(20, 40)]);
    }

    #[test]
    fn pale_specks_are_grain_if_there_are_many() {
        let digits = [filled(50, 50, 20, 40), filled(90, 50, 20, 40)];
        let dot = filled(75, 84, 6, 6);
        let speck = |at: u32| Component { weight: 80. * 36., ..filled(50 + 9 * at, 95, 6, 6) };
        let specks: Vec<_> = (0..5).map(speck).collect();
        let found = [&digits[..], std::slice::from_ref(&dot), &specks].concat();
        assert_eq!(grain(&found, 40), [&[false; 3][..], &[true; 5]].concat());
        let few = [&digits[..], &[dot], &specks[..2]].concat();
        assert_eq!(grain(&few, 40), [false; 5]);
    }

    #[test]
    fn specks_rules_shadows_and_what_the_edge_cuts_off_are_dropped() {
        let digits = [filled(50, 50, 20, 40), filled(90, 50, 20, 40), filled(130, 50, 20, 40)];
        let shadow = Component { weight: 30. * 800., ..filled(200, 50, 20, 40) };
        let others =
            [filled(300, 60, 4, 4), filled(40, 200, 330, 20), shadow, filled(380, 50, 20, 40)];
        assert_eq!(sizes(&[&digits[..], &others].concat()), [(20, 40); 3]);
        // One as high as the others, whose lower stroke the edge cuts.
        let cut = Component { at_edge: 12, ..filled(380, 50, 20, 40) };
        assert_eq!(sizes(&[&digits[..], &[cut]].concat()), [(20, 40); 4]);
        let strip = Component { at_edge: 12, ..filled(392, 50, 8, 40) };
        assert_eq!(sizes(&[&digits[..], &[strip]].concat()), [(20, 40); 3]);
        // Alone on its page, a digit may reach the edge.
        assert_eq!(sizes(&others[3..]), [(20, 40)]);
    }
}

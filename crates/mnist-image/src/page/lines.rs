//! Strokes → digits, or digits that touch → lines of writing.

use crate::component::Component;

/// Height in pixels that a digit must have at least.
pub(super) const MIN_HEIGHT: u32 = 10;
/// So many times as wide as high, a component is no digit, nor a few that touch.
const MAX_ASPECT: u32 = 6;
/// Share of the shorter one's height that two neighbours on a line have in common at least.
const MIN_LEVEL: f64 = 0.35;

/// Strokes that make up one digit, or several that touch.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// The box and the ink of all.
    pub whole: Component,
    /// The labels of its components.
    pub labels: Vec<u32>,
}

impl Group {
    /// Mean ink of its pixels, 0 to 255.
    pub fn strength(&self) -> f32 {
        self.whole.weight / self.whole.pixels as f32
    }
}

/// The usual height of what may be digits, each counted by its ink.
pub(super) fn digit_height(found: &[Component]) -> Option<u32> {
    let mut heights: Vec<(u32, u32)> = found
        .iter()
        .filter(|one| one.height() >= MIN_HEIGHT && one.width() < one.height() * MAX_ASPECT)
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

/// Puts the strokes of a digit together that do not touch, as the top of a 5 and its body, where
/// digits are `height` pixels high.
pub(super) fn gather(found: &[Component], height: u32) -> Vec<Group> {
    let mut groups: Vec<Group> = (1..)
        .zip(found)
        .filter(|(_, one)| one.pixels > 0 && one.size() * 8 >= height)
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
    let (small, large) = (a.pixels.min(b.pixels), a.pixels.max(b.pixels));
    let overlap = (a.right.min(b.right) + 1).saturating_sub(a.left.max(b.left));
    let above = overlap * 2 > a.width().min(b.width())
        && a.gap(b) * 4 <= height
        && union.height() * 2 <= height * 3;
    let beside = small * 4 < large
        && a.gap(b) * 8 <= height
        && union.width() * 10 <= height * 13
        && union.height() * 10 <= height * 13;
    small * 50 >= large && (above || beside)
}

/// Sorts into lines: each group, from left to right, goes on with the line whose last one it is
/// most level with.
pub(super) fn in_lines(mut groups: Vec<Group>) -> Vec<Vec<Group>> {
    groups.sort_by_key(|group| group.whole.left + group.whole.right);
    let mut lines: Vec<Vec<Group>> = Vec::new();
    for group in groups {
        let level = |line: &Vec<Group>| {
            let (last, own) = (&line[line.len() - 1].whole, &group.whole);
            let common = (last.bottom.min(own.bottom) + 1).saturating_sub(last.top.max(own.top));
            f64::from(common) / f64::from(last.height().min(own.height()))
        };
        let best = (0..lines.len()).max_by(|&a, &b| level(&lines[a]).total_cmp(&level(&lines[b])));
        match best.filter(|&line| level(&lines[line]) > MIN_LEVEL) {
            Some(line) => lines[line].push(group),
            None => lines.push(vec![group]),
        }
    }
    let height = |line: &[Group]| {
        let sum: u32 = line.iter().map(|group| group.whole.top + group.whole.bottom).sum();
        f64::from(sum) / line.len() as f64
    };
    lines.sort_by(|a, b| height(a).total_cmp(&height(b)));
    lines
}

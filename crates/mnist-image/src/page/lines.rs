//! Groups of strokes → lines of writing.
//!
//! Each group is linked with its nearest neighbour to the right, as lines of printed text are found
//! by nearest neighbours (O'Gorman 1993, "The document spectrum for page layout analysis"): a line
//! may wander, rise and fall. What is linked is then joined across spaces, level with where it
//! leads.

use super::groups::Group;

/// Share of the lower one's height that two neighbours on a line have in common at least.
const MIN_LEVEL: f32 = 0.35;
/// Cost of a step up or down, as a multiple of one to the right. Chosen on drawn lines that wander,
/// see the tests.
const STEP_COST: f32 = 3.;
/// Widest gap between neighbours, in heights of a digit; wider ones are spaces.
const MAX_NEIGHBOUR_GAP: f32 = 3.;
/// Groups at a line's end that show where it leads.
const LEADING: usize = 4;
/// Slope, either way, up to which a line leads on.
const MAX_LEADING_SLOPE: f32 = 0.25;

/// Sorts groups of digits of about `height` pixels into lines from top to bottom, and each line
/// from left to right.
pub(super) fn in_lines(mut groups: Vec<Group>, height: u32) -> Vec<Vec<Group>> {
    groups.sort_by_key(|group| group.whole.left + group.whole.right);
    let single: Vec<Vec<Group>> = groups.into_iter().map(|group| vec![group]).collect();
    let linked = link(single, MAX_NEIGHBOUR_GAP * height as f32);
    let mut lines = link(linked, f32::INFINITY);
    let mean =
        |line: &[Group]| line.iter().map(|group| centre(group).1).sum::<f32>() / line.len() as f32;
    lines.sort_by(|a, b| mean(a).total_cmp(&mean(b)));
    lines
}

/// Joins each line with the one that goes on with it, nearest ones first. A gap may have `widest`
/// pixels.
fn link(lines: Vec<Vec<Group>>, widest: f32) -> Vec<Vec<Group>> {
    let mut links: Vec<(f32, usize, usize)> = Vec::new();
    for (from, line) in lines.iter().enumerate() {
        let slope = slope(line);
        // From left to right, but for those that begin before the line's end.
        for (to, other) in lines.iter().enumerate() {
            if from != to
                && let Some(cost) = cost(&line[line.len() - 1], slope, &other[0], widest)
            {
                links.push((cost, from, to));
            }
        }
    }
    links.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut next: Vec<Option<usize>> = vec![None; lines.len()];
    let mut is_first = vec![true; lines.len()];
    for (_, from, to) in links {
        if next[from].is_none() && is_first[to] {
            (next[from], is_first[to]) = (Some(to), false);
        }
    }
    let mut lines: Vec<Option<Vec<Group>>> = lines.into_iter().map(Some).collect();
    let mut joined = Vec::new();
    for first in (0..lines.len()).filter(|&line| is_first[line]) {
        let members = std::iter::successors(Some(first), |&line| next[line]);
        joined.push(members.filter_map(|line| lines[line].take()).flatten().collect());
    }
    joined
}

/// What it costs to go on from `last`, at the end of a line of this slope, to `group`; nothing if
/// it is not level with it, not to the right, or more than `widest` away.
fn cost(last: &Group, slope: f32, group: &Group, widest: f32) -> Option<f32> {
    let gap = group.whole.left as f32 - last.whole.right as f32;
    let ((from, y), (to, own)) = (centre(last), centre(group));
    if to <= from || gap > widest {
        return None;
    }
    let step = own - (y + slope * (to - from));
    let (heights, lower) = (
        (last.whole.height() + group.whole.height()) as f32 / 2.,
        last.whole.height().min(group.whole.height()) as f32,
    );
    let common = (heights - step.abs()).min(lower);
    (common > MIN_LEVEL * lower).then(|| (to - from) + STEP_COST * step.abs())
}

/// How much the end of a line falls from left to right, by the middle of Theil and Sen's slopes:
/// one group that hangs down does not turn it. It takes three groups at least.
fn slope(line: &[Group]) -> f32 {
    let end: Vec<(f32, f32)> =
        line[line.len().saturating_sub(LEADING)..].iter().map(centre).collect();
    let mut slopes = Vec::new();
    for (at, (x, y)) in end.iter().enumerate() {
        let later = end[at + 1..].iter().filter(|(other, _)| other > x);
        slopes.extend(later.map(|(other, below)| (below - y) / (other - x)));
    }
    slopes.sort_by(f32::total_cmp);
    match slopes.len() {
        0..3 => 0.,
        some => slopes[some / 2].clamp(-MAX_LEADING_SLOPE, MAX_LEADING_SLOPE),
    }
}

fn centre(group: &Group) -> (f32, f32) {
    let whole = &group.whole;
    ((whole.left + whole.right) as f32 / 2., (whole.top + whole.bottom) as f32 / 2.)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::component::Component;

    /// A digit of 20×30 pixels around a place.
    fn digit((x, y): (f32, f32)) -> Group {
        let (left, top) = (x as u32 - 10, y as u32 - 15);
        let whole = Component {
            pixels: 90,
            weight: 9e3,
            at_edge: 0,
            left,
            top,
            right: left + 19,
            bottom: top + 29,
        };
        Group { whole, labels: Vec::new() }
    }

    /// Whether lines of digits at these places come out again, however the digits are ordered.
    fn are_found(lines: &[Vec<(f32, f32)>]) -> bool {
        let mut groups: Vec<Group> = lines.iter().flatten().copied().map(digit).collect();
        groups.sort_by_key(|group| (group.whole.left * 7919 + group.whole.top * 104_729) % 1009);
        let found = in_lines(groups, 30);
        let places: Vec<Vec<(u32, u32)>> = found
            .iter()
            .map(|line| line.iter().map(|group| (group.whole.left, group.whole.top)).collect())
            .collect();
        let drawn = |&(x, y): &(f32, f32)| (x as u32 - 10, y as u32 - 15);
        let wanted: Vec<Vec<(u32, u32)>> =
            lines.iter().map(|line| line.iter().map(drawn).collect()).collect();
        places == wanted
    }

    /// Five lines of ten digits, `pitch` pixels apart, at a height that `wander` changes by.
    fn page(pitch: f32, wander: impl Fn(usize, usize) -> f32) -> Vec<Vec<(f32, f32)>> {
        let digit = |line: usize, at: usize| {
            (30. + 45. * at as f32, 60. + pitch * line as f32 + wander(line, at))
        };
        (0..5).map(|line| (0..10).map(|at| digit(line, at)).collect()).collect()
    }

    #[test]
    fn lines_that_wander_rise_or_differ_in_slope_stay_apart() {
        assert!(are_found(&page(45., |_, _| 0.)));
        let wandering = page(42., |line, at| ((line * 31 + at * 17) % 13) as f32 - 6.);
        assert!(are_found(&wandering));
        assert!(are_found(&page(42., |_, at| 70. - 7. * at as f32)));
        assert!(are_found(&page(90., |line, at| [0., 8.][line % 2] * at as f32)));
    }

    #[test]
    fn a_line_goes_on_after_a_space_where_it_leads() {
        // A line that falls by a height and a half over its space, and a level one above its end.
        let falling: Vec<(f32, f32)> =
            [0., 1., 2., 3., 9., 10., 11.].map(|at| (30. + 40. * at, 60. + 8. * at)).to_vec();
        let level = [9., 10., 11.].map(|at| (30. + 40. * at, 62.)).to_vec();
        assert!(are_found(&[level, falling]));
    }

    #[test]
    fn a_digit_between_two_lines_goes_to_the_one_that_it_is_level_with() {
        let lines = [
            vec![(30., 60.), (75., 60.), (120., 72.)],
            vec![(30., 100.), (75., 100.), (165., 98.)],
        ];
        assert!(are_found(&lines));
    }
}

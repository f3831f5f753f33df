//! Where the spaces of a line are.

use mnist_image::page::Bounds;

/// A gap more than this many times as wide as the usual one is a space.
const SPACE_IN_GAPS: u32 = 2;
/// The least width of a space, as a share of the digits' height: 4/5.
const MIN_SPACE_IN_DIGITS: (u32, u32) = (4, 5);
/// With at least this many gaps, a line has a usual gap of its own.
const ENOUGH_GAPS: usize = 3;

/// For each digit of each line whether the gap before it is a space.
pub(super) fn spaces(lines: &[Vec<Bounds>]) -> Vec<Vec<bool>> {
    let gap = |pair: &[Bounds]| pair[1].x.saturating_sub(pair[0].x + pair[0].width);
    let gaps: Vec<Vec<u32>> = lines.iter().map(|line| line.windows(2).map(gap).collect()).collect();
    let usual = lower_median(gaps.concat());
    let height = lower_median(lines.iter().flatten().map(|digit| digit.height).collect());
    let spaced = |gaps: Vec<u32>| {
        let usual = if gaps.len() >= ENOUGH_GAPS { lower_median(gaps.clone()) } else { usual };
        let wide =
            (SPACE_IN_GAPS * usual).max(height * MIN_SPACE_IN_DIGITS.0 / MIN_SPACE_IN_DIGITS.1);
        [false].into_iter().chain(gaps.into_iter().map(|gap| gap > wide)).collect()
    };
    gaps.into_iter().map(spaced).collect()
}

/// The median, of an even number the lower of the two, or 0 of none.
pub(super) fn lower_median(mut values: Vec<u32>) -> u32 {
    values.sort_unstable();
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_much_wider_than_the_others_is_a_space() {
        let digit = |x| Bounds { x, y: 0, width: 20, height: 30 };
        let line = [0, 30, 60, 140, 170].map(digit).to_vec();
        assert_eq!(
            spaces(&[line, vec![digit(5)]]),
            [vec![false, false, false, true, false], vec![false]]
        );
    }
}

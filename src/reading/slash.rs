//! Slashes between numbers: to a network alone they are 1s.

use mnist_image::{Digit, SIDE};

// Chosen on pages drawn like our own, of training digits.
/// Heights of its line's digits that a slash has at least.
const TALLER: f32 = 1.15;
/// How far a stroke may lean to the right for each pixel of height, and how much farther a slash
/// leans at least than the page's 1s.
const MOST_LEAN: f32 = 1.;
const MORE_LEAN: f32 = 0.15;
/// Variance, in square pixels of 28×28, of the ink of a straight stroke in a row: a 1 with a flag or
/// a foot has more.
const STRAIGHT: f32 = 1.2;

/// Which of a page's digits are slashes, of what is seen of each and how many times as high as its
/// line's digits it is: straight strokes that are higher, and lean more than others that are not.
/// Where there are no others, they are taken for 1s.
pub(super) fn slashes(found: &[(&Digit, f32)]) -> Vec<bool> {
    let leans: Vec<Option<f32>> = found.iter().map(|(digit, _)| lean(digit)).collect();
    let of_ones = leans.iter().zip(found).filter(|(_, (_, heights))| *heights < TALLER);
    let mut of_ones: Vec<f32> = of_ones.filter_map(|(lean, _)| *lean).collect();
    of_ones.sort_by(f32::total_cmp);
    let Some(&usual) = of_ones.get(of_ones.len() / 2) else { return vec![false; found.len()] };
    let is_slash = |(lean, (_, heights)): (Option<f32>, &(&Digit, f32))| {
        *heights >= TALLER && lean.is_some_and(|lean| lean >= usual.max(0.) + MORE_LEAN)
    };
    leans.into_iter().zip(found).map(is_slash).collect()
}

/// How far a straight stroke leans to the right for each pixel of height; nothing for any other
/// form.
fn lean(digit: &Digit) -> Option<f32> {
    let places = (0..).map(|at| ((at % SIDE) as f32, (at / SIDE) as f32));
    let inked: Vec<_> = places.zip(digit.iter().map(|&ink| f32::from(ink))).collect();
    let mass: f32 = inked.iter().map(|(_, ink)| ink).sum();
    let mean = |of: &dyn Fn(f32, f32) -> f32| {
        inked.iter().map(|&((x, y), ink)| ink * of(x, y)).sum::<f32>() / mass
    };
    let (x0, y0) = (mean(&|x, _| x), mean(&|_, y| y));
    let [xx, xy, yy] = [
        mean(&|x, _| (x - x0).powi(2)),
        mean(&|x, y| (x - x0) * (y - y0)),
        mean(&|_, y| (y - y0).powi(2)),
    ];
    let lean = -xy / yy;
    (lean.abs() <= MOST_LEAN && xx - xy * xy / yy <= STRAIGHT).then_some(lean)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stroke that leans so, with a flag at its upper end or not.
    fn stroke(lean: f32, flag: bool) -> Digit {
        std::array::from_fn(|at| {
            let (x, y) = ((at % SIDE) as f32 - 13.5, (at / SIDE) as f32 - 13.5);
            let stem = (x + lean * y).abs() < 1.2;
            let flagged = flag && y < -4. && (x + lean * y + 2. * (y + 10.)).abs() < 1.6;
            if y.abs() < 10. && (stem || flagged) { 255 } else { 0 }
        })
    }

    #[test]
    fn high_straight_strokes_that_lean_more_than_the_1s_are_slashes() {
        let [one, slash, back] = [0.1, 0.45, -0.45].map(|lean| stroke(lean, false));
        let flagged = stroke(0.45, true);
        let page = [(&one, 1.), (&slash, 1.25), (&one, 1.25), (&back, 1.25), (&flagged, 1.25)];
        assert_eq!(slashes(&page), [false, true, false, false, false]);
        assert_eq!(slashes(&page[..2]), [false, true]);
        assert_eq!(slashes(&page[1..2]), [false], "there is no 1 to compare it with");
        assert_eq!(slashes(&[(&slash, 1.), (&slash, 1.25)]), [false; 2], "they lean as far");
    }
}

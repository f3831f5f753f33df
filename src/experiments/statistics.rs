//! Means, spreads and tests.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Differences with a smaller standard deviation count as all the same: what is left is rounding.
/// Accuracies are from 0 to 1, and float64 is exact to 1e-16 there.
const ROUNDING: f64 = 1e-12;

/// Mean and sample standard deviation over runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The standard deviation, with n − 1; none of a single run.
    pub deviation: Option<f64>,
    /// Runs that it is over.
    pub runs: usize,
}

impl Spread {
    /// Over these; none if there are none.
    pub fn of(values: &[f64]) -> Option<Spread> {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (values.len() > 1).then(|| (squares / (count - 1.)).sqrt());
        (!values.is_empty()).then_some(Spread { mean, deviation, runs: values.len() })
    }
}

/// The probability, under no true difference, of one as large as is between `a` and `b`, which are
/// paired: two-sided, by Student's t-test.
///
/// None for fewer than two pairs, and where the differences are all the same: the test has nothing
/// to go by then.
pub fn paired_t_test(a: &[f64], b: &[f64]) -> Option<f64> {
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    let Spread { mean, deviation, runs } = Spread::of(&differences)?;
    let deviation = deviation.filter(|deviation| *deviation > ROUNDING)?;
    let t = mean / (deviation / (runs as f64).sqrt());
    let distribution = StudentsT::new(0., 1., runs as f64 - 1.).ok()?;
    Some(2. * distribution.sf(t.abs()))
}

/// Corrects p-values for their number (Holm 1979, "A simple sequentially rejective multiple test
/// procedure"), as is needed where what to look at is chosen after a look at all of them.
pub fn correct_by_holm(mut p: Vec<&mut f64>) {
    p.sort_by(|a, b| a.total_cmp(b));
    let (count, mut least) = (p.len(), 0f64);
    for (rank, p) in p.into_iter().enumerate() {
        least = least.max(*p * (count - rank) as f64).min(1.);
        *p = least;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    // Test accuracies over five seeds: RMSprop's and Adam's, and some that are plainly lower.
    pub const A: [f64; 5] = [0.9807, 0.9743, 0.9806, 0.9816, 0.9739];
    pub const B: [f64; 5] = [0.9752, 0.9745, 0.9778, 0.9795, 0.9755];
    pub const C: [f64; 5] = [0.9643, 0.9601, 0.9650, 0.9662, 0.9570];

    #[test]
    fn the_t_test_agrees_with_scipy() {
        // python3 -c 'from scipy.stats import ttest_rel; print(ttest_rel(A, B).pvalue)', scipy
        // 1.17.1
        for (b, p) in [(B, 0.23487125294500383), (C, 4.496459593524481e-06)] {
            let ours = paired_t_test(&A, &b).unwrap();
            assert!((ours / p - 1.).abs() < 1e-9, "{ours} {p}");
        }
        let two = paired_t_test(&[0.97, 0.98], &[0.96, 0.975]).unwrap();
        assert!((two - 0.20483276469913345).abs() < 1e-9, "{two}");
        assert_eq!(paired_t_test(&A[..1], &B[..1]), None);
        assert_eq!(paired_t_test(&[0.5, 0.7], &[0.4, 0.6]), None);
        assert_eq!(paired_t_test(&A, &A), None);
    }

    #[test]
    fn the_spread_divides_by_one_less_than_the_number_of_runs() {
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[3.]), Some(Spread { mean: 3., deviation: None, runs: 1 }));
        let spread = Spread::of(&[1., 2., 3., 4.]).unwrap();
        assert_eq!((spread.mean, spread.runs), (2.5, 4));
        assert!((spread.deviation.unwrap() - (5f64 / 3.).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn holm_multiplies_by_the_number_of_tests_left_and_never_falls() {
        // By hand: 4 × 0.01, 3 × 0.03, 2 × 0.04 but no less than before it, 1 × 0.6.
        let mut p = [0.01, 0.04, 0.03, 0.6];
        correct_by_holm(p.iter_mut().collect());
        for (ours, expected) in p.into_iter().zip([0.04, 0.09, 0.09, 0.6]) {
            assert!((ours - expected).abs() < 1e-12, "{p:?}");
        }
        let mut p = [0.7, 0.8];
        correct_by_holm(p.iter_mut().collect());
        assert_eq!(p, [1., 1.]);
    }
}

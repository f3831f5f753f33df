//! Images that are no digit, to train on beside those that are.
//!
//! A network that has seen digits only is sure of whatever it is shown. Here it gets a class for
//! all else, of the constant logit 0 beside the ten, and is taught it with non-digits (as outlier
//! exposure does with an even distribution: Hendrycks, Mazeika & Dietterich 2019, "Deep anomaly
//! detection with outlier exposure"). Its confidence then tells a digit from what is none, and a
//! whole one from a half or from two at once, and so which cut through touching digits is right.

mod drawn;
mod of_digits;

use anyhow::Result;
use rand::Rng;
use tch::{Device, Kind, Tensor};

use self::drawn::Letters;
use super::Samples;
use super::strokes::Draw;
use crate::PIXELS;

/// Weight of the non-digits' loss, against 1 for the digits': Hendrycks's λ.
pub const WEIGHT: f64 = 0.5;

// Shares of the kinds among the non-digits; the rest is drawn.
/// Parts of digits, and pairs.
const PARTS: f64 = 0.5;
/// Digits turned or mirrored; of these, half may pass for digits and do not count.
const TURNED: f64 = 0.1;

/// Makes non-digits on one device.
#[derive(Debug)]
pub struct NonDigits {
    letters: Letters,
    device: Device,
}

impl NonDigits {
    /// Prepares what is drawn again and again.
    pub fn new(device: Device) -> Result<NonDigits> {
        Ok(NonDigits { letters: Letters::new(device)?, device })
    }

    /// Non-digits drawn for an epoch of `count` non-digits in all: fewer `[drawn, 784]`, in random
    /// order. The others are made of digits, see [`NonDigits::of_digits`].
    pub fn draw<R: Rng>(&self, count: i64, rng: &mut R) -> Tensor {
        type Way<'a, R> = &'a dyn Fn(i64, &mut Draw<'_, R>) -> Tensor;
        // Each with its weight among those that are drawn.
        let kinds: [(f64, Way<'_, R>); 7] = [
            (5., &drawn::scribbles),
            (2., &drawn::tangles),
            (3., &drawn::lines),
            (2., &drawn::frames),
            (1., &drawn::blots),
            (4., &|count, draw| self.letters.printed(count, draw)),
            (5., &|count, draw| self.letters.written(count, draw)),
        ];
        let count = count - made(count);
        let total: f64 = kinds.iter().map(|(weight, _)| weight).sum();
        let draw = &mut Draw { rng, device: self.device };
        let mut images = vec![Tensor::zeros([0, PIXELS as i64], (Kind::Float, self.device))];
        let (mut drawn, mut share) = (0, 0.);
        for (weight, kind) in kinds {
            share += weight / total;
            let own = (count as f64 * share).round() as i64 - drawn;
            drawn += own;
            if own > 0 {
                images.push(kind(own, draw));
            }
        }
        Tensor::cat(&images, 0).index_select(0, &draw.order(drawn))
    }

    /// Non-digits made of `samples`, about as many as an epoch of as many non-digits has beside
    /// those that are drawn: `[made, 784]`, and for each, `[made]`, 1, or 0 where it may pass
    /// for a digit.
    pub fn of_digits(&self, samples: &Samples, rng: &mut impl Rng) -> (Tensor, Tensor) {
        let made = made(samples.count());
        let turned = (made as f64 * TURNED / (PARTS + TURNED)) as i64;
        let draw = &mut Draw { rng, device: self.device };
        let whole = samples.narrow(made - turned, turned);
        let (parts, parts_valid) =
            of_digits::parts(&samples.images.narrow(0, 0, made - turned), draw);
        let (turned, turned_valid) = of_digits::turned(&whole.images, &whole.labels, draw);
        (Tensor::cat(&[parts, turned], 0), Tensor::cat(&[parts_valid, turned_valid], 0))
    }
}

/// How many of `count` non-digits are made of digits.
fn made(count: i64) -> i64 {
    (count as f64 * (PARTS + TURNED)).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::ChaCha8Rng;

    fn rng() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(5)
    }

    #[test]
    fn what_is_drawn_has_ink_is_as_many_as_asked_and_comes_of_the_seed_alone() {
        let non_digits = NonDigits::new(Device::Cpu).unwrap();
        let drawn = non_digits.draw(500, &mut rng());
        assert_eq!(drawn.size(), [500 - made(500), 784]);
        assert!(drawn.min().double_value(&[]) >= 0. && drawn.max().double_value(&[]) <= 1.);
        let ink = drawn.sum_dim_intlist(&[1i64][..], false, Kind::Float);
        assert!(ink.min().double_value(&[]) > 5. && ink.max().double_value(&[]) < 500.);
        assert!(drawn.equal(&non_digits.draw(500, &mut rng())));
        assert_eq!(non_digits.draw(0, &mut rng()).size(), [0, 784]);
        assert!(non_digits.draw(3, &mut rng()).size()[0] <= 3);
    }

    #[test]
    fn of_digits_come_parts_pairs_and_turned_ones_that_are_no_digits() {
        let non_digits = NonDigits::new(Device::Cpu).unwrap();
        let train = crate::dataset::load(None).unwrap().train.narrow(0, 600);
        let (images, valid) = non_digits.of_digits(&train, &mut rng());
        assert_eq!(images.size(), [made(600), 784]);
        let share = valid.mean(Kind::Float).double_value(&[]);
        assert!((0.4..0.95).contains(&share), "{share}");
        // An 8 or 0 may be one still, however it is turned.
        let zeros = Samples { labels: train.labels.zeros_like(), ..train };
        let (_, valid) = non_digits.of_digits(&zeros, &mut rng());
        let turned = (made(600) as f64 * TURNED / (PARTS + TURNED)) as i64;
        let turned = valid.narrow(0, made(600) - turned, turned);
        assert_eq!(turned.sum(Kind::Float).double_value(&[]), 0.);
    }
}

//! Which pixels speak for an answer and which against it: exact for two layers.

use mnist_image::Digit;

use super::arrays::Arrays;
use crate::{CLASSES, PIXELS};

/// What makes up the logit of one class less the mean of the others'.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// The part of each pixel: more than 0 speaks for the class, less than 0 against it. Where
    /// there is no ink, it is 0.
    pub pixels: [f32; PIXELS],
    /// The part of the biases.
    pub bias: f32,
}

impl Evidence {
    /// The evidence for `class` in `digit`.
    ///
    /// With xₚ the pixels from 0 to 1 and aₕ 1 for each hidden unit that is active, 0 for the
    /// others, a logit is the sum of xₚ · Σₕ aₕ W₂\[k, h\] W₁\[h, p\] over all pixels and of
    /// Σₕ aₕ W₂\[k, h\] b₁\[h\] + b₂\[k\]: the units that are not active give nothing, so this
    /// splits it without a rest, as gradient × input does for a network that is linear where it is.
    pub fn new(arrays: &Arrays, digit: &Digit, class: usize) -> Evidence {
        let [kernel_1, bias_1, kernel_2, bias_2] = &arrays.values;
        let hidden = bias_1.len();
        // How much more than the mean of the others it is for `class`.
        let ahead = |of: &dyn Fn(usize) -> f32| {
            let others: f32 = (0..CLASSES).filter(|other| *other != class).map(of).sum();
            of(class) - others / (CLASSES - 1) as f32
        };
        let inks = digit.map(|ink| f32::from(ink) / 255.);
        let mut evidence = Evidence { pixels: [0.; PIXELS], bias: ahead(&|class| bias_2[class]) };
        for (unit, (kernel, bias)) in
            kernel_1.as_chunks::<PIXELS>().0.iter().zip(bias_1).enumerate()
        {
            let sum: f32 = kernel.iter().zip(&inks).map(|(weight, ink)| weight * ink).sum();
            if sum + bias <= 0. {
                continue;
            }
            let weight = ahead(&|class| kernel_2[class * hidden + unit]);
            evidence.bias += weight * bias;
            for (pixel, kernel) in evidence.pixels.iter_mut().zip(kernel) {
                *pixel += weight * kernel;
            }
        }
        evidence.pixels.iter_mut().zip(inks).for_each(|(pixel, ink)| *pixel *= ink);
        evidence
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;

    use super::*;
    use crate::network::classifier::Classifier;
    use crate::network::plain::Plain;

    #[test]
    fn the_parts_sum_up_to_the_difference_of_the_logits() {
        let hidden = 61;
        let value = |at: usize| ((at * 7919 % 1009) as f32 - 504.) / 5040.;
        let array = |count: usize| (0..count).map(value).collect();
        let values =
            [array(hidden * PIXELS), array(hidden), array(CLASSES * hidden), array(CLASSES)];
        let arrays = Arrays { hidden, values };
        let digit: Digit = std::array::from_fn(|pixel| match pixel % 5 {
            0 => 0,
            _ => (pixel * 31 % 251) as u8,
        });
        let logits = Plain::new(arrays.clone(), NonZero::<usize>::MIN).logits(&[digit]).unwrap()[0];
        for class in 0..CLASSES {
            let evidence = Evidence::new(&arrays, &digit, class);
            let others = (logits.iter().sum::<f32>() - logits[class]) / (CLASSES - 1) as f32;
            let sum = evidence.pixels.iter().sum::<f32>() + evidence.bias;
            let expected = logits[class] - others;
            assert!((sum - expected).abs() < 1e-3, "{class}: {sum}, not {expected}");
            assert!(evidence.pixels.iter().zip(digit).all(|(part, ink)| ink > 0 || *part == 0.));
        }
    }
}

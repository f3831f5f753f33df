//! The network in plain Rust: nothing to load, nothing to initialise.

use std::borrow::Cow;
use std::num::NonZero;
use std::thread;

use anyhow::{Result, ensure};
use mnist_image::Digit;

use super::arrays::Arrays;
use super::classifier::Classifier;
use crate::{CLASSES, PIXELS};

/// Digits that a thread computes at least: fewer are done before a thread has started.
const LEAST_ROWS: usize = 64;

/// The network in plain Rust, in float32.
#[derive(Debug)]
pub struct Plain {
    arrays: Arrays,
    threads: NonZero<usize>,
}

impl Plain {
    /// The network with these weights, computed by up to `threads` threads. Their number changes no
    /// bit of the results.
    pub fn new(arrays: Arrays, threads: NonZero<usize>) -> Plain {
        Plain { arrays, threads }
    }

    /// The logits of images `[count, 784]`, computed by this thread.
    fn forward(&self, pixels: &[f32]) -> Vec<[f32; CLASSES]> {
        let [kernel_1, bias_1, kernel_2, bias_2] = &self.arrays.values;
        let mut hidden = dense(pixels, kernel_1, bias_1); // [count, hidden]
        hidden.iter_mut().for_each(|value| *value = value.max(0.));
        dense(&hidden, kernel_2, bias_2).as_chunks().0.to_vec() // [count, 10]
    }

    /// The logits of images, by several threads where there are enough of them. Each thread gets
    /// the pixels of its own by `pixels`.
    fn compute<I: Sync>(
        &self,
        images: &[I],
        pixels: impl Fn(&[I]) -> Cow<'_, [f32]> + Copy + Send,
    ) -> Result<Vec<[f32; CLASSES]>> {
        for (name, shape, values) in self.arrays.named() {
            let count = shape.iter().product::<usize>();
            ensure!(
                count > 0 && values.len() == count,
                "{name} has {} values, not those of {shape:?}; load weights that belong together",
                values.len()
            );
        }
        let rows = images.len().div_ceil(self.threads.get()).max(LEAST_ROWS);
        if images.len() <= rows {
            return Ok(self.forward(&pixels(images)));
        }
        Ok(thread::scope(|scope| {
            let start = |part| scope.spawn(move || self.forward(&pixels(part)));
            let parts: Vec<_> = images.chunks(rows).map(start).collect();
            parts.into_iter().flat_map(|part| part.join().expect("it only computes")).collect()
        }))
    }
}

impl Classifier for Plain {
    fn logits(&self, digits: &[Digit]) -> Result<Vec<[f32; CLASSES]>> {
        self.compute(digits, |digits| {
            digits.as_flattened().iter().map(|ink| f32::from(*ink) / 255.).collect()
        })
    }

    fn logits_of_values(&self, images: &[[f32; PIXELS]]) -> Result<Vec<[f32; CLASSES]>> {
        self.compute(images, |images| images.as_flattened().into())
    }

    fn is_independent_of_batch(&self) -> bool {
        true
    }
}

/// A dense layer: `inputs [rows, n]` times the transpose of `kernel [outputs, n]`, plus `bias
/// [outputs]`, is `[rows, outputs]`.
#[allow(unsafe_code)]
fn dense(inputs: &[f32], kernel: &[f32], bias: &[f32]) -> Vec<f32> {
    let outputs = bias.len();
    let n = kernel.len() / outputs;
    let rows = inputs.len() / n;
    let mut result = bias.repeat(rows);
    assert!(
        kernel.len() == outputs * n && inputs.len() == rows * n && result.len() == rows * outputs
    );
    let (n_step, output_step) = (n as isize, outputs as isize);
    // SAFETY: with these steps from row to row and from column to column, the three matrices are
    // just the slices, as was made sure of above; the result overlaps neither of the others.
    unsafe {
        matrixmultiply::sgemm(
            rows,
            n,
            outputs,
            1.,
            inputs.as_ptr(),
            n_step,
            1,
            kernel.as_ptr(),
            1,
            n_step,
            1.,
            result.as_mut_ptr(),
            output_step,
            1,
        );
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dense_layer_is_a_product_and_a_sum() {
        let inputs = [1., 2., 3., 4., 5., 6.]; // two rows
        let kernel = [1., 0., 0., 1., 1., 1., 0., -1., 0., 2., 0., 2.]; // four outputs
        assert_eq!(
            dense(&inputs, &kernel, &[0., 10., 0., 0.5]),
            [1., 16., -2., 8.5, 4., 25., -5., 20.5]
        );
        assert!(dense(&[], &kernel, &[0.; 4]).is_empty());
    }

    #[test]
    fn weights_of_other_shapes_are_refused() {
        let arrays = |hidden, counts: [usize; 4]| {
            let values = counts.map(|count| vec![0.5; count]);
            Plain::new(Arrays { hidden, values }, NonZero::<usize>::MIN)
        };
        assert!(arrays(2, [2 * PIXELS, 2, 20, 10]).logits(&[[9; PIXELS]]).is_ok());
        for (hidden, counts) in [
            (0, [0, 0, 0, 10]),
            (2, [PIXELS, 2, 20, 10]),
            (2, [2 * PIXELS, 1, 20, 10]),
            (2, [2 * PIXELS, 2, 20, 9]),
        ] {
            let refused = arrays(hidden, counts).logits(&[[9; PIXELS]]);
            assert!(refused.unwrap_err().to_string().contains("dense_"), "{counts:?}");
        }
    }

    #[test]
    fn neither_the_batch_nor_the_number_of_threads_changes_a_bit() {
        let hidden = 37;
        let value = |at: usize| ((at * 7919 % 1009) as f32 - 504.) / 5040.;
        let array = |count: usize| (0..count).map(value).collect();
        let values =
            [array(hidden * PIXELS), array(hidden), array(CLASSES * hidden), array(CLASSES)];
        let arrays = Arrays { hidden, values };
        let with = |threads| Plain::new(arrays.clone(), NonZero::new(threads).unwrap());
        let digit = |at: usize| std::array::from_fn(|pixel| (pixel * (at + 3) % 251) as u8);
        let digits: Vec<Digit> = (0..300).map(digit).collect();
        let together = with(1).logits(&digits).unwrap();
        assert_eq!(with(4).logits(&digits).unwrap(), together);
        for (digit, logits) in digits.iter().zip(&together) {
            assert_eq!(with(1).logits(&[*digit]).unwrap(), [*logits]);
        }
        let values: Vec<_> =
            digits.iter().map(|digit| digit.map(|ink| f32::from(ink) / 255.)).collect();
        assert_eq!(with(4).logits_of_values(&values).unwrap(), together);
    }
}

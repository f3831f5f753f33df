//! The weights of a network as plain numbers.

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::{CLASSES, PIXELS};

/// The names of the two layers in our files.
pub const LAYERS: [&str; 2] = ["dense_1", "dense_2"];
/// The names of their arrays: each layer's kernel, then its bias.
pub(crate) const NAMES: [&str; 4] =
    ["dense_1.weight", "dense_1.bias", "dense_2.weight", "dense_2.bias"];

/// The weights of a network, each array row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrays {
    /// Number of hidden units.
    pub hidden: usize,
    /// The values of `dense_1.weight [hidden, 784]`, `dense_1.bias [hidden]`,
    /// `dense_2.weight [10, hidden]` and `dense_2.bias [10]`.
    pub values: [Vec<f32>; 4],
}

/// A line of the summary.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Layer {
    /// Name, as in the weight file.
    pub name: &'static str,
    /// Kind of layer, in Keras's words.
    pub kind: &'static str,
    /// Number of outputs for each sample.
    pub outputs: i64,
    /// Number of trainable values.
    pub parameters: i64,
}

impl Arrays {
    /// The shapes of the four arrays, of one or two dimensions.
    pub fn shapes(&self) -> [Vec<usize>; 4] {
        let hidden = self.hidden;
        [vec![hidden, PIXELS], vec![hidden], vec![CLASSES, hidden], vec![CLASSES]]
    }

    /// The arrays, each with its name in our files and its shape.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&'static str, Vec<usize>, &[f32])> {
        let values = self.values.iter().map(Vec::as_slice);
        NAMES.into_iter().zip(self.shapes()).zip(values).map(|((n, s), v)| (n, s, v))
    }

    /// The layers from input to output.
    pub fn layers(&self) -> [Layer; 2] {
        let outputs = [self.hidden, CLASSES];
        let parameters =
            |layer: usize| self.values[2 * layer..][..2].iter().map(Vec::len).sum::<usize>();
        [0, 1].map(|at| Layer {
            name: LAYERS[at],
            kind: "Dense",
            outputs: outputs[at] as i64,
            parameters: parameters(at) as i64,
        })
    }

    /// The weights of the first layer by hidden unit, one for each pixel.
    pub fn filters(&self) -> &[[f32; PIXELS]] {
        self.values[0].as_chunks().0
    }

    /// Makes sure that all values are numbers, and that no image makes the network's sums, in
    /// float32, anything else.
    pub(crate) fn check_values(&self) -> Result<()> {
        for (name, _, values) in self.named() {
            let finite = values.iter().all(|value| value.is_finite());
            ensure!(finite, "{name:?} has values that are infinite or not a number");
        }
        let [kernel_1, bias_1, kernel_2, bias_2] = &self.values;
        let size = |value: &f32| f64::from(value.abs());
        // The most that a hidden unit, then an output, may be, of pixels from 0 to 1.
        let most_hidden = kernel_1.chunks(PIXELS).zip(bias_1);
        let most_hidden: Vec<f64> =
            most_hidden.map(|(row, bias)| row.iter().map(size).sum::<f64>() + size(bias)).collect();
        let most = kernel_2.chunks(self.hidden).zip(bias_2).map(|(row, bias)| {
            let products = row.iter().zip(&most_hidden).map(|(value, hidden)| size(value) * hidden);
            products.sum::<f64>() + size(bias)
        });
        let most = most.chain(most_hidden.iter().copied()).fold(0., f64::max);
        ensure!(most < f32::MAX.into(), "its weights are too large to compute with");
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Three hidden units, each value its number within its array.
    pub fn arrays() -> Arrays {
        let values = [3 * PIXELS, 3, 3 * CLASSES, CLASSES];
        let values = values.map(|count| (0..count).map(|at| at as f32).collect());
        Arrays { hidden: 3, values }
    }

    #[test]
    fn weights_whose_sums_overflow_are_refused() {
        let arrays = |kernel: f32, last: f32| Arrays {
            hidden: 2,
            values: [vec![kernel; 2 * PIXELS], vec![0.; 2], vec![last; 20], vec![0.; 10]],
        };
        arrays(-1e30, 1e5).check_values().unwrap();
        for (kernel, last) in [(1e37, 0.), (1e30, -1e6), (f32::NAN, 0.)] {
            assert!(arrays(kernel, last).check_values().is_err(), "{kernel} {last}");
        }
    }
}

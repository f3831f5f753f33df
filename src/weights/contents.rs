//! Arrays from elsewhere, and the checks that they are the weights of a network.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

use crate::network::arrays::Arrays;
use crate::network::classifier::MAX_HIDDEN;
use crate::{CLASSES, PIXELS};

/// The most bytes that are taken into memory at once: the largest network's weights in float64.
pub(super) const MAX_WEIGHTS_BYTES: u64 = 8 * (PIXELS + CLASSES + 2) as u64 * MAX_HIDDEN as u64;

/// How many times smaller a file may be than what is in it. Weights hardly compress: what
/// decompresses to far more is made to fill memory.
pub(super) const MAX_COMPRESSION: u64 = 16;

/// Arrays that an error names at most.
const NAMED: usize = 8;

/// What is to be said of arrays that hold no floating-point numbers.
pub(super) const NO_FLOAT: &str = "expected float32, or float64, float16 or bfloat16";

/// How floating-point numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    F16,
    Bf16,
    F32,
    F64,
}

impl Number {
    /// The numbers in `bytes`, little-endian; what is left of half a number is ignored.
    pub fn decode(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Number::F16 => convert(bytes, |b| half::f16::from_le_bytes(b).to_f32()),
            Number::Bf16 => convert(bytes, |b| half::bf16::from_le_bytes(b).to_f32()),
            Number::F32 => convert(bytes, f32::from_le_bytes),
            Number::F64 => convert(bytes, |b| f64::from_le_bytes(b) as f32),
        }
    }
}

fn convert<const SIZE: usize>(bytes: &[u8], number: impl Fn([u8; SIZE]) -> f32) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|bytes| number(*bytes)).collect()
}

/// The bytes of float32, little-endian.
pub(crate) fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The transpose of a matrix with `columns` columns.
pub(super) fn transposed(values: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|at| values.iter().skip(at).step_by(columns)).copied().collect()
}

/// Takes the values of the array of that name into memory, row by row.
pub(super) type Read = Box<dyn FnMut(&str) -> Result<Vec<f32>>>;

/// What a file holds, as `LAYER.weight [outputs, inputs]` and `LAYER.bias [outputs]`.
pub(super) struct Contents {
    pub shapes: BTreeMap<String, Vec<usize>>,
    pub read: Read,
}

impl Contents {
    /// The weights of a network of ours, if a file of `length` bytes holds that and no more.
    pub fn take(self, length: u64) -> Result<Arrays> {
        let Contents { shapes, mut read } = self;
        let names = check(&shapes)?;
        let hidden = shapes[names[0]][0];
        ensure!(
            (1..=MAX_HIDDEN as usize).contains(&hidden),
            "it has {hidden} hidden units, expected 1 to {MAX_HIDDEN}"
        );
        ensure!(
            hidden as u64 <= MAX_COMPRESSION * length / PIXELS as u64,
            "it claims {hidden} hidden units in {length} bytes"
        );
        let mut arrays = Arrays { hidden, values: Default::default() };
        let shapes = arrays.shapes();
        for ((values, name), shape) in arrays.values.iter_mut().zip(names).zip(shapes) {
            *values = read(name).with_context(|| format!("cannot read {name:?}"))?;
            let count: usize = shape.iter().product();
            ensure!(
                values.len() == count,
                "{name:?} has {} values, not the {count} of its shape",
                values.len()
            );
        }
        arrays.check_values()?;
        Ok(arrays)
    }
}

/// Checks that arrays of these shapes are the weights of a network of ours, and returns the names
/// of the first layer's kernel and bias, then the second's. Any two layers that fit one after the
/// other are taken, whatever their names.
fn check(shapes: &BTreeMap<String, Vec<usize>>) -> Result<[&str; 4]> {
    let found = || {
        let list: Vec<_> =
            shapes.iter().take(NAMED).map(|(name, shape)| format!("{name:?} {shape:?}")).collect();
        let more = if shapes.len() > NAMED { ", …" } else { "" };
        format!(
            "expected two dense layers, {PIXELS} → hidden → {CLASSES}, each with a weight \
             [outputs, inputs] and a bias [outputs]; found: {}{more}",
            list.join(", ")
        )
    };
    let kernels: Vec<_> = shapes.iter().filter(|(name, _)| name.ends_with(".weight")).collect();
    let &[a, b] = &kernels[..] else { bail!(found()) };
    // The shapes leave no choice of which layer is the first.
    let fits = |first: &[usize], second: &[usize]| match (first, second) {
        (&[hidden, inputs], &[outputs, also]) => {
            inputs == PIXELS && outputs == CLASSES && hidden == also
        }
        _ => false,
    };
    let layers = match (fits(a.1, b.1), fits(b.1, a.1)) {
        (true, _) => [a, b],
        (_, true) => [b, a],
        _ => bail!(found()),
    };
    let mut names = Vec::new();
    for (name, shape) in layers {
        let bias = format!("{}bias", name.strip_suffix("weight").unwrap_or_default());
        match shapes.get_key_value(&bias) {
            Some((bias, found)) if found[..] == shape[..1] => names.extend([&name[..], bias]),
            _ => bail!(found()),
        }
    }
    ensure!(shapes.len() == names.len(), found());
    Ok([names[0], names[1], names[2], names[3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_decoded() {
        assert_eq!(Number::F16.decode(&[0x00, 0x3e, 0xff]), [1.5]);
        assert_eq!(Number::Bf16.decode(&[0xc0, 0x3f]), [1.5]);
        assert_eq!(Number::F32.decode(&bytes_of(&[1.5, -0.25])), [1.5, -0.25]);
        assert_eq!(Number::F64.decode(&1e300_f64.to_le_bytes()), [f32::INFINITY]);
    }

    #[test]
    fn rows_become_columns() {
        assert_eq!(transposed(&[1., 2., 3., 4., 5., 6.], 3), [1., 4., 2., 5., 3., 6.]);
    }

    #[test]
    fn the_shapes_say_which_layer_is_the_first() {
        let shapes = [
            ("b.weight", vec![3, PIXELS]),
            ("b.bias", vec![3]),
            ("a.weight", vec![CLASSES, 3]),
            ("a.bias", vec![CLASSES]),
        ]
        .map(|(name, shape)| (name.to_string(), shape));
        let expected = ["b.weight", "b.bias", "a.weight", "a.bias"];
        assert_eq!(check(&BTreeMap::from(shapes)).unwrap(), expected);
    }
}

//! Changes images by tensor operations, thousands at once, on whatever device they are.

use rand::{Rng, RngExt};
use tch::{Device, Kind, Tensor};

use super::Augment;
use crate::PIXELS;
use crate::SIDE;
use crate::dataset::strokes::{Draw, in_mnist_form};

// Limits of what is drawn uniformly, chosen on a validation split of MNIST's training set.
/// Rotation in degrees.
const ROTATION: f32 = 12.;
/// Natural logarithm of the scale of either axis.
const SCALE: f32 = 0.15;
/// Sideways shift of a row, as a share of its height above the centre.
const SHEAR: f32 = 0.2;
/// Shift along either axis in pixels: little, since images are centred by their mass.
const SHIFT: f32 = 1.;
/// How far strokes move towards their dilation or erosion, as a share.
const STROKE: f32 = 0.3;
/// Root mean square of the elastic displacement along either axis in pixels; Simard's α of 34
/// comes to 1.4.
const ELASTIC: f32 = 0.9;
/// Distance in pixels of the random displacements that the elastic ones are mixed from, and the
/// deviation of the Gaussian that mixes them: Simard's σ.
const ELASTIC_SIGMA: f32 = 4.;
/// Share of the images that are shown at a low resolution.
const LOW_RESOLUTION: f32 = 0.2;
/// Pixels along either side of what these are shrunk to: their digits are 7 to 12 pixels high,
/// lower ones cannot be told apart.
const LOW_SIDES: [i64; 5] = [10, 11, 12, 14, 17];
/// Natural logarithm of the most that the contrast of these is raised by: what is found in a
/// photograph is often nearly binary.
const CONTRAST: f32 = 1.4;
/// The ink that stays as it is when contrast is raised; less becomes none.
const LEVEL: (f32, f32) = (0.25, 0.55);

/// Makes changed copies on one device.
#[derive(Debug)]
pub struct Augmenter {
    kinds: Vec<Augment>,
    /// What a grid of sampling points is a mixture of, `[terms, 784]`: x, y, 1, and bumps.
    basis: Tensor,
    terms: usize,
}

impl Augmenter {
    /// Prepares for `kinds`, in any order.
    pub fn new(kinds: &[Augment], device: Device) -> Augmenter {
        let place = |pixel: usize| (2 * pixel + 1) as f32 / SIDE as f32 - 1.; // as grid_sampler counts
        let rows_and_columns = || (0..PIXELS).map(|pixel| (pixel / SIDE, pixel % SIDE));
        let mut basis: Vec<f32> = rows_and_columns().map(|(_, column)| place(column)).collect();
        basis.extend(rows_and_columns().map(|(row, _)| place(row)));
        basis.extend([1.; PIXELS]);
        if kinds.contains(&Augment::Elastic) {
            let steps = (SIDE as f32 / ELASTIC_SIGMA) as usize + 2;
            let bump = |step: usize, pixel: usize| {
                let distance = (step as f32 - 0.5) * ELASTIC_SIGMA - pixel as f32 - 0.5;
                (-0.5 * (distance / ELASTIC_SIGMA).powi(2)).exp()
            };
            for (above, left) in (0..steps * steps).map(|at| (at / steps, at % steps)) {
                basis.extend(rows_and_columns().map(|(y, x)| bump(above, y) * bump(left, x)));
            }
        }
        let terms = basis.len() / PIXELS;
        let basis = Tensor::from_slice(&basis).view([terms as i64, PIXELS as i64]);
        if terms > 3 {
            // So that numbers of variance 1 displace every pixel by 1 in the mean of squares.
            let mut bumps = basis.narrow(0, 3, terms as i64 - 3);
            let size = bumps.square().sum_dim_intlist(&[0i64][..], true, Kind::Float).sqrt();
            bumps /= size;
        }
        Augmenter { kinds: kinds.to_vec(), basis: basis.to_device(device), terms }
    }

    /// Changed copies of `images` `[count, 784]`, each in its own way, drawn from `rng`.
    pub fn apply(&self, images: &Tensor, rng: &mut impl Rng) -> Tensor {
        let count = images.size()[0];
        let has = |kind| self.kinds.contains(&kind);
        let mut uniform = |limit: f32| rng.random_range(-limit..limit);
        let pixel = 2. / SIDE as f32;
        let mut mixture: Vec<f32> = Vec::with_capacity(count as usize * 2 * self.terms);
        let mut strokes: Vec<f32> = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let mut rows = [[1., 0., 0.], [0., 1., 0.]];
            if has(Augment::Affine) {
                let (sin, cos) = uniform(ROTATION).to_radians().sin_cos();
                let scale = [(); 2].map(|()| uniform(SCALE).exp());
                let shear = uniform(SHEAR);
                let shift = [(); 2].map(|()| pixel * uniform(SHIFT));
                rows = [
                    [scale[0] * cos, scale[0] * (shear * cos - sin), shift[0]],
                    [scale[1] * sin, scale[1] * (shear * sin + cos), shift[1]],
                ];
            }
            for row in rows {
                mixture.extend(row);
                let limit = pixel * ELASTIC * 3f32.sqrt(); // of variance ELASTIC² pixels²
                mixture.extend((3..self.terms).map(|_| uniform(limit)));
            }
            strokes.push(uniform(STROKE));
        }
        let tensor = |values: &[f32]| Tensor::from_slice(values).to_device(images.device());
        let mut changed = images.view([count, 1, SIDE as i64, SIDE as i64]);
        if has(Augment::Affine) || has(Augment::Elastic) {
            let grid = tensor(&mixture).view([count * 2, -1]).matmul(&self.basis);
            let grid = grid.view([count, 2, SIDE as i64, SIDE as i64]).permute([0, 2, 3, 1]);
            let (bilinear, zeros_around) = (0, 0);
            changed = changed.grid_sampler(&grid, bilinear, zeros_around, false);
        }
        if has(Augment::Stroke) {
            changed = restroke(&changed, &tensor(&strokes).view([count, 1, 1, 1]));
        }
        if has(Augment::LowResolution) {
            changed = coarsened(&changed, rng);
        }
        changed.view([count, PIXELS as i64])
    }
}

/// Moves each image towards its 3×3 dilation by a positive `strength`, or towards its erosion by
/// a negative one.
fn restroke(images: &Tensor, strength: &Tensor) -> Tensor {
    let side = SIDE as i64;
    let sign = strength.sign();
    let mut extreme = images * &sign; // the erosion is the negative's dilation
    for axis in [2, 3] {
        let inner = extreme.narrow(axis, 0, side - 1).maximum(&extreme.narrow(axis, 1, side - 1));
        let (first, last) = (inner.narrow(axis, 0, 1), inner.narrow(axis, side - 2, 1));
        let middle = inner.narrow(axis, 0, side - 2).maximum(&inner.narrow(axis, 1, side - 2));
        extreme = Tensor::cat(&[first, middle, last], axis);
    }
    images.lerp_tensor(&(extreme * sign), &strength.abs())
}

/// `images` `[count, 1, 28, 28]`, some of them at a low resolution and of higher contrast.
fn coarsened(images: &Tensor, rng: &mut impl Rng) -> Tensor {
    let (count, side) = (images.size()[0], SIDE as i64);
    let sizes = LOW_SIDES.len();
    let mut chosen = vec![Vec::new(); sizes];
    for image in 0..count {
        let size = (rng.random_range(0. ..1f32) / LOW_RESOLUTION * sizes as f32) as usize;
        if let Some(chosen) = chosen.get_mut(size) {
            chosen.push(image);
        }
    }
    let mut changed = images.copy();
    for (chosen, size) in chosen.iter().zip(LOW_SIDES).filter(|(chosen, _)| !chosen.is_empty()) {
        let indices = Tensor::from_slice(chosen).to_device(images.device());
        let small = images.index_select(0, &indices).adaptive_avg_pool2d([size, size]);
        let smooth = small.upsample_bilinear2d([side, side], false, None, None);
        let darkest = smooth.amax([2i64, 3], true).clamp_min(0.1);
        let mut draw = Draw { rng: &mut *rng, device: images.device() };
        let shape = [chosen.len() as i64, 1, 1, 1];
        let contrast = draw.uniform(&shape, 0., CONTRAST).exp();
        let level = draw.uniform(&shape, LEVEL.0, LEVEL.1);
        let ink = ((smooth / darkest - &level) * contrast + level).clamp(0., 1.);
        let form = in_mnist_form(&ink.squeeze_dim(1)).view([-1, 1, side, side]);
        let _ = changed.index_copy_(0, &indices, &form);
    }
    changed
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::ChaCha8Rng;

    use super::*;
    use crate::dataset;
    use crate::dataset::strokes::extent;

    #[test]
    fn images_change_within_limits_and_by_the_seed() {
        let images = dataset::load(None).unwrap().test.ink().narrow(0, 0, 500);
        let ways = [Augment::Affine, Augment::Elastic, Augment::Stroke];
        let changed = |ways: &[Augment], seed| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            Augmenter::new(ways, Device::Cpu).apply(&images, &mut rng)
        };
        let far = |a: &Tensor, b: &Tensor| (a - b).abs().mean(Kind::Float).double_value(&[]);
        // The mean ink of each image, and its centre of mass in pixels.
        let moments = |images: &Tensor| {
            let weight = |dim: i64| {
                let places = Tensor::arange(28, (Kind::Float, Device::Cpu));
                let places =
                    if dim == 1 { places.view([1, 28, 1]) } else { places.view([1, 1, 28]) };
                (images.view([-1, 28, 28]) * places).sum_dim_intlist(
                    &[1i64, 2][..],
                    false,
                    Kind::Float,
                )
            };
            let ink = images.sum_dim_intlist(&[1i64][..], false, Kind::Float);
            (weight(1) / &ink, weight(2) / &ink, ink)
        };
        for way in ways {
            let one = changed(&[way], 1);
            assert_eq!(one, changed(&[way], 1));
            assert!(far(&one, &changed(&[way], 2)) > 1e-3, "{way:?}");
            assert!(far(&one, &images) > 1e-3 && one.min().double_value(&[]) >= 0., "{way:?}");
            assert!(one.max().double_value(&[]) <= 1. + 1e-6, "{way:?}");
            let (before, after) = (moments(&images), moments(&one));
            for (a, b) in [(&before.0, &after.0), (&before.1, &after.1)] {
                let shift = (a - b).abs().max().double_value(&[]);
                assert!(shift < 3., "{way:?}: the centre of mass moves by {shift}");
            }
            let ratio = (after.2.sum(Kind::Float) / before.2.sum(Kind::Float)).double_value(&[]);
            assert!((0.9..1.15).contains(&ratio), "{way:?}: ink changes to {ratio}");
        }
        // Thicker and thinner about equally often, the shape staying where it is.
        let strokes = changed(&[Augment::Stroke], 3);
        let (before, after) = (moments(&images).2, moments(&strokes).2);
        let thicker = after.gt_tensor(&before).sum(Kind::Int64).int64_value(&[]);
        assert!((200..300).contains(&thicker), "{thicker}");
    }

    #[test]
    fn a_share_is_shown_at_a_low_resolution_in_mnists_form_on_a_clean_ground() {
        let images = dataset::load(None).unwrap().test.ink().narrow(0, 0, 1000);
        let changed = |seed| {
            let rng = &mut ChaCha8Rng::seed_from_u64(seed);
            Augmenter::new(&[Augment::LowResolution], Device::Cpu).apply(&images, rng)
        };
        let one = changed(1);
        assert!(one.equal(&changed(1)) && !one.equal(&changed(2)));
        let differ = one.ne_tensor(&images).any_dim(1, false).nonzero().squeeze_dim(1);
        let share = differ.size()[0] as f32 / 1000.;
        assert!((share - LOW_RESOLUTION).abs() < 0.04, "{share}");
        let low = one.index_select(0, &differ).view([-1, SIDE as i64, SIDE as i64]);
        assert!(low.min().double_value(&[]) >= 0. && low.max().double_value(&[]) <= 1. + 1e-6);
        let last = SIDE as i64 - 1;
        for (row, column) in [(0, 0), (0, last), (last, 0), (last, last)] {
            let corner = low.select(1, row).select(1, column).max().double_value(&[]);
            assert!(corner < 0.05, "ink of {corner} in a corner");
        }
        let ((left, right), (top, bottom)) = (extent(&low, 1), extent(&low, 2));
        let longest = (right - left).maximum(&(bottom - top)) + 1.;
        let off = (longest - 20.).abs().max().double_value(&[]);
        assert!(off <= 3., "{off} pixels from MNIST's size");
    }
}

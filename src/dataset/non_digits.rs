//! Non-digits, made of images of digits: what a wrong cut through touching digits leaves.
//!
//! A network that has seen digits only is sure of whatever it is shown. Taught to be unsure of
//! them (Hendrycks, Mazeika & Dietterich 2019, "Deep anomaly detection with outlier exposure"),
//! its confidence distinguishes a whole digit from a half one or from two at once, and so which cut is right.

use rand::{Rng, RngExt};
use tch::{Kind, Tensor};

use crate::PIXELS;
use crate::SIDE;

/// Weight of the non-digits' loss, against 1 for the digits': Hendrycks's λ.
pub const WEIGHT: f64 = 0.5;

/// Ink, from 0 to 1, above which a pixel counts as inked.
const INKED: f64 = 0.25;
// The limits below were chosen for the most digits read right on the project's own sheets.
/// How far, in pixels, the two digits overlap at most.
const MAX_OVERLAP: f32 = 5.;
/// Where a cut goes through a digit, as a share of its width.
const CUT: [f32; 2] = [0.25, 0.75];
/// The slant of a cut in pixels to the right per row downwards, at most, to either side.
const MAX_SLANT: f32 = 0.3;
/// A part with this share of a digit's ink more than of the other's is too much like that digit.
const MAX_ALONE: f64 = 0.65;
/// A part whose width is a smaller share of its height may be a 1.
const MIN_ASPECT: f64 = 0.35;
/// A part whose height is a smaller share of an image's is too little to be recognised.
const MIN_HEIGHT: f64 = 1. / 3.;

/// Makes a non-digit of each of `images` `[count, 784]` and its neighbour: `[count, 784]`, and for
/// each, `[count]`, 1, or 0 where the result may pass for a digit.
///
/// The two digits are put side by side so that they touch or overlap a little. Kept is all of both,
/// or what is left or right of a slanted cut, or between two. The rest is brought into MNIST's form.
pub fn generate(images: &Tensor, rng: &mut impl Rng) -> (Tensor, Tensor) {
    let (count, side) = (images.size()[0], SIDE as i64);
    let (device, wide) = (images.device(), 2 * side);
    let mut random = |low: f32, high: f32| {
        let values: Vec<f32> = (0..count).map(|_| rng.random_range(low..high)).collect();
        Tensor::from_slice(&values).to_device(device)
    };
    let range = |end: i64| Tensor::arange(end, (Kind::Float, device));

    let left = images.view([count, side, side]);
    let right = left.roll(1, 0);
    let (left_start, left_end) = extent(&left, 1);
    let (right_start, right_end) = extent(&right, 1);
    // The left one ends at the middle of a canvas twice as wide, where the right one begins.
    let to_left = (side - 1) - &left_end;
    let to_right = (side - random(0., MAX_OVERLAP)).floor() - &right_start;
    let place = |digit: &Tensor, shift: &Tensor| {
        let padded = digit.constant_pad_nd([side, side]); // [count, 28, 84]
        let from = range(wide) + side - shift.unsqueeze(1);
        let from = from.clamp(0., 3. * side as f64 - 1.).to_kind(Kind::Int64);
        padded.gather(2, &from.unsqueeze(1).expand([count, side, wide], false), false)
    };
    let (left, right) = (place(&left, &to_left), place(&right, &to_right)); // [count, 28, 56]

    let cut = |start: &Tensor, end: &Tensor, share: Tensor, shift: &Tensor| {
        start + (end - start) * share + shift
    };
    let in_left = cut(&left_start, &left_end, random(CUT[0], CUT[1]), &to_left);
    let in_right = cut(&right_start, &right_end, random(CUT[0], CUT[1]), &to_right);
    let (kind, beyond) = (random(0., 6.).floor(), in_left.full_like(2. * wide as f64));
    let any = |kinds: [f64; 2]| kind.eq(kinds[0]).logical_or(&kind.eq(kinds[1]));
    // Both; the left one and a part; a part and the right one; a part of either; two parts.
    let from = in_left.where_self(&any([2., 5.]), &in_right.where_self(&kind.eq(4.), &-&beyond));
    let to = in_right.where_self(&any([1., 5.]), &in_left.where_self(&kind.eq(3.), &beyond));
    let slant = random(-MAX_SLANT, MAX_SLANT).view([count, 1, 1])
        * (range(side) - side / 2).view([1, side, 1]);
    let column = range(wide).view([1, 1, wide]) + slant; // [count, 28, 56]
    let kept = column
        .ge_tensor(&from.view([count, 1, 1]))
        .logical_and(&column.lt_tensor(&to.view([count, 1, 1])))
        .to_kind(Kind::Float);

    let sum = |ink: &Tensor| ink.sum_dim_intlist(&[1i64, 2][..], false, Kind::Float);
    let share = |digit: &Tensor| sum(&(digit * &kept)) / sum(digit);
    let alone = (share(&left) - share(&right)).abs();
    let ink = left.maximum(&right) * kept;
    let ((first, last), (top, bottom)) = (extent(&ink, 1), extent(&ink, 2));
    let (width, height) = (last - first + 1., bottom - top + 1.);
    // A part that is little less than a digit is one; a narrow one may be a 1.
    let valid = alone
        .lt(MAX_ALONE)
        .logical_and(&(&width / &height).gt(MIN_ASPECT))
        .logical_and(&height.gt(side as f64 * MIN_HEIGHT));

    // As `mnist_image` does: fitted into 20×20, the centre of mass at pixel (14, 14).
    let stretch = width.maximum(&height) / 20.;
    let mass = sum(&ink).clamp_min(1e-6);
    let centre = |axis: i64, places: Tensor| {
        let sums = ink.sum_dim_intlist(&[3 - axis][..], false, Kind::Float); // [count, places]
        (sums * places).sum_dim_intlist(&[1i64][..], false, Kind::Float) / &mass
    };
    let zero = stretch.zeros_like();
    let offset = |centre: Tensor, places: i64| (centre * 2. + 1. - &stretch) / places as f64 - 1.;
    let theta = Tensor::stack(
        &[
            &stretch / 2.,
            zero.shallow_clone(),
            offset(centre(2, range(wide)), wide),
            zero,
            stretch.shallow_clone(),
            offset(centre(1, range(side)), side),
        ],
        1,
    );
    let grid =
        Tensor::affine_grid_generator(&theta.view([count, 2, 3]), [count, 1, side, side], false);
    let (bilinear, zeros_around) = (0, 0);
    let images = ink.unsqueeze(1).grid_sampler(&grid, bilinear, zeros_around, false);
    (images.view([count, PIXELS as i64]), valid.to_kind(Kind::Float))
}

/// The mean cross-entropy of `logits` `[count, 10]` with an even distribution, over the `valid` ones.
pub fn loss(logits: &Tensor, valid: &Tensor) -> Tensor {
    let each = -logits.log_softmax(-1, Kind::Float).mean_dim(-1, false, Kind::Float);
    (each * valid).sum(Kind::Float) / valid.sum(Kind::Float).clamp_min(1.)
}

/// The first and the last column (`across` 1) or row (2) with ink of each image `[count, rows,
/// columns]`, in float32.
fn extent(ink: &Tensor, across: i64) -> (Tensor, Tensor) {
    let inked = ink.amax(across, false).gt(INKED); // [count, places]
    let end = inked.size()[1];
    let places = Tensor::arange(end, (Kind::Float, ink.device())).expand_as(&inked);
    let at = |other: f64| places.where_scalarother(&inked, other);
    (at(end as f64).amin(1, false), at(-1.).amax(1, false))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::ChaCha8Rng;
    use tch::Device;

    use super::*;
    use crate::dataset;

    #[test]
    fn non_digits_have_mnist_s_form_and_follow_the_seed() {
        let digits = dataset::load(None).unwrap().test.images.narrow(0, 0, 500);
        let make = |seed| generate(&digits, &mut ChaCha8Rng::seed_from_u64(seed));
        let (images, valid) = make(1);
        assert_eq!(images, make(1).0);
        assert_ne!(images, make(2).0);
        let kept = valid.mean(Kind::Float).double_value(&[]);
        assert!((0.5..0.95).contains(&kept), "{kept} of them are surely no digit");

        let valid = images.index_select(0, &valid.nonzero().view([-1]));
        assert!(valid.min().double_value(&[]) >= 0. && valid.max().double_value(&[]) <= 1.);
        // In MNIST's form, the centre of mass is at pixel (14, 14).
        let sum =
            |images: &Tensor, axis: i64| images.sum_dim_intlist(&[axis][..], false, Kind::Float);
        let rows = sum(&valid.view([-1, 28, 28]), 2);
        let places = Tensor::arange(28, (Kind::Float, Device::Cpu));
        let off = (sum(&(&rows * places), 1) / sum(&rows, 1) - 14.).abs().mean(Kind::Float);
        assert!(off.double_value(&[]) < 0.5, "{off} pixels off");
    }

    #[test]
    fn the_loss_is_least_for_even_logits_and_counts_valid_images_only() {
        // Of even logits, it is ln 10. Those that are not valid do not count.
        let logits = Tensor::from_slice(&[0f32; 10]).view([1, 10]);
        let logits =
            Tensor::cat(&[&logits, &(&logits + Tensor::arange(10, (Kind::Float, Device::Cpu)))], 0);
        let loss = loss(&logits, &Tensor::from_slice(&[1f32, 0.])).double_value(&[]);
        assert!((loss - 10f64.ln()).abs() < 1e-5, "{loss}");
    }

    #[test]
    fn the_extent_is_from_the_first_to_the_last_inked_line() {
        let ink = Tensor::zeros([1, 28, 28], (Kind::Float, Device::Cpu));
        let _ = ink.narrow(1, 5, 3).narrow(2, 9, 12).fill_(1.);
        let extent = |across| {
            let (first, last) = super::extent(&ink, across);
            (first.double_value(&[0]), last.double_value(&[0]))
        };
        assert_eq!((extent(1), extent(2)), ((9., 20.), (5., 7.)));
    }
}

//! Non-digits made of images of digits: what a wrong cut through touching digits leaves, and digits
//! that are turned or mirrored.

use rand::Rng;
use tch::{Kind, Tensor};

use crate::PIXELS;
use crate::SIDE;
use crate::dataset::strokes::{Draw, extent, in_mnist_form};

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

/// Parts and pairs of `images` `[count, 784]`, of each and its neighbour: `[count, 784]`, and for
/// each, `[count]`, 1, or 0 where the result may pass for a digit.
///
/// The two digits are put side by side so that they touch or overlap a little. Kept is all of both,
/// or what is left or right of a slanted cut, or between two. The rest is brought into MNIST's
/// form.
pub fn parts<R: Rng>(images: &Tensor, draw: &mut Draw<'_, R>) -> (Tensor, Tensor) {
    let (count, side) = (images.size()[0], SIDE as i64);
    let (device, wide) = (images.device(), 2 * side);
    let mut random = |low: f32, high: f32| draw.uniform(&[count], low, high);
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

    (in_mnist_form(&ink), valid.to_kind(Kind::Float))
}

/// `images` `[count, 784]` of the digits `labels` `[count]`, each turned or mirrored, and for each,
/// `[count]`, 1, or 0 where that may pass for a digit still.
pub fn turned<R: Rng>(
    images: &Tensor,
    labels: &Tensor,
    draw: &mut Draw<'_, R>,
) -> (Tensor, Tensor) {
    /// For each way to turn an image, the digits that are none then: to the left, to the right,
    /// upside down, mirrored.
    const NONE: [&[i64]; 4] = [&[2, 3, 4, 5, 7, 9], &[2, 3, 4, 5, 7, 9], &[3, 4, 7], &[3, 4, 7, 9]];
    let (count, side) = (images.size()[0], SIDE as i64);
    let upright = images.view([count, side, side]);
    let axes: &[i64] = &[1, 2];
    let turns = [
        upright.rot90(1, axes),
        upright.rot90(3, axes),
        upright.rot90(2, axes),
        upright.flip([2i64]),
    ];
    let way = draw.uniform(&[count], 0., NONE.len() as f32).floor();
    let (mut ink, mut valid) = (upright.zeros_like(), way.zeros_like());
    for (at, turn) in turns.iter().enumerate() {
        let chosen = way.eq(at as f64);
        ink = turn.where_self(&chosen.view([-1, 1, 1]), &ink);
        for digit in NONE[at] {
            valid += labels.eq(*digit).logical_and(&chosen).to_kind(Kind::Float);
        }
    }
    (ink.view([count, PIXELS as i64]), valid)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::ChaCha8Rng;
    use tch::Device;

    use super::*;
    use crate::dataset;

    #[test]
    fn parts_have_the_form_of_mnist_and_follow_the_seed() {
        let digits = dataset::load(None).unwrap().test.ink().narrow(0, 0, 500);
        let make = |seed| {
            let rng = &mut ChaCha8Rng::seed_from_u64(seed);
            parts(&digits, &mut Draw { rng, device: Device::Cpu })
        };
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
}

//! Forms of digits that MNIST, written by Americans, lacks: a 1 with a flag or a foot, a crossed 7,
//! a slashed 0, open and closed 4s.
//!
//! Some are strokes drawn onto MNIST's own digits, others whole digits drawn as a few strokes whose
//! points are moved at random. They are added to the training set, not put in place of its digits:
//! in place of them, 0.15% more of a validation split were read wrong.

use rand::Rng;
use rand::seq::SliceRandom;
use tch::{Kind, Tensor};

use super::samples::{Samples, ink};
use super::strokes::{Draw, Strokes, extent, in_mnist_form, resampled, stroke_width};
use super::templates::DIGITS;
use crate::SIDE;

// Shares chosen on a validation split of MNIST's training set: these cost it nothing.
/// Digits with strokes drawn onto them, as a share of the training set's 0s, 1s, 6s and 7s.
const STROKED: f64 = 0.1;
/// Digits drawn as a whole, as a share of the training set.
const DRAWN: f64 = 0.2;

/// Widths of strokes that are drawn on a digit, as a share of its own.
const RELATIVE_WIDTH: Range = (0.75, 1.1);

// Ranges, from which a value is drawn evenly for each digit, and chances. Chosen by judgement,
// looking at the digits that they give beside photographs of handwriting; places and lengths in
// pixels unless said otherwise.
/// Width of a pen, where a digit's own is unclear.
const PEN: (f64, f64) = (1.2, 5.);
/// Of a 1: degrees from its stem to its flag, and the flag's length as a share of the stem's (a
/// longer one and a foot make a 4); chances of flag and foot; the foot's reach to the left and the
/// right, as shares of the stem, and its tilt in degrees; how far it leans, as its shift to the
/// right per row upwards.
const FLAG_ANGLE: Range = (25., 70.);
const FLAG_LENGTH: Range = (0.2, 0.5);
const FLAGGED: f32 = 0.9;
const FOOTED: f32 = 0.5;
const FOOT_LEFT: Range = (0.1, 0.55);
const FOOT_RIGHT: Range = (0.05, 0.4);
const FOOT_TILT: Range = (-10., 20.);
const LEAN: Range = (-0.1, 0.6);
/// Of a 7: how far down its bar is, as a share of the height, and how far it is off the stem; its
/// reach to either side, its tilt in degrees and its chance.
const BAR_HEIGHT: Range = (0.38, 0.68);
const BAR_OFF: Range = (-1., 1.);
const BAR_REACH: Range = (2., 6.);
const BAR_TILT: Range = (-20., 30.);
const CROSSED: f32 = 0.85;
/// Of a 7: the part of the height in which its upper stroke lies; where the hook at that one's left
/// end leads, and its chance; the reach of a foot to the right, its tilt in degrees and its chance.
const UPPER_PART: f64 = 0.45;
const HOOK_ACROSS: Range = (-2.5, 1.5);
const HOOK_DOWN: Range = (2., 6.);
const HOOKED: f32 = 0.35;
const SEVEN_FOOT: Range = (1.5, 6.);
const SEVEN_FOOT_TILT: Range = (-5., 25.);
const SEVEN_FOOTED: f32 = 0.1;
/// Of a 6: rows at its top in which its stem ends; from there to the hook's two points.
const STEM_TOP: f64 = 4.;
const TO_HOOK: (Range, Range) = ((0.5, 2.5), (-0.5, 1.5));
const DOWN_HOOK: (Range, Range) = ((-1., 0.8), (1., 4.5));
/// Of a 0: how far from its middle its slash reaches, as a share of its sides, and the part of that
/// in which each end lies.
const SLASH_REACH: Range = (0.2, 0.575);
const SLASH_END: Range = (0.6, 1.);

type Range = (f32, f32);

/// What changes a batch of images of one digit, `[count, 784]`.
type Change<R> = fn(&Tensor, &mut Draw<'_, R>) -> Tensor;

/// Digits of other forms to train on beside `samples` in one epoch, in random order.
pub fn forms(samples: &Samples, rng: &mut impl Rng) -> Samples {
    let device = samples.images.device();
    let (mut images, mut labels) = (Vec::new(), Vec::new());
    for (digit, change) in changes() {
        let own = samples.labels.eq(digit).nonzero().squeeze_dim(1);
        let mut order: Vec<i64> = (0..own.size()[0]).collect();
        let (chosen, _) = order.partial_shuffle(rng, (own.size()[0] as f64 * STROKED) as usize);
        if chosen.is_empty() {
            continue;
        }
        let own = own.index_select(0, &Tensor::from_slice(chosen).to_device(device));
        let mut draw = Draw { rng: &mut *rng, device };
        let changed = change(&ink(&samples.images.index_select(0, &own)), &mut draw);
        labels.push(Tensor::full([changed.size()[0]], digit, (Kind::Int64, device)));
        images.push(changed);
    }
    let total: u32 = DIGITS.iter().map(|template| template.weight).sum();
    let drawn = samples.count() as f64 * DRAWN / f64::from(total);
    for template in DIGITS {
        let count = (drawn * f64::from(template.weight)) as i64;
        let digit = i64::from(template.shows as u32) - i64::from(b'0');
        if count > 0 {
            images.push(template.draw(count, &mut Draw { rng: &mut *rng, device }));
            labels.push(Tensor::full([count], digit, (Kind::Int64, device)));
        }
    }
    if images.is_empty() {
        let none = samples.narrow(0, 0);
        return Samples { images: none.ink(), ..none };
    }
    let (images, labels) = (Tensor::cat(&images, 0), Tensor::cat(&labels, 0));
    let order = Draw { rng, device }.order(labels.size()[0]);
    Samples { images: images.index_select(0, &order), labels: labels.index_select(0, &order) }
}

fn changes<R: Rng>() -> [(i64, Change<R>); 4] {
    [(0, slashed_zero), (1, flagged_one), (6, hooked_six), (7, crossed_seven)]
}

/// What has to be known of a batch of digits to draw onto them; places in pixels, `[count]` each.
struct Shape {
    ink: Tensor, // [count, 28, 28]
    count: i64,
    width: Tensor,
    left: Tensor,
    right: Tensor,
    top: Tensor,
    bottom: Tensor,
}

impl Shape {
    fn of(images: &Tensor) -> Shape {
        let count = images.size()[0];
        let ink = images.view([count, SIDE as i64, SIDE as i64]);
        let ((left, right), (top, bottom)) = (extent(&ink, 1), extent(&ink, 2));
        let (right, bottom) = (right + 1., bottom + 1.); // edges, not pixels
        let width = stroke_width(&ink).clamp(PEN.0, PEN.1);
        Shape { ink, count, width, left, right, top, bottom }
    }

    /// The middle of the ink on the rows around `y`.
    fn column_at(&self, y: &Tensor) -> Tensor {
        middle(&self.ink, y, 1)
    }

    /// The middle of the ink of the columns around `x`, and above `y`.
    fn row_at(&self, x: &Tensor, y: &Tensor) -> Tensor {
        middle(&self.above(y), x, 2)
    }

    /// The ink above `y`.
    fn above(&self, y: &Tensor) -> Tensor {
        let rows = Tensor::arange(SIDE as i64, (Kind::Float, self.ink.device()));
        &self.ink * rows.unsqueeze(0).lt_tensor(&y.unsqueeze(1)).unsqueeze(2)
    }

    /// The digits with `strokes` drawn on them by about their own pen, `[count, 28, 28]`.
    fn with<R: Rng>(&self, strokes: &[Strokes], draw: &mut Draw<'_, R>) -> Tensor {
        let width = &self.width * draw.between(&[self.count], RELATIVE_WIDTH);
        Strokes::all(strokes).ink(&width).view_as(&self.ink).maximum(&self.ink)
    }
}

/// The mean place of the ink `[count, 28, 28]` along one axis, within about a pixel of `at`
/// `[count]` on the other, `across`.
fn middle(ink: &Tensor, at: &Tensor, across: i64) -> Tensor {
    let places = Tensor::arange(SIDE as i64, (Kind::Float, ink.device())) + 0.5;
    let near = ((&places - at.unsqueeze(1)).square() * -0.5).exp(); // [count, 28]
    let profile =
        (ink * near.unsqueeze(3 - across)).sum_dim_intlist(&[across][..], false, Kind::Float);
    let sum = |values: &Tensor| values.sum_dim_intlist(&[1i64][..], false, Kind::Float);
    sum(&(&profile * places)) / sum(&profile).clamp_min(1e-6)
}

/// A line through or from (`x`, `y`): `before` to the left of it and `after` to the right, rising
/// to the right by `degrees`.
fn bar(
    [x, y]: [&Tensor; 2],
    [before, after]: [&Tensor; 2],
    degrees: &Tensor,
    drawn: &Tensor,
) -> Strokes {
    let rise = degrees.deg2rad().tan();
    let (from, to) = ([x - before, y + before * &rise], [x + after, y - after * rise]);
    Strokes::line([&from[0], &from[1]], [&to[0], &to[1]], drawn)
}

/// 1 with a flag at its upper end, mostly, and often a foot; leaning as Europeans' do.
fn flagged_one<R: Rng>(images: &Tensor, draw: &mut Draw<'_, R>) -> Tensor {
    let shape = Shape::of(images);
    let one = [shape.count];
    let (y0, y1) = (&shape.top + &shape.width / 2., &shape.bottom - &shape.width / 2.);
    let (x0, x1) = (shape.column_at(&y0), shape.column_at(&y1));
    let (dx, dy) = (&x1 - &x0, &y1 - &y0);
    let height = (dx.square() + dy.square()).sqrt().clamp_min(1.);
    // Turned from the stem's own direction, to its left.
    let (sin, cos) = {
        let angle = draw.between(&one, FLAG_ANGLE).deg2rad();
        (angle.sin(), angle.cos())
    };
    let length = draw.between(&one, FLAG_LENGTH);
    let end = [&x0 + (&dx * &cos - &dy * &sin) * &length, &y0 + (&dx * sin + &dy * cos) * &length];
    let flag = Strokes::line([&x0, &y0], [&end[0], &end[1]], &draw.chance(&one, FLAGGED));
    let reach = [&height * draw.between(&one, FOOT_LEFT), &height * draw.between(&one, FOOT_RIGHT)];
    let tilt = draw.between(&one, FOOT_TILT);
    let foot = bar([&x1, &y1], [&reach[0], &reach[1]], &tilt, &draw.chance(&one, FOOTED));
    let ink = shape.with(&[flag, foot], draw);
    // On a canvas twice as wide, so that nothing is cut off.
    let slant = draw.between(&one, LEAN);
    let (zero, two) = (slant.zeros_like(), slant.full_like(2.));
    let unit = slant.ones_like();
    let theta = Tensor::stack(&[&two, &slant, &zero, &zero, &unit, &zero], 1);
    in_mnist_form(&resampled(&ink, &theta, 2 * SIDE as i64))
}

/// 7 with a bar through its stem, mostly, at times with a hook at its left end or a foot.
fn crossed_seven<R: Rng>(images: &Tensor, draw: &mut Draw<'_, R>) -> Tensor {
    let shape = Shape::of(images);
    let one = [shape.count];
    let height = &shape.bottom - &shape.top;
    let y = &shape.top + &height * draw.between(&one, BAR_HEIGHT);
    let x = shape.column_at(&y) + draw.between(&one, BAR_OFF);
    let reach = [draw.between(&one, BAR_REACH), draw.between(&one, BAR_REACH)];
    let tilt = draw.between(&one, BAR_TILT);
    let crossing = bar([&x, &y], [&reach[0], &reach[1]], &tilt, &draw.chance(&one, CROSSED));

    let upper = &shape.top + &height * UPPER_PART;
    let x = extent(&shape.above(&upper), 1).0 + &shape.width / 2.;
    let y = shape.row_at(&x, &upper);
    let end = [&x + draw.between(&one, HOOK_ACROSS), &y + draw.between(&one, HOOK_DOWN)];
    let hook = Strokes::line([&x, &y], [&end[0], &end[1]], &draw.chance(&one, HOOKED));

    let y = &shape.bottom - &shape.width / 2.;
    let x = shape.column_at(&y);
    let reach = draw.between(&one, SEVEN_FOOT);
    let tilt = draw.between(&one, SEVEN_FOOT_TILT);
    let foot = bar([&x, &y], [&x.zeros_like(), &reach], &tilt, &draw.chance(&one, SEVEN_FOOTED));
    in_mnist_form(&shape.with(&[crossing, hook, foot], draw))
}

/// 6 whose stem begins with a hook, over to the right and down.
fn hooked_six<R: Rng>(images: &Tensor, draw: &mut Draw<'_, R>) -> Tensor {
    let shape = Shape::of(images);
    let one = [shape.count];
    let upper = &shape.top + STEM_TOP;
    let x0 = extent(&shape.above(&upper), 1).1 + 1. - &shape.width / 2.;
    let y0 = shape.row_at(&x0, &upper);
    let (x1, y1) = (&x0 + draw.between(&one, TO_HOOK.0), &y0 + draw.between(&one, TO_HOOK.1));
    let (x2, y2) = (&x1 + draw.between(&one, DOWN_HOOK.0), &y1 + draw.between(&one, DOWN_HOOK.1));
    let points = Tensor::stack(&[x0, y0, x1, y1, x2, y2], 1).view([-1, 3, 2]);
    let hook = Strokes::polyline(&points, &draw.chance(&one, 1.));
    in_mnist_form(&shape.with(&[hook], draw))
}

/// 0 with a slash, within it or reaching beyond.
fn slashed_zero<R: Rng>(images: &Tensor, draw: &mut Draw<'_, R>) -> Tensor {
    let shape = Shape::of(images);
    let one = [shape.count];
    let (x, y) = ((&shape.left + &shape.right) / 2., (&shape.top + &shape.bottom) / 2.);
    let reach = draw.between(&one, SLASH_REACH);
    let [wide, high] =
        [&shape.right - &shape.left, &shape.bottom - &shape.top].map(|size| size * &reach);
    let mut part = || draw.between(&one, SLASH_END);
    let from = [&x - &wide * part(), &y + &high * part()];
    let to = [&x + &wide * part(), &y - &high * part()];
    let slash = Strokes::line([&from[0], &from[1]], [&to[0], &to[1]], &draw.chance(&one, 1.));
    in_mnist_form(&shape.with(&[slash], draw))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::ChaCha8Rng;
    use tch::Device;

    /// As many of each digit as `count`, each a stick upright.
    fn sticks(count: i64) -> Samples {
        let images =
            Tensor::zeros([10 * count, SIDE as i64, SIDE as i64], (Kind::Float, Device::Cpu));
        let _ = images.narrow(1, 4, 20).narrow(2, 13, 2).fill_(1.);
        let labels = Tensor::arange(10 * count, (Kind::Int64, Device::Cpu)).remainder(10);
        Samples { images: images.view([10 * count, -1]), labels }
    }

    fn made(samples: &Samples, seed: u64) -> Samples {
        forms(samples, &mut ChaCha8Rng::seed_from_u64(seed))
    }

    #[test]
    fn forms_are_added_in_their_shares_and_come_of_the_seed_alone() {
        let samples = sticks(200);
        let added = made(&samples, 1);
        let drawn = 2000. * DRAWN;
        let stroked = 4. * 200. * STROKED;
        let count = added.count() as f64;
        assert!(count <= drawn + stroked && count > 0.9 * (drawn + stroked), "{count}");
        let again = made(&samples, 1);
        assert!(added.images.equal(&again.images) && added.labels.equal(&again.labels));
        assert!(!added.images.equal(&made(&samples, 2).images));
        assert!(samples.images.equal(&sticks(200).images), "the originals stay as they are");
    }

    #[test]
    fn forms_look_as_mnists_digits_do() {
        let added = made(&sticks(100), 3);
        let ink = added.images.view([-1, SIDE as i64, SIDE as i64]);
        assert!(ink.min().double_value(&[]) >= 0. && ink.max().double_value(&[]) <= 1.);
        let sum = ink.sum_dim_intlist(&[1i64, 2][..], false, Kind::Float);
        assert!(sum.min().double_value(&[]) > 10. && sum.max().double_value(&[]) < 350.);
        let places = Tensor::arange(SIDE as i64, (Kind::Float, Device::Cpu));
        for axis in [1, 2] {
            let profile = ink.sum_dim_intlist(&[axis][..], false, Kind::Float);
            let centre =
                (profile * &places).sum_dim_intlist(&[1i64][..], false, Kind::Float) / &sum;
            let far = (centre - 14.).abs().max().double_value(&[]);
            assert!(far < 1.6, "{far} from the middle");
        }
    }

    #[test]
    fn strokes_are_drawn_where_the_digit_calls_for_them() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let draw = &mut Draw { rng: &mut rng, device: Device::Cpu };
        let stick = sticks(20).images;
        let wide = |images: &Tensor| {
            let (left, right) = extent(&images.view([-1, SIDE as i64, SIDE as i64]), 1);
            (right - left).mean(Kind::Float).double_value(&[]) + 1.
        };
        assert!((wide(&stick) - 2.).abs() < 0.1);
        for (digit, change) in changes::<ChaCha8Rng>() {
            let changed = change(&stick, draw);
            assert_eq!(changed.size(), stick.size());
            assert!(wide(&changed) > 3., "{digit}: {}", wide(&changed));
        }
    }

    #[test]
    fn whole_digits_are_drawn_if_none_can_be_changed() {
        let threes = Samples { labels: sticks(50).labels.fill(3), ..sticks(50) };
        let added = made(&threes, 0);
        assert!(added.count() > 0 && added.count() <= 100);
        assert_eq!(made(&threes.narrow(0, 3), 0).count(), 0);
    }
}

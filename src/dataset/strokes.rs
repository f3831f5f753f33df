//! Strokes drawn into batches of images by tensor operations, on whatever device they are.
//!
//! Coordinates are pixels from the upper left corner of the 28×28 image; the centre of pixel 0 is
//! at 0.5. Each image of a batch has its own strokes.

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use tch::{Device, Kind, Tensor};

use crate::PIXELS;
use crate::SIDE;

/// Ink from which on a pixel counts, from 0 to 1.
const INKED: f64 = 0.25;
/// The longest side of the ink in MNIST's images, pixels.
const BOX: f64 = 20.;
/// Where MNIST's images have their centre of mass: in the middle of pixel 14 (measured on its test
/// set).
const CENTRE: f64 = 14.5;
/// Pixels over which the edge of a stroke fades, as MNIST's antialiasing does.
const SOFTNESS: f64 = 1.3;
/// Distance, in pixels, from the image to the place where strokes that are not drawn are put.
const AWAY: f64 = 99.;
/// Images that strokes are drawn into at a time, for speed.
const IMAGES_AT_ONCE: usize = 128;
/// Segments that a curve has between two of its points.
const CURVE: i64 = 4;

/// Random numbers as tensors: the same ones on every device.
pub(super) struct Draw<'a, R> {
    pub rng: &'a mut R,
    pub device: Device,
}

impl<R: Rng> Draw<'_, R> {
    /// Uniform in `low..high`.
    pub fn uniform(&mut self, shape: &[i64], low: f32, high: f32) -> Tensor {
        let count = shape.iter().product::<i64>();
        let values: Vec<f32> = (0..count).map(|_| self.rng.random_range(low..high)).collect();
        Tensor::from_slice(&values).view(shape).to_device(self.device)
    }

    /// The numbers below `count` in random order, int64.
    pub fn order(&mut self, count: i64) -> Tensor {
        let mut order: Vec<i64> = (0..count).collect();
        order.shuffle(self.rng);
        Tensor::from_slice(&order).to_device(self.device)
    }

    /// Uniform in a range.
    pub fn between(&mut self, shape: &[i64], (low, high): (f32, f32)) -> Tensor {
        self.uniform(shape, low, high)
    }

    /// Normal, with a mean of 0 and a variance of 1 (Box & Muller 1958).
    pub fn normal(&mut self, shape: &[i64]) -> Tensor {
        let radius = (self.uniform(shape, f32::MIN_POSITIVE, 1.).log() * -2.).sqrt();
        radius * (self.uniform(shape, 0., 1.) * std::f64::consts::TAU).cos()
    }

    /// True with probability `chance`.
    pub fn chance(&mut self, shape: &[i64], chance: f32) -> Tensor {
        self.uniform(shape, 0., 1.).lt(f64::from(chance))
    }

    /// Widths of pens as people have them, pixels: mostly thin, and none so thick that a crossed 7
    /// is a blot.
    pub fn pen(&mut self, count: i64) -> Tensor {
        self.uniform(&[count], 0., 1.).pow_tensor_scalar(1.3) * 2.4 + 1.3
    }
}

/// The straight pieces that each image of a batch is drawn with.
pub(super) struct Strokes {
    /// `[count, segments, 4]`: x and y of one end, then of the other.
    segments: Tensor,
    /// `[count, segments]`, bool: which of them there are.
    drawn: Tensor,
}

impl Strokes {
    /// Lines from point to point, `points` `[count, points, 2]`, of the images where `drawn`
    /// `[count]`.
    pub fn polyline(points: &Tensor, drawn: &Tensor) -> Strokes {
        let last = points.size()[1] - 1;
        let segments = Tensor::cat(&[points.narrow(1, 0, last), points.narrow(1, 1, last)], 2);
        let drawn = drawn.unsqueeze(1).expand([-1, last], false);
        Strokes { segments, drawn }
    }

    /// Smooth curves through `points` `[count, points, 2]` (Catmull & Rom 1974).
    pub fn curve(points: &Tensor, drawn: &Tensor) -> Strokes {
        let count = points.size()[1];
        let point = |at: i64| points.narrow(1, at, 1);
        let before = point(0) * 2. - point(1);
        let after = point(count - 1) * 2. - point(count - 2);
        let all = Tensor::cat(&[&before, points, &after], 1);
        let part = |from: i64| all.narrow(1, from, count - 1).unsqueeze(2); // [images, spans, 1, 2]
        let [a, b, c, d] = [0, 1, 2, 3].map(part);
        let t = Tensor::arange(CURVE, (Kind::Float, points.device())) / CURVE as f64;
        let t = t.view([1, 1, CURVE, 1]);
        let (square, cube) = (t.square(), t.pow_tensor_scalar(3));
        let along = &b * 2.
            + (&c - &a) * t
            + (&a * 2. - &b * 5. + &c * 4. - &d) * square
            + (&b * 3. - &a - &c * 3. + &d) * cube;
        let along = (along * 0.5).flatten(1, 2);
        Strokes::polyline(&Tensor::cat(&[along, point(count - 1)], 1), drawn)
    }

    /// One straight line an image, between `from` and `to`, each x and y of `[count]`.
    pub fn line(from: [&Tensor; 2], to: [&Tensor; 2], drawn: &Tensor) -> Strokes {
        let ends = [Tensor::stack(&from, 1), Tensor::stack(&to, 1)];
        Strokes::polyline(&Tensor::stack(&ends, 1), drawn)
    }

    /// All strokes of several, image by image.
    pub fn all(strokes: &[Strokes]) -> Strokes {
        let segments: Vec<&Tensor> = strokes.iter().map(|strokes| &strokes.segments).collect();
        let drawn: Vec<&Tensor> = strokes.iter().map(|strokes| &strokes.drawn).collect();
        Strokes { segments: Tensor::cat(&segments, 1), drawn: Tensor::cat(&drawn, 1) }
    }

    /// The same strokes, stretched sideways by `stretch` and leaning to the right by `slant` of
    /// their height, both `[count]`.
    pub fn slanted(&self, stretch: &Tensor, slant: &Tensor) -> Strokes {
        let [x, y] = self.axes();
        let x = x * stretch.view([-1, 1, 1]) - &y * slant.view([-1, 1, 1]);
        Strokes { segments: Strokes::joined(&x, &y), drawn: self.drawn.shallow_clone() }
    }

    /// The same strokes at the size and place of MNIST's digits, for a pen of `width` `[count]`.
    pub fn in_mnist_form(&self, width: &Tensor) -> Strokes {
        let drawn = self.drawn.unsqueeze(2); // [count, segments, 1]
        let [x, y] = self.axes(); // [count, segments, 2]
        let far = 1e6;
        let size = |places: &Tensor| {
            let high = places.where_scalarother(&drawn, -far).amax([1i64, 2], false);
            high - places.where_scalarother(&drawn, far).amin([1i64, 2], false)
        };
        let longest = size(&x).maximum(&size(&y)).clamp_min(1e-3);
        let scale = ((-width + BOX) / longest).view([-1, 1, 1]);
        let length = self.lengths().where_scalarother(&self.drawn, 0.); // [count, segments]
        let total = length.sum_dim_intlist(&[1i64][..], true, Kind::Float).clamp_min(1e-6);
        let weight = (length / total).unsqueeze(2);
        let placed = |places: &Tensor| {
            let middle = (places * &weight).sum_dim_intlist(&[1i64][..], true, Kind::Float);
            let middle = middle.mean_dim(&[2i64][..], true, Kind::Float);
            (places - middle) * &scale + CENTRE
        };
        let segments = Strokes::joined(&placed(&x), &placed(&y));
        Strokes { segments, drawn: self.drawn.shallow_clone() }
    }

    /// Their ink `[count, 784]`, from 0 to 1, with pens of `width` `[count]`.
    pub fn ink(&self, width: &Tensor) -> Tensor {
        let device = self.segments.device();
        let count = self.segments.size()[0];
        let range = Tensor::arange(SIDE as i64, (Kind::Float, device)) + 0.5;
        let columns = range.repeat([SIDE as i64]);
        let rows = range.repeat_interleave_self_int(SIDE as i64, 0, None);
        let places = Tensor::stack(&[&columns, &rows, &columns.ones_like()], 0); // [3, 784]

        let part = |at: i64| self.segments.select(2, at);
        let [x0, y0, x1, y1] = [0, 1, 2, 3].map(part); // [count, segments]
        let (dx, dy) = (&x1 - &x0, &y1 - &y0);
        let length = (dx.square() + dy.square()).sqrt().clamp_min(1e-3);
        // The direction: where the two ends are the same, any.
        let ux = (dx / &length).where_scalarother(&length.gt(1e-3), 1.);
        let uy = dy / &length;
        let (middle_x, middle_y) = ((x0 + x1) / 2., (y0 + y1) / 2.);
        // How far a place is from the segment's middle along it and across it is linear in x and y.
        let along = Tensor::stack(&[&ux, &uy, &-(&ux * &middle_x + &uy * &middle_y)], 2);
        let across = Tensor::stack(&[&-&uy, &ux, &(&uy * middle_x - &ux * middle_y)], 2);
        let half = (length / 2.).where_scalarother(&self.drawn, -AWAY);
        // A few images at a time, which stay in the processor's cache.
        let blocks = (0..count).step_by(IMAGES_AT_ONCE).map(|start| {
            let block =
                |of: &Tensor| of.narrow(0, start, (count - start).min(IMAGES_AT_ONCE as i64));
            let (along, across, half) = (block(&along), block(&across), block(&half));
            let far = Tensor::full([half.size()[0], PIXELS as i64], 1e6, (Kind::Float, device));
            (0..half.size()[1]).fold(far, |nearest, at| {
                let mut square = across.select(1, at).matmul(&places).square_(); // [block, 784]
                let beyond = along.select(1, at).matmul(&places).abs_() - half.narrow(1, at, 1);
                let beyond = beyond.relu();
                nearest.minimum(&square.addcmul_(&beyond, &beyond))
            })
        });
        let nearest = Tensor::cat(&blocks.collect::<Vec<_>>(), 0).sqrt();
        ((width.unsqueeze(1) / 2. - nearest) / SOFTNESS + 0.5).clamp(0., 1.)
    }

    fn axes(&self) -> [Tensor; 2] {
        [[0i64, 2], [1, 3]].map(|places| {
            let places = Tensor::from_slice(&places).to_device(self.segments.device());
            self.segments.index_select(2, &places)
        })
    }

    fn joined(x: &Tensor, y: &Tensor) -> Tensor {
        Tensor::stack(&[x, y], 3).flatten(2, 3)
    }

    fn lengths(&self) -> Tensor {
        let ends = self.segments.narrow(2, 2, 2) - self.segments.narrow(2, 0, 2);
        ends.square().sum_dim_intlist(&[2i64][..], false, Kind::Float).sqrt()
    }
}

/// The first and the last column (`across` 1) or row (2) with ink of each image `[count, rows,
/// columns]`, in float32.
pub(super) fn extent(ink: &Tensor, across: i64) -> (Tensor, Tensor) {
    let inked = ink.amax(across, false).gt(INKED); // [count, places]
    let end = inked.size()[1];
    let places = Tensor::arange(end, (Kind::Float, ink.device())).expand_as(&inked);
    let at = |other: f64| places.where_scalarother(&inked, other);
    (at(end as f64).amin(1, false), at(-1.).amax(1, false))
}

/// Images `[count, rows, columns]` brought into MNIST's form `[count, 784]`: the ink fitted into
/// 20×20, its centre of mass at pixel (14, 14).
pub(super) fn in_mnist_form(ink: &Tensor) -> Tensor {
    let [count, rows, columns] = ink.size()[..] else { unreachable!("images have two sides") };
    let side = SIDE as i64;
    let ((left, right), (top, bottom)) = (extent(ink, 1), extent(ink, 2));
    let stretch = ((right - left).maximum(&(bottom - top)) + 1.).clamp_min(1.) / BOX;
    let mass = ink.sum_dim_intlist(&[1i64, 2][..], false, Kind::Float).clamp_min(1e-6);
    let centre = |axis: i64, end: i64| {
        let places = Tensor::arange(end, (Kind::Float, ink.device()));
        let sums = ink.sum_dim_intlist(&[3 - axis][..], false, Kind::Float); // [count, places]
        (sums * places).sum_dim_intlist(&[1i64][..], false, Kind::Float) / &mass
    };
    let zero = stretch.zeros_like();
    let offset = |centre: Tensor, end: i64| (centre * 2. + 1. - &stretch) / end as f64 - 1.;
    let theta = Tensor::stack(
        &[
            &stretch * (side as f64 / columns as f64),
            zero.shallow_clone(),
            offset(centre(2, columns), columns),
            zero,
            &stretch * (side as f64 / rows as f64),
            offset(centre(1, rows), rows),
        ],
        1,
    );
    resampled(ink, &theta, side).view([count, PIXELS as i64])
}

/// Images `[count, rows, columns]` seen through the affine map `theta` `[count, 6]`, as
/// `affine_grid` counts it: `[count, 28, columns]`.
pub(super) fn resampled(ink: &Tensor, theta: &Tensor, columns: i64) -> Tensor {
    let count = ink.size()[0];
    let size = [count, 1, SIDE as i64, columns];
    let grid = Tensor::affine_grid_generator(&theta.view([count, 2, 3]), size, false);
    let (bilinear, zeros_around) = (0, 0);
    ink.unsqueeze(1).grid_sampler(&grid, bilinear, zeros_around, false).squeeze_dim(1)
}

/// The mean width of the strokes of images `[count, 28, 28]` in pixels, `[count]`: twice the ink
/// over the length of its edges, which is the sum of its gradients.
pub(super) fn stroke_width(ink: &Tensor) -> Tensor {
    let side = SIDE as i64;
    let padded = ink.constant_pad_nd([0, 1, 0, 1]);
    let here = padded.narrow(1, 0, side).narrow(2, 0, side);
    let right = padded.narrow(1, 0, side).narrow(2, 1, side) - &here;
    let below = padded.narrow(1, 1, side).narrow(2, 0, side) - &here;
    let sum = |values: &Tensor| values.sum_dim_intlist(&[1i64, 2][..], false, Kind::Float);
    let edges = sum(&(right.square() + below.square()).sqrt());
    sum(ink) * 2. / edges.clamp_min(1.)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::ChaCha8Rng;

    fn row(values: &[f32]) -> Tensor {
        Tensor::from_slice(values)
    }

    /// One image of a line from (`x0`, `y0`) to (`x1`, `y1`), drawn or not.
    fn line([x0, y0, x1, y1]: [f32; 4], drawn: bool) -> Strokes {
        let [x0, y0, x1, y1] = [x0, y0, x1, y1].map(|place| row(&[place]));
        Strokes::line([&x0, &y0], [&x1, &y1], &Tensor::from_slice(&[drawn]))
    }

    fn ink(strokes: &Strokes, width: f32) -> Vec<f32> {
        Vec::try_from(strokes.ink(&row(&[width])).view([-1])).unwrap()
    }

    #[test]
    fn ink_is_full_on_a_line_and_none_beyond_its_width_and_ends() {
        let ink = ink(&line([5., 10.5, 20., 10.5], true), 3.);
        let at = |x: usize, y: usize| ink[y * SIDE + x];
        assert_eq!([at(5, 10), at(12, 10), at(19, 10)], [1.; 3]);
        assert!(at(12, 11) > 0.8 && at(12, 12) < 0.2, "{} {}", at(12, 11), at(12, 12));
        assert_eq!([at(12, 13), at(2, 10), at(23, 10), at(0, 0)], [0.; 4]);
    }

    #[test]
    fn what_is_not_drawn_leaves_no_ink_and_a_point_leaves_a_dot() {
        assert!(ink(&line([5., 10., 20., 10.], false), 3.).iter().all(|ink| *ink == 0.));
        let dot = ink(&line([9.5, 9.5, 9.5, 9.5], true), 2.);
        assert_eq!(dot[9 * SIDE + 9], 1.);
        assert!(dot.iter().sum::<f32>() < 8.);
    }

    #[test]
    fn a_curve_goes_through_its_points() {
        let points = row(&[4.5, 20.5, 8.5, 6.5, 20.5, 14.5]).view([1, 3, 2]);
        let curve = Strokes::curve(&points, &Tensor::from_slice(&[true]));
        let ink = ink(&curve, 2.);
        assert_eq!([(4, 20), (8, 6), (20, 14)].map(|(x, y)| ink[y * SIDE + x]), [1.; 3]);
    }

    #[test]
    fn the_width_of_strokes_is_measured() {
        for width in [2., 3., 4.] {
            let strokes = line([14., 5., 14., 23.], true);
            let image = strokes.ink(&row(&[width])).view([1, SIDE as i64, SIDE as i64]);
            let measured = stroke_width(&image).double_value(&[0]);
            assert!((measured - f64::from(width)).abs() < 0.6, "{width} as {measured}");
        }
    }

    #[test]
    fn ink_of_any_place_and_size_comes_into_mnists_form() {
        let canvas = Tensor::zeros([1, 60, 90], (Kind::Float, Device::Cpu));
        let _ = canvas.narrow(1, 5, 30).narrow(2, 50, 12).fill_(1.);
        let image = in_mnist_form(&canvas).view([1, SIDE as i64, SIDE as i64]);
        let ((left, right), (top, bottom)) = (extent(&image, 1), extent(&image, 2));
        let place = |of: Tensor| of.double_value(&[0]);
        assert!((place(bottom) - place(top.shallow_clone()) + 1. - 20.).abs() <= 1.);
        assert!((place(right) - place(left.shallow_clone()) + 1. - 8.).abs() <= 1.);
        assert!((place(top) - 4.).abs() <= 1. && (place(left) - 10.).abs() <= 1.);
    }

    #[test]
    fn random_numbers_are_of_the_range_and_variance_asked_for() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut draw = Draw { rng: &mut rng, device: Device::Cpu };
        let uniform = draw.uniform(&[1000], -2., 3.);
        assert!(uniform.min().double_value(&[]) >= -2. && uniform.max().double_value(&[]) < 3.);
        let normal = draw.normal(&[10_000]);
        assert!(normal.mean(Kind::Float).double_value(&[]).abs() < 0.05);
        assert!((normal.std(true).double_value(&[]) - 1.).abs() < 0.05);
        let yes = draw.chance(&[10_000], 0.3).to_kind(Kind::Float).mean(Kind::Float);
        assert!((yes.double_value(&[]) - 0.3).abs() < 0.03);
    }
}

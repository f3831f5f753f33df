//! Digits as a few strokes each, the way they are written outside of MNIST, and letters.

use rand::Rng;
use tch::Tensor;

use super::strokes::{Draw, Strokes};

/// A way to write a digit or a letter.
pub(super) struct Template {
    /// What it shows.
    pub shows: char,
    /// How often it is drawn, relative to the others.
    pub weight: u32,
    /// From which to which share of its height it may lean to the right.
    pub slant: (f32, f32),
    /// What it is drawn with.
    pub strokes: &'static [Stroke],
}

impl Template {
    /// `count` images `[count, 784]` of it, each with other strokes and another pen.
    pub fn draw<R: Rng>(&self, count: i64, draw: &mut Draw<'_, R>) -> Tensor {
        let mut strokes = Vec::new();
        for stroke in self.strokes {
            let points: Vec<f32> = stroke.points.iter().flat_map(|&(x, y)| [x, y]).collect();
            let points = Tensor::from_slice(&points).to_device(draw.device).view([1, -1, 2]);
            let moved = draw.normal(&[count, stroke.points.len() as i64, 2]);
            let points = points + moved * f64::from(stroke.jitter);
            let drawn = draw.chance(&[count], stroke.chance);
            strokes.push(match stroke.curved {
                true => Strokes::curve(&points, &drawn),
                false => Strokes::polyline(&points, &drawn),
            });
        }
        let slant = draw.between(&[count], self.slant);
        let stretch = draw.uniform(&[count], -STRETCH, STRETCH).exp();
        let width = draw.pen(count);
        Strokes::all(&strokes).slanted(&stretch, &slant).in_mnist_form(&width).ink(&width)
    }
}

/// Natural logarithm of the most that a drawing is stretched sideways.
const STRETCH: f32 = 0.4;

/// A stroke of a template.
pub(super) struct Stroke {
    /// The probability that it is drawn at all.
    pub chance: f32,
    /// Whether it is a smooth curve through its points, or straight from one to the next.
    pub curved: bool,
    /// By how much its points are moved along either axis: the deviation of a normal distribution.
    pub jitter: f32,
    /// From its beginning to its end, x to the right and y down, as shares of the digit's height.
    pub points: &'static [(f32, f32)],
}

const fn straight(chance: f32, jitter: f32, points: &'static [(f32, f32)]) -> Stroke {
    Stroke { chance, curved: false, jitter, points }
}

const fn curved(chance: f32, jitter: f32, points: &'static [(f32, f32)]) -> Stroke {
    Stroke { chance, curved: true, jitter, points }
}

const fn template(
    shows: char,
    weight: u32,
    slant: (f32, f32),
    strokes: &'static [Stroke],
) -> Template {
    Template { shows, weight, slant, strokes }
}

const fn letter(shows: char, strokes: &'static [Stroke]) -> Template {
    template(shows, 1, (-0.15, 0.5), strokes)
}

/// The forms that strangers' digits were seen in and MNIST's were not, most of them 1s and 7s.
#[rustfmt::skip] // a stroke a line
pub(super) const DIGITS: &[Template] = &[
    // 0 with a slash.
    template('0', 1, (-0.2, 0.5), &[
        curved(1., 0.04, &[(0.4, 0.), (0.1, 0.15), (0., 0.5), (0.12, 0.88), (0.4, 1.), (0.7, 0.85), (0.78, 0.5), (0.68, 0.12), (0.38, 0.)]),
        straight(0.8, 0.06, &[(0.08, 0.95), (0.72, 0.05)]),
    ]),
    // 1 with a long flag; a short one; one as in an inverted V; a bent one; and with a broad foot.
    template('1', 3, (-0.2, 0.7), &[
        straight(1., 0.07, &[(0.02, 0.38), (0.5, 0.), (0.45, 1.)]),
        straight(0.55, 0.07, &[(0.1, 1.), (0.8, 1.)]),
    ]),
    template('1', 1, (-0.2, 0.7), &[
        straight(1., 0.06, &[(0.3, 0.2), (0.5, 0.), (0.5, 1.)]),
        straight(0.5, 0.07, &[(0.2, 1.), (0.8, 1.)]),
    ]),
    template('1', 1, (-0.2, 0.6), &[
        straight(1., 0.07, &[(0.05, 0.6), (0.6, 0.), (0.4, 1.)]),
    ]),
    template('1', 1, (-0.1, 0.7), &[
        curved(1., 0.05, &[(0., 0.48), (0.27, 0.3), (0.5, 0.)]),
        straight(1., 0.03, &[(0.5, 0.), (0.45, 1.)]),
        straight(0.6, 0.07, &[(0.05, 1.02), (0.65, 0.98)]),
    ]),
    template('1', 2, (-0.2, 0.7), &[
        straight(1., 0.07, &[(0.05, 0.38), (0.5, 0.), (0.45, 1.)]),
        straight(1., 0.13, &[(-0.1, 0.7), (0.75, 0.97)]),
    ]),
    // 2 of straight lines; with a wave, or with a loop, for its foot.
    template('2', 1, (-0.2, 0.6), &[
        straight(1., 0.05, &[(0., 0.1), (0.6, 0.02), (0., 0.95)]),
        curved(1., 0.05, &[(0., 0.95), (0.35, 0.87), (0.7, 0.98)]),
    ]),
    template('2', 1, (-0.2, 0.6), &[
        curved(1., 0.05, &[(0., 0.15), (0.3, 0.), (0.58, 0.12), (0.3, 0.5), (0., 0.9)]),
        curved(1., 0.05, &[(0., 0.9), (0.3, 0.7), (0.45, 0.97), (0.75, 0.92)]),
    ]),
    template('2', 1, (-0.2, 0.5), &[
        curved(1., 0.04, &[(0.03, 0.22), (0.2, 0.03), (0.5, 0.03), (0.6, 0.25), (0.35, 0.62), (0.08, 0.92), (0.02, 0.98)]),
        curved(1., 0.04, &[(0.02, 0.98), (0.15, 0.78), (0.3, 0.85), (0.5, 0.98), (0.75, 0.9)]),
    ]),
    // 3 with a flat top.
    template('3', 2, (-0.2, 0.7), &[
        straight(1., 0.05, &[(0.05, 0.04), (0.7, 0.), (0.32, 0.4)]),
        curved(1., 0.04, &[(0.32, 0.4), (0.62, 0.55), (0.6, 0.88), (0.28, 1.), (0., 0.86)]),
    ]),
    // 4 open, with a stem apart; with a low bar; wide; and closed.
    template('4', 2, (-0.1, 0.7), &[
        straight(1., 0.06, &[(0.3, 0.), (0., 0.55), (0.55, 0.5)]),
        straight(1., 0.07, &[(0.75, 0.1), (0.5, 1.)]),
    ]),
    template('4', 2, (-0.2, 0.5), &[
        straight(1., 0.06, &[(0.45, 0.), (0., 0.72), (0.85, 0.72)]),
        straight(1., 0.05, &[(0.6, 0.42), (0.55, 1.)]),
    ]),
    template('4', 1, (-0.2, 0.7), &[
        straight(1., 0.06, &[(0.25, 0.), (0., 0.6), (0.85, 0.55)]),
        straight(1., 0.06, &[(0.65, 0.15), (0.5, 1.)]),
    ]),
    template('4', 1, (-0.2, 0.5), &[
        straight(1., 0.05, &[(0.5, 0.), (0., 0.68), (0.8, 0.68)]),
        straight(1., 0.04, &[(0.5, 0.), (0.5, 1.)]),
    ]),
    // 5 with its bar drawn last.
    template('5', 1, (-0.2, 0.5), &[
        straight(1., 0.04, &[(0.17, 0.), (0.1, 0.45)]),
        curved(1., 0.04, &[(0.1, 0.45), (0.45, 0.4), (0.65, 0.68), (0.42, 1.), (0., 0.92)]),
        straight(1., 0.06, &[(0.17, 0.02), (0.75, -0.02)]),
    ]),
    // 6 with a curled stem.
    template('6', 1, (-0.2, 0.5), &[
        curved(1., 0.035, &[(0.55, 0.3), (0.55, 0.1), (0.38, 0.), (0.12, 0.3), (0.02, 0.75), (0.25, 1.), (0.5, 0.82), (0.38, 0.6), (0.06, 0.75)]),
    ]),
    template('6', 2, (-0.2, 0.5), &[
        curved(1., 0.04, &[(0.7, 0.24), (0.66, 0.08), (0.42, 0.), (0.1, 0.45), (0.07, 0.82), (0.35, 1.), (0.64, 0.8), (0.45, 0.57), (0.1, 0.72)]),
    ]),
    // 7 crossed: with a plain top; a wave; a flag of straight lines; a high or a low bar.
    template('7', 2, (-0.3, 0.6), &[
        straight(1., 0.06, &[(0., 0.05), (0.75, 0.), (0.3, 1.)]),
        straight(0.85, 0.07, &[(0.1, 0.5), (0.85, 0.47)]),
        straight(0.4, 0.04, &[(0., 0.05), (-0.03, 0.25)]),
    ]),
    template('7', 2, (-0.3, 0.6), &[
        curved(1., 0.045, &[(0., 0.28), (0.17, 0.06), (0.4, 0.2), (0.78, 0.), (0.45, 0.5), (0.33, 1.)]),
        straight(0.85, 0.07, &[(0.1, 0.53), (0.8, 0.48)]),
        straight(0.35, 0.05, &[(0.33, 1.), (0.6, 0.96)]),
    ]),
    template('7', 1, (-0.3, 0.6), &[
        straight(1., 0.05, &[(0., 0.25), (0.17, 0.03), (0.38, 0.25), (0.75, 0.), (0.35, 1.)]),
        straight(0.85, 0.07, &[(0.1, 0.55), (0.85, 0.5)]),
        straight(0.35, 0.05, &[(0.35, 1.), (0.62, 0.96)]),
    ]),
    template('7', 2, (-0.3, 0.6), &[
        curved(1., 0.045, &[(0., 0.02), (0.09, 0.26), (0.42, 0.2), (0.75, 0.), (0.5, 0.5), (0.33, 1.)]),
        straight(0.9, 0.07, &[(0.08, 0.6), (0.8, 0.55)]),
        straight(0.5, 0.05, &[(0.33, 1.), (0.62, 0.97)]),
    ]),
    template('7', 2, (-0.2, 0.6), &[
        curved(1., 0.05, &[(0.05, 0.06), (0.16, 0.34), (0.4, 0.28), (0.66, 0.02), (0.48, 0.55), (0.3, 1.)]),
        straight(0.95, 0.07, &[(0.05, 0.68), (0.78, 0.62)]),
        straight(0.6, 0.06, &[(0.3, 1.), (0.62, 0.95)]),
    ]),
    template('7', 2, (-0.3, 0.6), &[
        straight(1., 0.05, &[(0., 0.02), (0.09, 0.26), (0.7, 0.), (0.35, 1.)]),
        straight(0.9, 0.07, &[(0.08, 0.58), (0.8, 0.54)]),
        straight(0.5, 0.05, &[(0.35, 1.), (0.62, 0.97)]),
    ]),
    // 8 begun at its upper right.
    template('8', 1, (-0.2, 0.5), &[
        curved(1., 0.04, &[(0.6, 0.12), (0.35, 0.), (0.1, 0.2), (0.35, 0.45), (0.6, 0.75), (0.33, 1.), (0.05, 0.78), (0.35, 0.45), (0.62, 0.15)]),
    ]),
    // 9 with a curled stem, and with a straight one.
    template('9', 1, (-0.2, 0.5), &[
        curved(1., 0.035, &[(0.62, 0.2), (0.35, 0.02), (0.05, 0.2), (0.2, 0.45), (0.5, 0.42), (0.64, 0.15), (0.62, 0.6), (0.5, 0.92), (0.2, 1.), (0.02, 0.88)]),
    ]),
    template('9', 1, (-0.2, 0.7), &[
        curved(1., 0.035, &[(0.6, 0.15), (0.32, 0.), (0.03, 0.22), (0.25, 0.46), (0.55, 0.3), (0.62, 0.08)]),
        straight(1., 0.04, &[(0.62, 0.08), (0.55, 1.)]),
    ]),
];

/// Letters and signs that do not look like a digit, as b, g, l, o, s, y and z do.
#[rustfmt::skip] // a stroke a line
pub(super) const LETTERS: &[Template] = &[
    letter('A', &[
        straight(1., 0.05, &[(0., 1.), (0.4, 0.), (0.75, 1.)]),
        straight(1., 0.05, &[(0.15, 0.6), (0.6, 0.6)]),
    ]),
    letter('E', &[
        straight(1., 0.05, &[(0.6, 0.), (0., 0.), (0., 1.), (0.6, 1.)]),
        straight(1., 0.05, &[(0., 0.5), (0.5, 0.48)]),
    ]),
    letter('F', &[
        straight(1., 0.05, &[(0.6, 0.), (0., 0.), (0., 1.)]),
        straight(1., 0.05, &[(0., 0.45), (0.5, 0.43)]),
    ]),
    letter('H', &[
        straight(1., 0.05, &[(0., 0.), (0., 1.)]),
        straight(1., 0.05, &[(0.65, 0.), (0.65, 1.)]),
        straight(1., 0.05, &[(0., 0.5), (0.65, 0.48)]),
    ]),
    letter('K', &[
        straight(1., 0.05, &[(0., 0.), (0., 1.)]),
        straight(1., 0.05, &[(0.6, 0.), (0.02, 0.55), (0.6, 1.)]),
    ]),
    letter('L', &[
        straight(1., 0.05, &[(0., 0.), (0., 1.), (0.6, 1.)]),
    ]),
    letter('M', &[
        straight(1., 0.05, &[(0., 1.), (0.1, 0.), (0.45, 0.65), (0.8, 0.), (0.9, 1.)]),
    ]),
    letter('N', &[
        straight(1., 0.05, &[(0., 1.), (0., 0.), (0.65, 1.), (0.65, 0.)]),
    ]),
    letter('P', &[
        straight(1., 0.05, &[(0., 0.), (0., 1.)]),
        curved(1., 0.045, &[(0., 0.03), (0.45, 0.02), (0.55, 0.28), (0.4, 0.5), (0., 0.52)]),
    ]),
    letter('R', &[
        straight(1., 0.05, &[(0., 0.), (0., 1.)]),
        curved(1., 0.045, &[(0., 0.03), (0.45, 0.02), (0.5, 0.27), (0.35, 0.48), (0., 0.5)]),
        straight(1., 0.05, &[(0.1, 0.5), (0.6, 1.)]),
    ]),
    letter('T', &[
        straight(1., 0.05, &[(0., 0.), (0.8, 0.)]),
        straight(1., 0.05, &[(0.4, 0.), (0.4, 1.)]),
    ]),
    letter('U', &[
        curved(1., 0.045, &[(0., 0.), (0.02, 0.6), (0.25, 1.), (0.55, 0.8), (0.65, 0.)]),
    ]),
    letter('V', &[
        straight(1., 0.05, &[(0., 0.), (0.35, 1.), (0.75, 0.)]),
    ]),
    letter('W', &[
        straight(1., 0.05, &[(0., 0.), (0.2, 1.), (0.45, 0.35), (0.7, 1.), (0.95, 0.)]),
    ]),
    letter('X', &[
        straight(1., 0.05, &[(0., 0.), (0.7, 1.)]),
        straight(1., 0.05, &[(0.7, 0.), (0., 1.)]),
    ]),
    letter('a', &[
        curved(1., 0.045, &[(0.6, 0.2), (0.3, 0.), (0.02, 0.5), (0.25, 1.), (0.55, 0.7), (0.6, 0.15)]),
        curved(1., 0.045, &[(0.6, 0.15), (0.6, 0.7), (0.85, 1.)]),
    ]),
    letter('d', &[
        curved(1., 0.045, &[(0.5, 0.55), (0.25, 0.45), (0.02, 0.75), (0.25, 1.), (0.5, 0.8)]),
        curved(1., 0.045, &[(0.55, 0.), (0.52, 0.7), (0.75, 1.)]),
    ]),
    letter('e', &[
        curved(1., 0.045, &[(0.05, 0.55), (0.6, 0.45), (0.5, 0.08), (0.2, 0.05), (0., 0.55), (0.3, 1.), (0.7, 0.8)]),
    ]),
    letter('f', &[
        curved(1., 0.045, &[(0.6, 0.08), (0.4, 0.), (0.28, 0.25), (0.25, 1.)]),
        straight(1., 0.05, &[(0., 0.42), (0.55, 0.4)]),
    ]),
    letter('h', &[
        straight(1., 0.05, &[(0., 0.), (0., 1.)]),
        curved(1., 0.045, &[(0., 0.7), (0.25, 0.45), (0.45, 0.55), (0.48, 1.)]),
    ]),
    letter('k', &[
        straight(1., 0.05, &[(0., 0.), (0., 1.)]),
        straight(1., 0.05, &[(0.5, 0.4), (0.03, 0.7), (0.55, 1.)]),
    ]),
    letter('m', &[
        curved(1., 0.045, &[(0., 0.), (0.05, 0.3), (0.05, 1.)]),
        curved(1., 0.045, &[(0.05, 0.4), (0.3, 0.02), (0.42, 0.3), (0.42, 1.)]),
        curved(1., 0.045, &[(0.42, 0.4), (0.7, 0.02), (0.82, 0.3), (0.85, 1.)]),
    ]),
    letter('n', &[
        curved(1., 0.045, &[(0., 0.), (0.05, 0.3), (0.05, 1.)]),
        curved(1., 0.045, &[(0.05, 0.4), (0.4, 0.02), (0.6, 0.3), (0.65, 1.)]),
    ]),
    letter('p', &[
        straight(1., 0.05, &[(0.05, 0.), (0.03, 1.)]),
        curved(1., 0.045, &[(0.05, 0.15), (0.35, 0.), (0.5, 0.25), (0.3, 0.5), (0.05, 0.45)]),
    ]),
    letter('r', &[
        curved(1., 0.045, &[(0., 0.), (0.05, 0.3), (0.05, 1.)]),
        curved(1., 0.045, &[(0.05, 0.45), (0.25, 0.1), (0.55, 0.08)]),
    ]),
    letter('t', &[
        curved(1., 0.045, &[(0.3, 0.), (0.27, 0.8), (0.5, 1.), (0.7, 0.9)]),
        straight(1., 0.05, &[(0., 0.3), (0.65, 0.28)]),
    ]),
    letter('u', &[
        curved(1., 0.045, &[(0., 0.), (0.03, 0.7), (0.25, 1.), (0.55, 0.75), (0.62, 0.)]),
        curved(1., 0.045, &[(0.62, 0.), (0.6, 0.7), (0.85, 1.)]),
    ]),
    letter('w', &[
        curved(1., 0.045, &[(0., 0.), (0.15, 0.85), (0.35, 0.95), (0.5, 0.3), (0.6, 0.9), (0.85, 0.8), (1., 0.)]),
    ]),
    letter('ä', &[
        curved(1., 0.045, &[(0.6, 0.45), (0.3, 0.3), (0.02, 0.65), (0.25, 1.), (0.55, 0.8), (0.6, 0.4)]),
        curved(1., 0.045, &[(0.6, 0.4), (0.6, 0.8), (0.85, 1.)]),
        straight(1., 0.05, &[(0.15, 0.), (0.15, 0.07)]),
        straight(1., 0.05, &[(0.5, 0.), (0.5, 0.07)]),
    ]),
    letter('€', &[
        curved(1., 0.045, &[(0.75, 0.15), (0.5, 0.), (0.2, 0.3), (0.2, 0.7), (0.5, 1.), (0.8, 0.85)]),
        straight(1., 0.05, &[(0., 0.4), (0.6, 0.38)]),
        straight(1., 0.05, &[(0., 0.6), (0.55, 0.58)]),
    ]),
    letter('%', &[
        straight(1., 0.05, &[(0.7, 0.), (0.1, 1.)]),
        curved(1., 0.02, &[(0.1, 0.1), (0., 0.25), (0.12, 0.35), (0.22, 0.2), (0.1, 0.1)]),
        curved(1., 0.02, &[(0.7, 0.65), (0.6, 0.8), (0.72, 0.95), (0.82, 0.78), (0.7, 0.65)]),
    ]),
    letter('?', &[
        curved(1., 0.045, &[(0., 0.25), (0.2, 0.), (0.5, 0.15), (0.4, 0.4), (0.25, 0.55), (0.25, 0.7)]),
        straight(1., 0.05, &[(0.25, 0.93), (0.25, 1.)]),
    ]),
    letter('#', &[
        straight(1., 0.05, &[(0.3, 0.), (0.2, 1.)]),
        straight(1., 0.05, &[(0.7, 0.), (0.6, 1.)]),
        straight(1., 0.05, &[(0., 0.35), (0.9, 0.32)]),
        straight(1., 0.05, &[(0., 0.68), (0.85, 0.66)]),
    ]),
    letter('*', &[
        straight(1., 0.05, &[(0.4, 0.), (0.4, 0.8)]),
        straight(1., 0.05, &[(0., 0.2), (0.8, 0.6)]),
        straight(1., 0.05, &[(0.8, 0.2), (0., 0.6)]),
    ]),
    letter(':', &[
        straight(1., 0.03, &[(0., 0.), (0., 0.1)]),
        straight(1., 0.03, &[(0., 0.9), (0., 1.)]),
    ]),
];

//! Non-digits that are drawn: scribbles, lines, frames, blots and letters.

use anyhow::{Context, Result, ensure};
use image::{GrayImage, Luma};
use imageproc::drawing::draw_text_mut;
use rand::{Rng, RngExt};
use tch::{Device, Kind, Tensor};

use crate::SIDE;
use crate::dataset::augment::{Augment, Augmenter};
use crate::dataset::strokes::{Draw, Strokes, in_mnist_form};
use crate::dataset::templates::LETTERS;

/// Letters and signs of the fonts that are shown; not those that look like a digit, as B, l and O
/// do, or like a 1, as most punctuation.
const GLYPHS: &str = "AEFHKLMNPRTUVWXadefhkmnprtuvwx-+=?*#&%@:;<>^~$";
/// Pixels of the square that a glyph is drawn into, and its size there.
const GLYPH_SIDE: u32 = 48;
const GLYPH_SIZE: f32 = 30.;

/// A few strokes at random, `[count, 784]`.
pub fn scribbles<R: Rng>(count: i64, draw: &mut Draw<'_, R>) -> Tensor {
    /// The probability of a first, a second and a third stroke.
    const STROKES: [f32; 3] = [1., 0.5, 0.3];
    const POINTS: i64 = 6;
    let mut strokes = Vec::new();
    for chance in STROKES {
        let start = draw.uniform(&[count, 1, 2], 0., 1.);
        let steps = draw.uniform(&[count, POINTS - 1, 2], -0.45, 0.45).cumsum(1, Kind::Float);
        let points = Tensor::cat(&[&start, &(&start + steps)], 1);
        // From 3 points on: the last one is taken again for those that are left out.
        let last = draw.uniform(&[count, 1], 2., POINTS as f32).floor();
        let at = Tensor::arange(POINTS, (Kind::Float, draw.device)).minimum(&last);
        let at = at.to_kind(Kind::Int64).unsqueeze(2).expand([count, POINTS, 2], false);
        let points = points.gather(1, &at, false);
        let (drawn, curved) = (draw.chance(&[count], chance), draw.chance(&[count], 0.6));
        strokes.push(Strokes::curve(&points, &drawn.logical_and(&curved)));
        strokes.push(Strokes::polyline(&points, &drawn.logical_and(&curved.logical_not())));
    }
    let width = draw.pen(count);
    Strokes::all(&strokes).in_mnist_form(&width).ink(&width)
}

/// Long wound lines, as a pen is tried with or a word is struck out, `[count, 784]`.
pub fn tangles<R: Rng>(count: i64, draw: &mut Draw<'_, R>) -> Tensor {
    const POINTS: i64 = 14;
    // The direction turns by angles that themselves change slowly.
    let turn = draw.normal(&[count, POINTS]) * 0.9 + draw.normal(&[count, 1]) * 0.9;
    let angle = turn.cumsum(1, Kind::Float);
    let points = Tensor::stack(&[angle.cos() * 1.6, angle.sin()], 2).cumsum(1, Kind::Float);
    let width = draw.pen(count);
    let drawn = draw.chance(&[count], 1.);
    Strokes::curve(&points, &drawn).in_mnist_form(&width).ink(&width)
}

/// Hyphens, crosses, angles and pairs of level lines, `[count, 784]`; what stands upright may be a
/// 1.
pub fn lines<R: Rng>(count: i64, draw: &mut Draw<'_, R>) -> Tensor {
    let one = [count];
    let line = |angle: &Tensor, [x, y]: [&Tensor; 2], length: Tensor, drawn: &Tensor| {
        let (dx, dy) = (angle.cos() * &length, angle.sin() * length);
        Strokes::line([&(x - &dx), &(y - &dy)], [&(x + dx), &(y + dy)], drawn)
    };
    let level = draw.uniform(&one, -25., 25.).deg2rad();
    let zero = level.zeros_like();
    let apart = draw.uniform(&one, 0.2, 0.6);
    let kind = draw.uniform(&one, 0., 1.);
    let (pair, crossed) = (kind.gt(0.66), kind.lt(0.33));
    let all = draw.chance(&one, 1.);
    let first = line(&level, [&zero, &(-&apart * &pair)], draw.uniform(&one, 0.6, 1.), &all);
    let beside = &level + draw.uniform(&one, -8., 8.).deg2rad();
    let second = line(&beside, [&zero, &apart], draw.uniform(&one, 0.5, 1.), &pair);
    let across = &level + draw.uniform(&one, 60., 120.).deg2rad();
    let place = [draw.uniform(&one, -0.6, 0.6), draw.uniform(&one, -0.4, 0.4)];
    let third = line(&across, [&place[0], &place[1]], draw.uniform(&one, 0.4, 0.9), &crossed);
    let width = draw.pen(count);
    Strokes::all(&[first, second, third]).in_mnist_form(&width).ink(&width)
}

/// Frames of a form or a table, whole or with a side missing, `[count, 784]`. Upright ones may be a
/// 0, and are not drawn.
pub fn frames<R: Rng>(count: i64, draw: &mut Draw<'_, R>) -> Tensor {
    let wide = draw.uniform(&[count], 0.85, 3.);
    let zero = wide.zeros_like();
    let one = wide.ones_like();
    let corners = [[&zero, &zero], [&wide, &zero], [&wide, &one], [&zero, &one]];
    let corners = corners.map(|[x, y]| Tensor::stack(&[x, y], 1));
    let moved = draw.normal(&[count, 4, 2]) * 0.04;
    let corners = Tensor::stack(&corners, 1) + moved;
    let mut sides = Vec::new();
    for from in 0..4 {
        let ends = [corners.narrow(1, from, 1), corners.narrow(1, (from + 1) % 4, 1)];
        // Of the four, the right and the left one are missing at times.
        let chance = if from % 2 == 1 { 0.75 } else { 1. };
        sides.push(Strokes::polyline(&Tensor::cat(&ends, 1), &draw.chance(&[count], chance)));
    }
    let width = draw.pen(count);
    Strokes::all(&sides).in_mnist_form(&width).ink(&width)
}

/// Blots and smudges, `[count, 784]`.
pub fn blots<R: Rng>(count: i64, draw: &mut Draw<'_, R>) -> Tensor {
    let side = SIDE as i64;
    /// Places along a side whose ink is drawn; what is between them follows.
    const COARSE: i64 = 7;
    let noise = draw.normal(&[count, 1, COARSE, COARSE]);
    let noise = noise.upsample_bicubic2d([side, side], false, None, None).squeeze_dim(1);
    let place = Tensor::arange(side, (Kind::Float, draw.device)) - (side as f64 - 1.) / 2.;
    let square = place.square();
    let distance = (square.unsqueeze(0) + square.unsqueeze(1)).sqrt();
    let radius = draw.uniform(&[count, 1, 1], 5., 10.);
    in_mnist_form(&((noise * 0.6 - distance / radius + 1.) * 3. + 0.5).clamp(0., 1.))
}

/// Letters and signs.
#[derive(Debug)]
pub struct Letters {
    /// Those of fonts, `[count, 784]`.
    glyphs: Tensor,
    augmenter: Augmenter,
}

impl Letters {
    /// Draws the glyphs of the fonts that are built in.
    pub fn new(device: Device) -> Result<Letters> {
        let mut pixels = Vec::new();
        let mut count = 0;
        for font in [epaint_default_fonts::HACK_REGULAR, epaint_default_fonts::UBUNTU_LIGHT] {
            let font = ab_glyph::FontRef::try_from_slice(font).context("cannot read a font")?;
            for glyph in GLYPHS.chars() {
                let mut image = GrayImage::new(GLYPH_SIDE, GLYPH_SIDE);
                draw_text_mut(
                    &mut image,
                    Luma([255]),
                    12,
                    8,
                    GLYPH_SIZE,
                    &font,
                    &glyph.to_string(),
                );
                ensure!(image.iter().any(|ink| *ink > 0), "a font has no {glyph}");
                pixels.extend(image.into_raw());
                count += 1;
            }
        }
        let side = i64::from(GLYPH_SIDE);
        let images = Tensor::from_slice(&pixels).view([count, side, side]).to_kind(Kind::Float);
        let glyphs = in_mnist_form(&(images / 255.)).to_device(device);
        let kinds = [Augment::Affine, Augment::Elastic, Augment::Stroke];
        Ok(Letters { glyphs, augmenter: Augmenter::new(&kinds, device) })
    }

    /// Letters of the fonts, bent and stretched, `[count, 784]`.
    pub fn printed<R: Rng>(&self, count: i64, draw: &mut Draw<'_, R>) -> Tensor {
        let end = self.glyphs.size()[0];
        let chosen: Vec<i64> = (0..count).map(|_| draw.rng.random_range(0..end)).collect();
        let chosen = Tensor::from_slice(&chosen).to_device(draw.device);
        let images = self.glyphs.index_select(0, &chosen);
        // Twice, for more than digits may be bent by.
        let images = self.augmenter.apply(&images, draw.rng);
        self.augmenter.apply(&images, draw.rng)
    }

    /// Letters as they are written by hand, `[count, 784]`, at least one.
    pub fn written<R: Rng>(&self, count: i64, draw: &mut Draw<'_, R>) -> Tensor {
        let templates = LETTERS.len() as i64;
        let mut images = Vec::new();
        let first = draw.rng.random_range(0..templates);
        for at in 0..templates {
            // Those that the count leaves over go to another template every time.
            let own = count / templates
                + i64::from((at - first).rem_euclid(templates) < count % templates);
            if own > 0 {
                images.push(LETTERS[at as usize].draw(own, draw));
            }
        }
        Tensor::cat(&images, 0)
    }
}

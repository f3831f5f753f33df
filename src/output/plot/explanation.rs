//! Why an image is taken for the digit it is taken for.

use image::RgbImage;
use image::imageops::{FilterType, resize};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::digits::{Palette, Tile, draw_pixels};
use super::{Area, BLUE, Drawn, Figure, GREY, TEXT, TITLE, anchored};
use crate::SIDE;
use crate::network::classifier::Prediction;
use mnist_image::Digit;

const TOP: i32 = 160;
/// Side of a pixel of the 28×28 image, and of both images, in pixels.
const PIXEL: i32 = 18;
const PANEL: i32 = SIDE as i32 * PIXEL;
const MARGIN: i32 = 60;
const BARS: i32 = 2 * (MARGIN + PANEL) + MARGIN + 50;
const BAR: i32 = 420;
const LIGHT: RGBColor = RGBColor(120, 180, 220);

/// An image, what the network saw of it, and what it made of that.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The title.
    pub title: String,
    /// The image given.
    pub input: RgbImage,
    /// What the network saw.
    pub digit: Digit,
    /// What it made of that.
    pub prediction: Prediction,
}

impl Figure for Explanation {
    fn size(&self) -> (u32, u32) {
        ((BARS + BAR + 150) as u32, (TOP + PANEL + 90) as u32)
    }

    fn draw<B: DrawingBackend>(&self, area: &Area<B>) -> Drawn<B> {
        let center = |size| anchored(size, HPos::Center, VPos::Center);
        let (width, _) = self.size();
        area.draw(&Text::new(self.title.clone(), (width as i32 / 2, TITLE), center(TITLE)))?;
        let panels = [
            (MARGIN + PANEL / 2, "the image given".to_string()),
            (2 * MARGIN + PANEL + PANEL / 2, format!("the {SIDE}×{SIDE} pixels the network saw")),
            (BARS + BAR / 2, "what it made of them".to_string()),
        ];
        for (x, name) in panels {
            area.draw(&Text::new(name, (x, TOP - 35), center(TEXT)))?;
        }

        let (wide, high) = self.input.dimensions();
        let scale = f64::from(PANEL) / f64::from(wide.max(high));
        let side = |side: u32| ((f64::from(side) * scale).round() as u32).max(1);
        // A small image keeps its crisp pixels.
        let filter = if scale > 2. { FilterType::Nearest } else { FilterType::Triangle };
        let input = resize(&self.input, side(wide), side(high), filter);
        let corner = (
            MARGIN + (PANEL - input.width() as i32) / 2,
            TOP + (PANEL - input.height() as i32) / 2,
        );
        draw_input(area, &input, corner)?;
        let tile = Tile::digit(&self.digit, String::new());
        draw_pixels(area, &tile, Palette::Ink, (2 * MARGIN + PANEL, TOP), PIXEL)?;

        let step = PANEL / self.prediction.probabilities.len() as i32;
        for (digit, probability) in self.prediction.probabilities.iter().enumerate() {
            let y = TOP + digit as i32 * step;
            let end = BARS + (probability * BAR as f32).round() as i32;
            let color = if digit == self.prediction.label { BLUE } else { LIGHT };
            area.draw(&Rectangle::new([(BARS, y + 6), (end, y + step - 6)], color.filled()))?;
            let left = anchored(TEXT, HPos::Right, VPos::Center);
            area.draw(&Text::new(digit.to_string(), (BARS - 16, y + step / 2), left))?;
            let right = anchored(TEXT, HPos::Left, VPos::Center);
            let percent = format!("{:.1}%", 100. * probability);
            area.draw(&Text::new(percent, (end + 12, y + step / 2), right))?;
        }
        let axis = vec![(BARS, TOP), (BARS, TOP + PANEL)];
        area.draw(&PathElement::new(axis, super::BLACK_ON_WHITE.stroke_width(2)))?;
        let below = (BARS + BAR / 2, TOP + PANEL + 45);
        area.draw(&Text::new("probability of each digit", below, center(TEXT)))
    }
}

fn draw_input<B: DrawingBackend>(
    area: &Area<B>,
    input: &RgbImage,
    (left, top): (i32, i32),
) -> Drawn<B> {
    for (y, row) in (top..).zip(input.rows()) {
        let colors: Vec<_> = row.collect();
        let mut x = left;
        for same in colors.chunk_by(|a, b| a == b) {
            let [r, g, b] = same[0].0;
            let end = x + same.len() as i32;
            area.draw(&Rectangle::new([(x, y), (end, y + 1)], RGBColor(r, g, b).filled()))?;
            x = end;
        }
    }
    let frame = [(left - 1, top - 1), (left + input.width() as i32, top + input.height() as i32)];
    area.draw(&Rectangle::new(frame, ShapeStyle::from(GREY).stroke_width(1)))
}

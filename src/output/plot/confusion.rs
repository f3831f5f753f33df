//! The confusion matrix in colour.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::{Area, BLACK_ON_WHITE, Drawn, Figure, GREY, TEXT, TITLE, anchored, bar};
use crate::CLASSES;

/// Side of a cell, the matrix' left and top, and its side, in pixels.
const CELL: i32 = 96;
const LEFT: i32 = 120;
const TOP: i32 = 100;
const SIZE: i32 = CLASSES as i32 * CELL;

/// A root rather than the share itself, since mistakes are few but what one looks for: one sample
/// in 1,000 gets 6% of the darkest colour.
const SHADE_EXPONENT: f64 = 0.4;

/// How often each digit is taken for each.
#[derive(Clone, Debug, PartialEq)]
pub struct Confusion {
    /// The title.
    pub title: String,
    /// `counts[label][predicted]`.
    pub counts: [[u64; CLASSES]; CLASSES],
}

impl Confusion {
    /// The share of a label's samples that are taken for `predicted`.
    fn share(&self, label: usize, predicted: usize) -> f64 {
        let all: u64 = self.counts[label].iter().sum();
        self.counts[label][predicted] as f64 / all.max(1) as f64
    }

    /// The background of a cell, and whether it is so dark that text on it should be white.
    pub fn color(&self, label: usize, predicted: usize) -> ([u8; 3], bool) {
        let shade = shade(self.share(label, predicted));
        (color(shade), shade > 0.5)
    }
}

/// How dark a share is drawn, from 0 to 1.
fn shade(share: f64) -> f64 {
    share.powf(SHADE_EXPONENT)
}

fn color(shade: f64) -> [u8; 3] {
    [8., 48., 107.].map(|full| (255. + (full - 255.) * shade).round() as u8)
}

impl Figure for Confusion {
    fn size(&self) -> (u32, u32) {
        ((LEFT + SIZE + 320) as u32, (TOP + SIZE + 130) as u32)
    }

    fn draw<B: DrawingBackend>(&self, area: &Area<B>) -> Drawn<B> {
        let center = |size| anchored(size, HPos::Center, VPos::Center);
        let title = (LEFT + SIZE / 2, TOP / 2);
        area.draw(&Text::new(self.title.clone(), title, center(TITLE)))?;
        for label in 0..CLASSES {
            for predicted in 0..CLASSES {
                let (x, y) = (LEFT + predicted as i32 * CELL, TOP + label as i32 * CELL);
                let corners = [(x, y), (x + CELL, y + CELL)];
                let ([r, g, b], dark) = self.color(label, predicted);
                area.draw(&Rectangle::new(corners, RGBColor(r, g, b).filled()))?;
                area.draw(&Rectangle::new(corners, ShapeStyle::from(GREY).stroke_width(1)))?;
                let count = self.counts[label][predicted];
                if count > 0 {
                    let style = center(TEXT).color(if dark { &WHITE } else { &BLACK_ON_WHITE });
                    let middle = (x + CELL / 2, y + CELL / 2);
                    area.draw(&Text::new(count.to_string(), middle, style))?;
                }
            }
            let along = label as i32 * CELL + CELL / 2;
            let name = |place| Text::new(label.to_string(), place, center(TEXT));
            area.draw(&name((LEFT + along, TOP + SIZE + 30)))?;
            area.draw(&name((LEFT - 30, TOP + along)))?;
        }
        let below = (LEFT + SIZE / 2, TOP + SIZE + 85);
        area.draw(&Text::new("predicted digit", below, center(TEXT)))?;
        let upwards = center(TEXT).transform(FontTransform::Rotate270);
        area.draw(&Text::new("label", (LEFT - 85, TOP + SIZE / 2), upwards))?;
        let shares = [0., 0.001, 0.01, 0.05, 0.2, 0.5, 1.];
        let ticks = shares.map(|share| (shade(share), format!("{}%", 100. * share)));
        let place = (LEFT + SIZE + 70, TOP + 50, SIZE - 50);
        bar(area, place, "share of label", &color, &ticks)
    }
}

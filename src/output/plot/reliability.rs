//! The reliability diagram: accuracy by confidence.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::{Area, BLACK_ON_WHITE, BLUE, Drawn, Figure, GREY, TEXT, TITLE, anchored};
use crate::training::calibration::{BINS, Calibration};

// The diagram's left, top and side, and its whole width and height, in pixels.
const LEFT: i32 = 160;
const TOP: i32 = 110;
const SIZE: i32 = 900;
const WIDTH: u32 = 1140;
const HEIGHT: u32 = 1150;

/// How often a network is right where it is how sure.
#[derive(Clone, Debug, PartialEq)]
pub struct Reliability {
    /// The title.
    pub title: String,
    /// What is drawn.
    pub calibration: Calibration,
}

impl Figure for Reliability {
    fn size(&self) -> (u32, u32) {
        (WIDTH, HEIGHT)
    }

    fn draw<B: DrawingBackend>(&self, area: &Area<B>) -> Drawn<B> {
        let place = |x: f64, y: f64| {
            let along = |share: f64| (share * f64::from(SIZE)).round() as i32;
            (LEFT + along(x), TOP + SIZE - along(y))
        };
        let center = |size| anchored(size, HPos::Center, VPos::Center);
        area.draw(&Text::new(self.title.clone(), (LEFT + SIZE / 2, TOP / 2), center(TITLE)))?;
        for (at, bin) in self.calibration.bins.iter().enumerate().filter(|(_, bin)| bin.samples > 0)
        {
            let [from, to] = [at, at + 1].map(|edge| edge as f64 / BINS as f64);
            let corners = [place(from, bin.accuracy), place(to, 0.)];
            area.draw(&Rectangle::new(corners, BLUE.mix(0.7).filled()))?;
            area.draw(&Rectangle::new(corners, ShapeStyle::from(WHITE).stroke_width(2)))?;
            area.draw(&Circle::new(
                place(bin.confidence, bin.accuracy),
                8,
                BLACK_ON_WHITE.filled(),
            ))?;
        }
        let frame = [place(0., 0.), place(1., 1.)];
        area.draw(&Rectangle::new(frame, ShapeStyle::from(GREY).stroke_width(2)))?;
        let style = ShapeStyle::from(BLACK_ON_WHITE).stroke_width(2);
        area.draw(&PathElement::new(vec![place(0., 0.), place(1., 1.)], style))?;
        for tick in [0., 0.2, 0.4, 0.6, 0.8, 1.] {
            let (x, y) = place(tick, tick);
            let name = |at| Text::new(format!("{tick}"), at, center(TEXT));
            area.draw(&name((x, TOP + SIZE + 35)))?;
            area.draw(&name((LEFT - 45, y)))?;
        }
        let below = (LEFT + SIZE / 2, TOP + SIZE + 90);
        area.draw(&Text::new("confidence", below, center(TEXT)))?;
        let upwards = center(TEXT).transform(FontTransform::Rotate270);
        area.draw(&Text::new("accuracy", (LEFT - 110, TOP + SIZE / 2), upwards))
    }
}

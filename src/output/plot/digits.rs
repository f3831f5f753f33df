//! Digits, and whatever else has 28×28 pixels: one large, or many in rows.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::{Area, BLACK_ON_WHITE, Drawn, Figure, GREY, TEXT, TITLE, anchored, bar};
use crate::PIXELS;
use crate::SIDE;
use mnist_image::Digit;

/// The most tiles that are shown where the user has not said how many.
pub const MOST: usize = 100;
/// Width in pixels of a row of tiles, about, and the least width of a figure.
const WIDTH: i32 = 1640;
const LEAST_WIDTH: i32 = 900;
/// Space between tiles, in pixels.
const GAP: i32 = 18;
const CAPTION: i32 = 24;
/// Side of a digit's pixel where it stands alone.
const LARGE: i32 = 24;
/// Height of title and note, and the margin around the tiles.
const TOP: i32 = 130;
const MARGIN: i32 = 30;
/// Width of the colour bar.
const BAR: i32 = 220;

/// What pixels mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Palette {
    /// Ink, from 0 for paper to 1.
    Ink,
    /// Values around 0, of which this one, and its negative, get the strongest colour.
    Values(f32),
}

/// A square of pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct Tile {
    /// Rows of 28 pixels.
    pub pixels: [f32; PIXELS],
    /// The caption below it.
    pub caption: String,
}

/// Tiles in rows, and what they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Digits {
    /// The title.
    pub title: String,
    /// What captions and colours mean.
    pub note: String,
    /// The tiles, row after row; one that is alone is shown large.
    pub tiles: Vec<Tile>,
    /// Tiles in a row.
    pub columns: usize,
    /// What their pixels mean.
    pub palette: Palette,
}

impl Palette {
    /// The colour of a pixel: ink is black on white, values go from blue by white to red.
    pub fn color(self, value: f32) -> [u8; 3] {
        let mix = |from: [f32; 3], to: [f32; 3], share: f32| {
            [0, 1, 2].map(|at| (from[at] + (to[at] - from[at]) * share).round() as u8)
        };
        match self {
            Palette::Ink => mix([255.; 3], [0.; 3], value.clamp(0., 1.)),
            Palette::Values(limit) => {
                let share = (value / limit).clamp(-1., 1.);
                let full = if share < 0. { [5., 70., 150.] } else { [160., 15., 35.] };
                // In steps, so that neighbours are often the same: an SVG holds what differs.
                mix([255.; 3], full, (24. * share.abs()).round() / 24.)
            }
        }
    }
}

impl Tile {
    /// A digit.
    pub fn digit(digit: &Digit, caption: String) -> Tile {
        Tile { pixels: digit.map(|ink| f32::from(ink) / 255.), caption }
    }
}

impl Digits {
    /// Side of a pixel.
    fn pixel(&self) -> i32 {
        match self.tiles.len() {
            1 => LARGE,
            _ => ((WIDTH / self.columns as i32 - GAP) / SIDE as i32).clamp(1, 8),
        }
    }

    /// From one tile to the next, across and down.
    fn steps(&self) -> (i32, i32) {
        let side = SIDE as i32 * self.pixel();
        let captions = self.tiles.iter().any(|tile| !tile.caption.is_empty());
        (side + GAP, side + GAP + if captions { CAPTION + 4 } else { 0 })
    }

    fn bar(&self) -> i32 {
        if self.palette == Palette::Ink { 0 } else { BAR }
    }
}

impl Figure for Digits {
    fn size(&self) -> (u32, u32) {
        let (across, down) = self.steps();
        let (columns, rows) = match self.tiles.len() {
            1 => (1, 1),
            count => (self.columns as i32, count.div_ceil(self.columns) as i32),
        };
        // Space for ticks and axis labels.
        let axes = if self.tiles.len() == 1 { 2 * TEXT } else { 0 };
        let width = (columns * across - GAP).max(LEAST_WIDTH) + 2 * MARGIN + self.bar();
        (width as u32, (TOP + rows * down - GAP + MARGIN + axes) as u32)
    }

    fn draw<B: DrawingBackend>(&self, area: &Area<B>) -> Drawn<B> {
        let (width, height) = self.size();
        let (width, height) = (width as i32, height as i32);
        let center = |size| anchored(size, HPos::Center, VPos::Center);
        area.draw(&Text::new(self.title.clone(), (width / 2, TITLE), center(TITLE)))?;
        area.draw(&Text::new(self.note.clone(), (width / 2, 2 * TITLE + 8), center(TEXT)))?;
        let (across, down) = self.steps();
        let columns = self.columns.min(self.tiles.len()) as i32;
        let left = (width - self.bar() - columns * across + GAP) / 2;
        for (at, tile) in self.tiles.iter().enumerate() {
            let (row, column) = ((at / self.columns) as i32, (at % self.columns) as i32);
            let corner = (left + column * across, TOP + row * down);
            draw_pixels(area, tile, self.palette, corner, self.pixel())?;
            let side = across - GAP;
            if self.tiles.len() == 1 {
                draw_axes(area, corner)?;
            } else {
                let below = (corner.0 + side / 2, corner.1 + side + CAPTION / 2 + 5);
                area.draw(&Text::new(tile.caption.clone(), below, center(CAPTION)))?;
            }
        }
        if let Palette::Values(limit) = self.palette {
            let place = (width - BAR + 30, TOP, (height - MARGIN - TOP).min(600));
            let color = |share: f64| self.palette.color((2. * share as f32 - 1.) * limit);
            let ticks =
                [(0., format!("-{limit:.2}")), (0.5, "0".into()), (1., format!("{limit:.2}"))];
            bar(area, place, "weight", &color, &ticks)?;
        }
        Ok(())
    }
}

/// Draws a tile's pixels, each as a square of this side, in a frame.
pub(super) fn draw_pixels<B: DrawingBackend>(
    area: &Area<B>,
    tile: &Tile,
    palette: Palette,
    (left, top): (i32, i32),
    side: i32,
) -> Drawn<B> {
    for (row, pixels) in (0..).zip(tile.pixels.chunks(SIDE)) {
        let colors: Vec<_> = pixels.iter().map(|value| palette.color(*value)).collect();
        let mut x = left;
        // As few rectangles as there are changes of colour, since an SVG holds them all.
        for same in colors.chunk_by(|a, b| a == b) {
            let [r, g, b] = same[0];
            let end = x + same.len() as i32 * side;
            let corners = [(x, top + row * side), (end, top + (row + 1) * side)];
            area.draw(&Rectangle::new(corners, RGBColor(r, g, b).filled()))?;
            x = end;
        }
    }
    let end = SIDE as i32 * side;
    let frame = [(left - 1, top - 1), (left + end, top + end)];
    area.draw(&Rectangle::new(frame, ShapeStyle::from(GREY).stroke_width(1)))
}

/// Draws the axes of a digit that stands alone, in pixels.
fn draw_axes<B: DrawingBackend>(area: &Area<B>, (left, top): (i32, i32)) -> Drawn<B> {
    let end = SIDE as i32 * LARGE;
    let tick = |from, to| PathElement::new(vec![from, to], BLACK_ON_WHITE.stroke_width(2));
    for at in (0..SIDE as i32).step_by(5) {
        let place = at * LARGE + LARGE / 2;
        area.draw(&tick((left + place, top + end), (left + place, top + end + 8)))?;
        area.draw(&tick((left, top + place), (left - 8, top + place)))?;
        let below = anchored(TEXT, HPos::Center, VPos::Top);
        area.draw(&Text::new(at.to_string(), (left + place, top + end + 12), below))?;
        let beside = anchored(TEXT, HPos::Right, VPos::Center);
        area.draw(&Text::new(at.to_string(), (left - 14, top + place), beside))?;
    }
    let below = anchored(TEXT, HPos::Right, VPos::Top);
    area.draw(&Text::new("pixel", (left - 14, top + end + 12), below))
}

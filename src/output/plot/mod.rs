//! Records → figures: plots, digits in rows, annotated pages; as PNG, SVG or, for a terminal, text.

mod annotate;
mod confusion;
#[cfg(feature = "torch")]
mod curves;
mod digits;
mod explanation;
#[cfg(feature = "torch")]
mod mistakes;
#[cfg(feature = "torch")]
mod reliability;
pub mod stages;
pub mod terminal;
mod weights_map;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use epaint_default_fonts::UBUNTU_LIGHT;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{DynamicImage, RgbImage};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::FontStyle;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters_backend::{BackendColor, BackendStyle, BackendTextStyle, DrawingErrorKind};

pub use annotate::annotate;
pub use confusion::Confusion;
#[cfg(feature = "torch")]
pub use curves::{Curves, Line, Panel, comparison, training};
pub use digits::{Digits, MOST, Palette, Tile};
pub use explanation::Explanation;
#[cfg(feature = "torch")]
pub use mistakes::mistakes;
#[cfg(feature = "torch")]
pub use reliability::Reliability;
pub use weights_map::weights_map;

use crate::files::atomic;

/// What a figure is drawn on, and how that can fail.
type Area<B> = DrawingArea<B, Shift>;
type Drawn<B> = Result<(), DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;

type BitMapBackendError = <BitMapBackend<'static> as DrawingBackend>::ErrorType;
type Outcome = Result<(), DrawingErrorKind<BitMapBackendError>>;

/// The font: for pixels the one registered under this name, in an SVG the reader's own.
const FONT: &str = "sans-serif";
const BLACK_ON_WHITE: RGBColor = RGBColor(20, 20, 20);
/// The first of the colours that the colour-blind can tell apart (Okabe & Ito 2002).
const BLUE: RGBColor = RGBColor(0, 114, 178);
const GREY: RGBColor = RGBColor(205, 205, 205);
// Font sizes in pixels; a figure is made to be shown at half its size.
const TITLE: i32 = 40;
const TEXT: i32 = 30;

/// What can be drawn as pixels and as vectors. Twice as large as it is meant to be seen, so that it
/// is sharp on any screen.
pub trait Figure {
    /// Its width and height in pixels.
    fn size(&self) -> (u32, u32);
    /// Draws it on a white ground of that size.
    fn draw<B: DrawingBackend>(&self, area: &Area<B>) -> Drawn<B>;
}

/// The path that `name` stands for, if its extension is that of a format of figures.
pub fn file_name(name: &str) -> Result<PathBuf> {
    is_svg(name.as_ref())?;
    Ok(name.into())
}

fn is_svg(path: &Path) -> Result<bool> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("png") => Ok(false),
        Some("svg") => Ok(true),
        _ => bail!("cannot write {}: the file name must end in .png or .svg", path.display()),
    }
}

/// Writes a figure, whole or not at all, as PNG or SVG, whichever its name says.
pub fn save(figure: &impl Figure, path: &Path) -> Result<()> {
    // By way of memory: a buffered file would say nothing of a full disk.
    let bytes = match is_svg(path)? {
        true => to_svg(figure)?.into_bytes(),
        false => return save_image(&to_pixels(figure)?.into(), path),
    };
    atomic::write_bytes(path, bytes)
}

/// Writes an image as PNG, whole or not at all.
pub fn save_image(image: &DynamicImage, path: &Path) -> Result<()> {
    let mut bytes = Vec::new();
    let png = PngEncoder::new_with_quality(&mut bytes, CompressionType::Best, FilterType::NoFilter);
    image.write_with_encoder(png)?;
    atomic::write_bytes(path, bytes)
}

/// Draws a figure as pixels.
pub fn to_pixels(figure: &impl Figure) -> Result<RgbImage> {
    let (width, height) = figure.size();
    let mut pixels = RgbImage::new(width, height);
    let backend = BitMapBackend::with_buffer(pixels.as_mut(), (width, height));
    draw(figure, Pixels(backend))?;
    Ok(pixels)
}

/// Pixels as plotters draws them, but for text, which it puts above its anchor by a fifth of its
/// size.
struct Pixels<'a>(BitMapBackend<'a>);

impl DrawingBackend for Pixels<'_> {
    type ErrorType = BitMapBackendError;

    fn get_size(&self) -> (u32, u32) {
        self.0.get_size()
    }

    fn ensure_prepared(&mut self) -> Outcome {
        self.0.ensure_prepared()
    }

    fn present(&mut self) -> Outcome {
        self.0.present()
    }

    fn draw_pixel(&mut self, at: (i32, i32), color: BackendColor) -> Outcome {
        self.0.draw_pixel(at, color)
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        from: (i32, i32),
        to: (i32, i32),
        style: &S,
        fill: bool,
    ) -> Outcome {
        self.0.draw_rect(from, to, style, fill) // faster than pixel by pixel
    }

    fn draw_text<S: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &S,
        (x, y): (i32, i32),
    ) -> Outcome {
        let down = (0.2 * style.size()).round() as i32;
        let at = match style.transform() {
            FontTransform::Rotate270 => (x + down, y),
            _ => (x, y + down),
        };
        self.0.draw_text(text, style, at)
    }
}

fn to_svg(figure: &impl Figure) -> Result<String> {
    let mut text = String::new();
    draw(figure, SVGBackend::with_string(&mut text, figure.size()))?;
    Ok(text)
}

fn draw<B: DrawingBackend>(figure: &impl Figure, backend: B) -> Result<()>
where
    B::ErrorType: 'static,
{
    let registered = plotters::style::register_font(FONT, FontStyle::Normal, UBUNTU_LIGHT);
    ensure!(registered.is_ok(), "the font is damaged");
    let area = backend.into_drawing_area();
    let drawn = area.fill(&WHITE).and_then(|()| figure.draw(&area)).and_then(|()| area.present());
    drawn.context("cannot draw the figure")
}

/// The style of text of this size.
fn text(size: i32) -> TextStyle<'static> {
    (FONT, size).into_font().color(&BLACK_ON_WHITE)
}

/// Text of this size, anchored elsewhere than at its upper left corner.
fn anchored(size: i32, across: HPos, down: VPos) -> TextStyle<'static> {
    text(size).pos(Pos::new(across, down))
}

/// Draws a colour bar of this left, top and height, with its name above; `color` is given the share
/// of the height from the bottom.
fn bar<B: DrawingBackend>(
    area: &Area<B>,
    (left, top, height): (i32, i32, i32),
    name: &str,
    color: &dyn Fn(f64) -> [u8; 3],
    ticks: &[(f64, String)],
) -> Drawn<B> {
    let name_at = anchored(TEXT, HPos::Left, VPos::Top);
    area.draw(&Text::new(name.to_string(), (left, top), name_at))?;
    let (top, height, width) = (top + 60, height - 80, 46);
    for step in 0..height / 4 {
        let [r, g, b] = color(1. - f64::from(step * 4) / f64::from(height - 4));
        let y = top + step * 4;
        let corners = [(left, y), (left + width, y + 4)];
        area.draw(&Rectangle::new(corners, RGBColor(r, g, b).filled()))?;
    }
    let frame = [(left, top), (left + width, top + height)];
    area.draw(&Rectangle::new(frame, ShapeStyle::from(GREY).stroke_width(1)))?;
    for (share, name) in ticks {
        let y = top + (f64::from(height) * (1. - share)).round() as i32;
        let beside = anchored(TEXT, HPos::Left, VPos::Center);
        area.draw(&Text::new(name.clone(), (left + width + 12, y), beside))?;
    }
    Ok(())
}

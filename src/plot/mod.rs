//! Plain records → pictures.

mod annotate;
mod curves;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use epaint_default_fonts::UBUNTU_LIGHT;
use image::RgbImage;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::FontStyle;

pub use annotate::annotate;
pub use curves::{Curves, comparison, training};

use crate::atomic;

/// Where a picture is drawn on, and how that can fail.
type Area<B> = DrawingArea<B, Shift>;
type Drawn<B> = Result<(), DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;

/// The font: what is registered for bitmaps, and what an SVG's reader has under that name.
const FONT: &str = "sans-serif";
const BLACK_ON_WHITE: RGBColor = RGBColor(20, 20, 20);
const GREY: RGBColor = RGBColor(205, 205, 205);
// Sizes of letters, in pixels; a picture is made for being shown at half its size.
const TITLE: i32 = 40;
const TEXT: i32 = 30;

/// A picture that can be drawn as pixels and as lines. Twice as large as it is meant to be seen, so
/// that it is sharp on any screen.
pub trait Picture {
    /// Its width and height in pixels.
    fn size(&self) -> (u32, u32);
    /// Draws it on a white ground of that size.
    fn draw<B: DrawingBackend>(&self, area: &Area<B>) -> Drawn<B>;
}

/// The path that `name` stands for, if pictures can be written under such a name.
pub fn file_name(name: &str) -> Result<PathBuf> {
    is_svg(name.as_ref())?;
    Ok(name.into())
}

fn is_svg(path: &Path) -> Result<bool> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("png") => Ok(false),
        Some("svg") => Ok(true),
        _ => bail!("the name of the picture {} must end in .png or .svg", path.display()),
    }
}

/// Writes a picture, atomically, as PNG or SVG, whichever its name says.
pub fn save(picture: &impl Picture, path: &Path) -> Result<()> {
    let svg = is_svg(path)?;
    atomic::write(path, |temporary| match svg {
        true => Ok(fs::write(temporary, to_svg(picture)?)?),
        false => Ok(to_pixels(picture)?.save(temporary)?),
    })
}

/// Draws a picture as pixels.
pub fn to_pixels(picture: &impl Picture) -> Result<RgbImage> {
    let (width, height) = picture.size();
    let mut pixels = RgbImage::new(width, height);
    let backend = BitMapBackend::with_buffer(pixels.as_mut(), (width, height));
    draw(picture, backend)?;
    Ok(pixels)
}

fn to_svg(picture: &impl Picture) -> Result<String> {
    let mut text = String::new();
    draw(picture, SVGBackend::with_string(&mut text, picture.size()))?;
    Ok(text)
}

fn draw<B: DrawingBackend>(picture: &impl Picture, backend: B) -> Result<()>
where
    B::ErrorType: 'static,
{
    let registered = plotters::style::register_font(FONT, FontStyle::Normal, UBUNTU_LIGHT);
    ensure!(registered.is_ok(), "the font is damaged");
    let area = backend.into_drawing_area();
    let drawn = area.fill(&WHITE).and_then(|()| picture.draw(&area)).and_then(|()| area.present());
    drawn.context("cannot draw the picture")
}

/// The style of text of this size.
fn text(size: i32) -> TextStyle<'static> {
    (FONT, size).into_font().color(&BLACK_ON_WHITE)
}

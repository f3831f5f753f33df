//! What was read from a sheet, drawn on it.

use ab_glyph::{FontRef, PxScale};
use anyhow::{Context, Result};
use epaint_default_fonts::UBUNTU_LIGHT;
use image::{Rgb, RgbImage};
use imageproc::drawing::{draw_filled_rect_mut, draw_hollow_rect_mut, draw_text_mut, text_size};
use imageproc::rect::Rect;

use crate::reading::Read;

const SURE: Rgb<u8> = Rgb([0, 110, 60]);
const UNSURE: Rgb<u8> = Rgb([200, 30, 0]);
const WHITE: Rgb<u8> = Rgb([255, 255, 255]);

/// Draws on a picture what was read from it: around each digit a box, green, or red where the
/// confidence is below `least`, and above it, white on the same colour, the label, or `?`.
pub fn annotate(mut drawn: RgbImage, lines: &[Vec<Read>], least: f32) -> Result<RgbImage> {
    let font = FontRef::try_from_slice(UBUNTU_LIGHT).context("the font is damaged")?;
    let mut heights: Vec<u32> = lines.iter().flatten().map(|read| read.bounds.height).collect();
    heights.sort_unstable();
    let height = heights.get(heights.len() / 2).map_or(0., |height| *height as f32 * 0.55).max(12.);
    let thickness = (height / 16.).round().max(1.) as i32;
    for read in lines.iter().flatten() {
        let color = if read.is_sure(least) { SURE } else { UNSURE };
        let bounds = read.bounds;
        let (left, top) = (bounds.x as i32, bounds.y as i32);
        for grow in thickness..2 * thickness {
            let side = |side: u32| side + 2 * grow as u32;
            let rect = Rect::at(left - grow, top - grow);
            draw_hollow_rect_mut(
                &mut drawn,
                rect.of_size(side(bounds.width), side(bounds.height)),
                color,
            );
        }
        let label = read.label(least).to_string();
        let (wide, _) = text_size(height, &font, &label);
        let over = top - 2 * thickness - height as i32;
        // Above the digit, or in the box where there is no room.
        let over = if over < 0 { top } else { over };
        let plate = Rect::at(left - 2 * thickness, over)
            .of_size(wide + 4 * thickness as u32, height as u32);
        draw_filled_rect_mut(&mut drawn, plate, color);
        draw_text_mut(&mut drawn, WHITE, left, over, PxScale::from(height), &font, &label);
    }
    Ok(drawn)
}

//! What was read from a page, drawn on it.

use ab_glyph::{FontRef, PxScale};
use anyhow::{Context, Result};
use epaint_default_fonts::UBUNTU_LIGHT;
use image::{Rgb, RgbImage};
use imageproc::drawing::{draw_filled_rect_mut, draw_hollow_rect_mut, draw_text_mut, text_size};
use imageproc::rect::Rect;

use crate::reading::ReadDigit;
use mnist_image::page::Bounds;

const SURE: Rgb<u8> = Rgb([0, 110, 60]);
const UNSURE: Rgb<u8> = Rgb([200, 30, 0]);
const WHITE: Rgb<u8> = Rgb([255, 255, 255]);
/// Height of a label where there is room, as a share of the median height of the digits.
const LABEL_SHARE: f32 = 0.55;
/// The least height of a label, in pixels, that can be read.
const MIN_LABEL: f32 = 12.;
/// Sizes of a label that are tried, as shares of the largest one.
const LABEL_SIZES: [f32; 4] = [1., 0.8, 0.6, 0.45];
/// The height of a label is that many times the width of the line around a digit.
const LABEL_TO_LINE: f32 = 16.;

/// A label, and the plate that it stands on.
struct Label {
    text: String,
    plate: Rect,
    height: f32,
}

/// Draws on an image what was read from it: around each digit a box, green, or red where the
/// confidence is below `least`, and beside it, white on the same colour, the label, or `?`. Labels
/// are put where neither digits nor other labels are, as far as there is room. What is no digit
/// gets none.
pub fn annotate(mut drawn: RgbImage, lines: &[Vec<ReadDigit>], least: f32) -> Result<RgbImage> {
    let font = FontRef::try_from_slice(UBUNTU_LIGHT).context("the font is damaged")?;
    let digits = || lines.iter().flatten().filter(|read| read.answer.is_digit);
    let mut heights: Vec<u32> = digits().map(|read| read.bounds.height).collect();
    heights.sort_unstable();
    let median = heights.get(heights.len() / 2).map_or(0., |height| *height as f32);
    let height = (median * LABEL_SHARE).max(MIN_LABEL);
    let line = (height / LABEL_TO_LINE).round().max(1.) as i32;

    let boxes: Vec<Rect> = digits().map(|read| around(read.bounds, 2 * line)).collect();
    let page = Rect::at(0, 0).of_size(drawn.width().max(1), drawn.height().max(1));
    let mut taken = boxes.clone();
    for (read, outer) in digits().zip(&boxes) {
        let color = if read.is_sure(least) { SURE } else { UNSURE };
        for grow in line..2 * line {
            draw_hollow_rect_mut(&mut drawn, around(read.bounds, grow), color);
        }
        let text = read.label(least).to_string();
        let label = place(&text, &font, (height, line), *outer, &taken, page);
        taken.push(label.plate);
        draw_filled_rect_mut(&mut drawn, label.plate, color);
        let (x, y) = (label.plate.left() + line, label.plate.top());
        draw_text_mut(&mut drawn, WHITE, x, y, PxScale::from(label.height), &font, &label.text);
    }
    Ok(drawn)
}

/// The bounds, wider by `grow` pixels on all sides.
pub(super) fn around(bounds: Bounds, grow: i32) -> Rect {
    let side = |side: u32| (side + 2 * grow as u32).max(1);
    Rect::at(bounds.x as i32 - grow, bounds.y as i32 - grow)
        .of_size(side(bounds.width), side(bounds.height))
}

/// The label of the digit in the box `outer`: above it if at all possible, else below or beside it,
/// smaller where there is little room. Where there is none, it covers as little as can be.
fn place(
    text: &str,
    font: &FontRef,
    (full, line): (f32, i32),
    outer: Rect,
    taken: &[Rect],
    page: Rect,
) -> Label {
    let covered = |plate: Rect| -> u64 {
        let area = |rect: Rect| u64::from(rect.width()) * u64::from(rect.height());
        let inside = plate.intersect(page).map_or(0, area);
        let others = taken.iter().filter_map(|other| plate.intersect(*other)).map(area);
        area(plate) - inside + others.sum::<u64>()
    };
    let sizes = || LABEL_SIZES.iter().map(|share| (full * share).max(MIN_LABEL.min(full)));
    let mut best: Option<(u64, Label)> = None;
    for side in 0..6 {
        for height in sizes() {
            let (wide, _) = text_size(height, font, text);
            let (width, tall) = (wide + 2 * line as u32, height as u32);
            let corner = corner(side, outer, (width as i32, tall as i32));
            let plate = Rect::at(corner.0, corner.1).of_size(width.max(1), tall.max(1));
            let cover = covered(plate);
            let label = || Label { text: text.into(), plate, height };
            match &best {
                _ if cover == 0 => return label(),
                Some((least, _)) if *least <= cover => {}
                _ => best = Some((cover, label())),
            }
        }
    }
    best.map(|(_, label)| label).expect("several places were tried")
}

/// Where a plate of this size begins: above, from the left or right edge on, below, right, left.
fn corner(side: usize, outer: Rect, (width, height): (i32, i32)) -> (i32, i32) {
    let (left, top) = (outer.left(), outer.top());
    let (right, bottom) = (outer.right() + 1, outer.bottom() + 1);
    match side {
        0 => (left, top - height),
        1 => (right - width, top - height),
        2 => (left, bottom),
        3 => (right - width, bottom),
        4 => (right, top),
        _ => (left - width, top),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: (u32, u32) = (400, 300);

    /// Plates of the labels of these boxes, placed one after the other.
    fn plates(boxes: &[Rect]) -> Vec<Rect> {
        let font = FontRef::try_from_slice(UBUNTU_LIGHT).unwrap();
        let page = Rect::at(0, 0).of_size(PAGE.0, PAGE.1);
        let mut taken = boxes.to_vec();
        for outer in boxes {
            let label = place("8", &font, (28., 2), *outer, &taken, page);
            taken.push(label.plate);
        }
        taken.split_off(boxes.len())
    }

    fn are_apart(rects: &[Rect]) -> bool {
        let apart = |a: usize, b: usize| rects[a].intersect(rects[b]).is_none();
        (0..rects.len()).all(|a| (0..a).all(|b| apart(a, b)))
    }

    #[test]
    fn a_label_stands_above_its_digit() {
        let plates = plates(&[Rect::at(100, 100).of_size(30, 50)]);
        assert_eq!((plates[0].left(), plates[0].bottom()), (100, 99));
        assert_eq!(plates[0].height(), 28);
    }

    #[test]
    fn at_the_upper_edge_it_stands_elsewhere_on_the_page() {
        let plates = plates(&[Rect::at(100, 2).of_size(30, 50)]);
        assert!(plates[0].top() >= 0, "{plates:?}");
    }

    #[test]
    fn labels_cover_neither_digits_nor_each_other_on_lines_that_are_close() {
        let boxes: Vec<_> = (0..4)
            .flat_map(|row| (0..8).map(move |column| (row, column)))
            .map(|(row, column)| Rect::at(20 + 45 * column, 40 + 66 * row).of_size(30, 50))
            .collect();
        let plates = plates(&boxes);
        assert_eq!(plates.len(), 32);
        assert!(are_apart(&[boxes, plates].concat()));
    }

    #[test]
    fn narrow_neighbours_keep_their_labels_apart() {
        let boxes: Vec<_> = (0..10).map(|at| Rect::at(20 + 16 * at, 100).of_size(14, 50)).collect();
        let plates = plates(&boxes);
        let overlaps =
            (0..10).filter(|a| (0..*a).any(|b| plates[*a].intersect(plates[b]).is_some()));
        assert_eq!(overlaps.count(), 0, "{plates:?}");
    }
}

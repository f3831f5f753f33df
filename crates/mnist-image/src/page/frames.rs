//! Boxes that are drawn round writing, with the same pen as the digits: too thick to be ruled
//! lines.

use image::{GrayImage, Luma};

use super::groups::MIN_DIGIT_HEIGHT;
use crate::component::{Component, Labels, components, label};
use crate::ink::dilated;

// Chosen on drawn pages, in the tests and in `tests/sheets`, unless said otherwise.
/// Share of a box's height that the writing in it has at least: less is a dot in a 0.
const MIN_CONTENT: (u32, u32) = (1, 3);
/// Share of the rows and columns of the writing in which a box must lie on either side of it.
const MIN_CLOSED: (usize, usize) = (9, 10);
/// Share of its shorter side within which all of a box lies: what reaches farther in is writing
/// that touches it.
const MAX_DEPTH: (u32, u32) = (1, 4);
/// Share of its sides within which a box reaches its corners; an oval stays away by 0.2.
const MAX_CORNER: f32 = 0.15;

/// Boxes from which on others of their size are boxes, too, though the writing in them touches
/// them; the share of their sides by which these may differ.
const FORM: usize = 2;
const MAX_DIFFERENCE: f32 = 0.08;
/// Corners that another one has at least, whose sides may be in pieces.
const MIN_CORNERS: usize = 3;

/// Erases boxes that are closed round writing which does not touch them, and where there are
/// several, the sides of others like them.
pub(super) fn erase(ink: &mut GrayImage, mask: &mut GrayImage) {
    let labels = label(mask);
    let found = components(&labels, mask, ink);
    let is_box: Vec<bool> = (1..)
        .zip(&found)
        .map(|(label, frame)| {
            let mut inner = found.iter().filter(|inner| surrounds(frame, inner));
            frame.width().min(frame.height()) > MIN_DIGIT_HEIGHT
                && corners(&labels, label, frame) == 4
                && is_hollow(&labels, label, frame)
                && inner.any(|one| encloses(&labels, label, frame, one))
        })
        .collect();
    if !is_box.contains(&true) {
        return;
    }
    let boxes: Vec<&Component> =
        found.iter().zip(&is_box).filter_map(|(one, is_box)| is_box.then_some(one)).collect();
    let sides: Vec<Option<u32>> = (1..)
        .zip(&found)
        .map(|(label, one)| {
            let like: Vec<_> = boxes.iter().filter(|other| are_alike(one, other)).collect();
            let thickness = like.iter().map(|other| thickness(other)).max()?;
            let is_alike = like.len() >= FORM && corners(&labels, label, one) >= MIN_CORNERS;
            is_alike.then_some(thickness)
        })
        .collect();
    let mut erased = GrayImage::new(mask.width(), mask.height());
    for (erased, &label) in erased.iter_mut().zip(labels.iter()) {
        *erased = if label > 0 && is_box[label as usize - 1] { 255 } else { 0 };
    }
    // Whatever lies along the sides: pale ones may be in pieces.
    for (one, side) in found.iter().zip(sides) {
        let Some(side) = side else { continue };
        for y in one.top..=one.bottom {
            for x in (one.left..=one.right).filter(|&x| depth(one, x, y) <= side) {
                erased.put_pixel(x, y, Luma([255]));
            }
        }
    }
    mask.iter_mut().zip(erased.iter()).for_each(|(mask, erased)| *mask &= !erased);
    // Their soft edges as well, which would be pale lines by themselves.
    let mut edges: Vec<u32> = boxes.iter().map(|one| usual_thickness(one)).collect();
    edges.sort_unstable();
    let edge = edges[edges.len() / 2];
    let near = dilated(&erased, edge);
    for ((ink, &writing), &near) in ink.iter_mut().zip(mask.iter()).zip(near.iter()) {
        if near > 0 && writing == 0 {
            *ink = 0;
        }
    }
}

/// Whether the box of `inner`, which is large enough for writing, lies within that of `frame`.
fn surrounds(frame: &Component, inner: &Component) -> bool {
    frame.left < inner.left
        && frame.top < inner.top
        && frame.right > inner.right
        && frame.bottom > inner.bottom
        && inner.height() * MIN_CONTENT.1 >= frame.height() * MIN_CONTENT.0
}

/// Whether two components have about the same width and height.
fn are_alike(one: &Component, other: &Component) -> bool {
    let differ = |a: u32, b: u32| a.abs_diff(b) as f32 > MAX_DIFFERENCE * a.max(b) as f32;
    !differ(one.width(), other.width()) && !differ(one.height(), other.height())
}

/// How thick the sides of a box are at most, if it is hollow: it may be drawn somewhat askew.
fn thickness(frame: &Component) -> u32 {
    usual_thickness(frame) + 1 + frame.width().max(frame.height()) / 30
}

fn usual_thickness(frame: &Component) -> u32 {
    frame.pixels.div_ceil(2 * (frame.width() + frame.height()))
}

/// How far a place in a component's box is from the nearest side.
fn depth(frame: &Component, x: u32, y: u32) -> u32 {
    let across = (x - frame.left).min(frame.right - x);
    across.min((y - frame.top).min(frame.bottom - y))
}

/// How many of the corners of its box a component comes near.
fn corners(labels: &Labels, label: u32, frame: &Component) -> usize {
    let (width, height) = (frame.width() as f32, frame.height() as f32);
    let reach = |side: f32| (MAX_CORNER * side).ceil() as u32;
    let is_near = |&(right, below): &(bool, bool)| {
        (0..reach(width)).any(|dx| {
            (0..reach(height)).any(|dy| {
                let x = if right { frame.right - dx } else { frame.left + dx };
                let y = if below { frame.bottom - dy } else { frame.top + dy };
                (dx as f32 / width).hypot(dy as f32 / height) < MAX_CORNER
                    && labels.get_pixel(x, y).0[0] == label
            })
        })
    };
    [(false, false), (false, true), (true, false), (true, true)]
        .iter()
        .filter(|at| is_near(at))
        .count()
}

/// Whether a component lies along the sides of its box alone.
fn is_hollow(labels: &Labels, label: u32, frame: &Component) -> bool {
    let depth = frame.width().min(frame.height()) * MAX_DEPTH.0 / MAX_DEPTH.1;
    !(frame.top + depth..=frame.bottom - depth).any(|y| {
        (frame.left + depth..=frame.right - depth).any(|x| labels.get_pixel(x, y).0[0] == label)
    })
}

/// Whether a component lies on all four sides of another, and nowhere in that one's box.
fn encloses(labels: &Labels, label: u32, frame: &Component, inner: &Component) -> bool {
    let is_frame = |x: u32, y: u32| labels.get_pixel(x, y).0[0] == label;
    let rows = (inner.top..=inner.bottom).filter(|&y| {
        (frame.left..inner.left).any(|x| is_frame(x, y))
            && (inner.right + 1..=frame.right).any(|x| is_frame(x, y))
    });
    let columns = (inner.left..=inner.right).filter(|&x| {
        (frame.top..inner.top).any(|y| is_frame(x, y))
            && (inner.bottom + 1..=frame.bottom).any(|y| is_frame(x, y))
    });
    let closed = rows.count() + columns.count();
    let all = (inner.width() + inner.height()) as usize;
    closed * MIN_CLOSED.1 >= all * MIN_CLOSED.0
        && !(inner.top..=inner.bottom).any(|y| (inner.left..=inner.right).any(|x| is_frame(x, y)))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Drawn<'a> = &'a dyn Fn(f32, f32) -> bool;

    /// What is left of a drawing of 100×100.
    fn left(drawn: impl Fn(f32, f32) -> bool) -> GrayImage {
        let mut mask = drawing(drawn);
        let mut ink = mask.clone();
        erase(&mut ink, &mut mask);
        assert_eq!(ink, mask);
        mask
    }

    fn drawing(drawn: impl Fn(f32, f32) -> bool) -> GrayImage {
        GrayImage::from_fn(100, 100, |x, y| Luma([255 * u8::from(drawn(x as f32, y as f32))]))
    }

    fn one(x: f32, y: f32) -> bool {
        (x - 50.).abs() < 3. && (y - 50.).abs() < 22.
    }

    #[test]
    fn a_box_is_erased_and_what_is_in_it_is_not() {
        // Tilted by 5°, and with a gap in its upper side.
        let frame = |x: f32, y: f32| {
            let (across, down) = (x - 50. + 0.09 * (y - 50.), y - 50. - 0.09 * (x - 50.));
            let away = across.abs().max(down.abs());
            (35. ..40.).contains(&away) && !(down < 0. && (10. ..14.).contains(&across))
        };
        assert_eq!(left(|x, y| frame(x, y) || one(x, y)), drawing(one));
    }

    #[test]
    fn among_boxes_of_a_form_one_that_its_digit_touches_is_erased_too() {
        let cell = |x: f32| x.rem_euclid(60.) - 30.;
        let side = |x: f32, y: f32| cell(x).abs().max((y - 30.).abs());
        let whole = |x: f32, y: f32| (22. ..25.).contains(&side(x, y));
        // The right side of the first one, which is pale, in pieces.
        let broken = |x: f32, y: f32| whole(x, y) && !(cell(x) > 18. && x < 60. && y % 14. < 4.);
        let digit = |x: f32, y: f32| {
            let to = if x < 60. { 56. } else { 45. };
            cell(x).abs() < 2. && (15. ..to).contains(&y)
        };
        let draw = |sides: &dyn Fn(f32, f32) -> bool| {
            GrayImage::from_fn(180, 60, |x, y| {
                let (x, y) = (x as f32, y as f32);
                Luma([255 * u8::from(digit(x, y) || sides(x, y))])
            })
        };
        let wanted = draw(&|_, _| false);
        for sides in [&whole as Drawn, &broken] {
            let mut mask = draw(sides);
            let mut ink = mask.clone();
            erase(&mut ink, &mut mask);
            let differ = mask.iter().zip(wanted.iter()).filter(|(a, b)| a != b).count();
            // The end of the digit, which lies in the side.
            assert!(differ <= 20, "{differ}");
        }
    }

    #[test]
    fn no_soft_edge_of_a_box_stays() {
        let away = |x: f32, y: f32| (x - 50.).abs().max((y - 50.).abs());
        let edge = |x: f32, y: f32| (33. ..42.).contains(&away(x, y));
        let mut mask = drawing(|x, y| (35. ..40.).contains(&away(x, y)) || one(x, y));
        let mut ink = drawing(|x, y| edge(x, y) || one(x, y));
        erase(&mut ink, &mut mask);
        assert_eq!((&ink, &mask), (&drawing(one), &drawing(one)));
    }

    #[test]
    fn what_is_not_a_box_round_writing_stays() {
        let square = |x: f32, y: f32| (35. ..40.).contains(&(x - 50.).abs().max((y - 50.).abs()));
        let circle = |x: f32, y: f32| (35. ..40.).contains(&(x - 50.).hypot(y - 50.));
        let dot = |x: f32, y: f32| (x - 50.).hypot(y - 50.) < 8.;
        let open = |x: f32, y: f32| square(x, y) && y < 80.;
        let stem = |x: f32, y: f32| (x - 70.).abs() < 3. && (40. ..90.).contains(&y);
        let cases: [(&str, Drawn); 5] = [
            ("a box alone", &square),
            ("a 0 with a slash in it", &|x, y| circle(x, y) || one(x, y)),
            ("a square 0 with a dot in it", &|x, y| square(x, y) || dot(x, y)),
            ("three sides", &|x, y| open(x, y) || one(x, y)),
            ("a digit that touches it", &|x, y| square(x, y) || one(x, y) || stem(x, y)),
        ];
        for (name, drawn) in cases {
            assert_eq!(left(drawn), drawing(drawn), "{name}");
        }
    }
}

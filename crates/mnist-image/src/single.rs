//! Images of single digits → MNIST's form: the digit that is meant, found as on a page.

use image::GrayImage;

use crate::page::{Group, Page};
use crate::{Digit, Error, Result};

/// Factor on the ink of a group that the image's edge cuts off.
const CUT_OFF: f32 = 1. / 4.;
/// A group at distance d from the middle, 1 at an edge, counts 1 / (1 + ASIDE · d²) of its ink.
/// Both were chosen by judgement, not on data.
const ASIDE: f32 = 2.;

/// The digit that an image of one digit shows.
#[derive(Clone, Debug)]
pub struct Single {
    /// As the network sees it.
    pub digit: Digit,
    /// How many more groups of strokes there are that may be digits: with any, the image is a
    /// page.
    pub others: usize,
}

/// Finds the digit that a grey image shows: of several, the one that is largest, near the middle
/// and not cut off by the edge.
///
/// # Errors
///
/// If nothing stands out from the background, or there are no pixels.
pub fn find(grey: &GrayImage) -> Result<Single> {
    if grey.as_raw().is_empty() {
        return Err(Error::NoPixels);
    }
    let page = Page::new(grey, &mut |_, _| ()).ok_or(Error::Blank)?;
    let writing = page.writing().ok_or(Error::Blank)?;
    let (width, height) = page.dimensions();
    let score = |group: &Group| {
        let whole = &group.whole;
        let off = |from: u32, to: u32, side: u32| (from + to + 1) as f32 / side as f32 - 1.;
        let aside = off(whole.left, whole.right, width).hypot(off(whole.top, whole.bottom, height));
        let shown = if whole.is_cut_off() { CUT_OFF } else { 1. };
        whole.weight * shown / (1. + ASIDE * aside.powi(2))
    };
    let main = writing.groups.iter().max_by(|a, b| score(a).total_cmp(&score(b)));
    let digit = main.and_then(|group| page.whole(&writing, group)).ok_or(Error::Blank)?.digit;
    Ok(Single { digit, others: writing.groups.len() - 1 })
}

/// Brings the digit that a grey image shows into MNIST's form.
///
/// # Errors
///
/// Those of [`find`].
///
/// ```
/// use image::{GrayImage, Luma};
///
/// let stroke = GrayImage::from_fn(60, 90, |x, y| {
///     Luma([if (27..33).contains(&x) && (10..80).contains(&y) { 40 } else { 230 }])
/// });
/// let digit = mnist_image::normalise(&stroke)?;
/// assert_eq!(digit[14 * mnist_image::SIDE + 14], 255);
/// # Ok::<(), mnist_image::Error>(())
/// ```
pub fn normalise(grey: &GrayImage) -> Result<Digit> {
    Ok(find(grey)?.digit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Luma;

    /// An upright stroke 8 pixels wide and `high` high, around each place of a page of 200×120.
    fn strokes(places: &[(i32, i32, u32)]) -> GrayImage {
        let mut page = GrayImage::from_pixel(200, 120, Luma([220]));
        for &(x, y, high) in places {
            let bar = imageproc::rect::Rect::at(x - 4, y - high as i32 / 2).of_size(8, high);
            imageproc::drawing::draw_filled_rect_mut(&mut page, bar, Luma([40]));
        }
        page
    }

    #[test]
    fn the_digit_is_the_largest_near_the_middle_and_not_cut_off() {
        let alone = find(&strokes(&[(100, 60, 50)])).unwrap();
        assert_eq!(alone.others, 0);
        for others in [[(30, 60, 30), (170, 60, 30)], [(30, 60, 55), (170, 60, 50)]] {
            let found = find(&strokes(&[&others[..], &[(100, 60, 50)]].concat())).unwrap();
            assert_eq!((found.digit, found.others), (alone.digit, 2));
        }
        // What reaches over the edge is not a second digit beside a whole one.
        let beside = find(&strokes(&[(100, 60, 50), (198, 60, 110)])).unwrap();
        assert_eq!((beside.digit, beside.others), (alone.digit, 0));
    }

    #[test]
    fn a_small_digit_may_be_in_pieces() {
        let piece = |y: u32| [4..11, 14..20].iter().any(|rows| rows.contains(&y));
        let draw = |side: u32, x: u32, y: u32| {
            Luma([if (side / 2..side / 2 + 3).contains(&x) && piece(y) { 255 } else { 0 }])
        };
        let found = find(&GrayImage::from_fn(28, 28, |x, y| draw(28, x, y))).unwrap();
        assert_eq!(found.others, 0);
        let inked = |row: usize| found.digit[row * 28..][..28].iter().any(|&ink| ink > 100);
        assert!(inked(5) && inked(21) && !inked(14), "{:?}", found.digit);
        // On a large page, pieces as short are specks.
        assert!(find(&GrayImage::from_fn(300, 300, |x, y| draw(300, x, y))).is_err());
    }

    #[test]
    fn an_image_with_nothing_on_it_has_no_digit() {
        assert!(matches!(find(&GrayImage::new(0, 0)), Err(Error::NoPixels)));
        assert!(matches!(find(&strokes(&[])), Err(Error::Blank)));
    }

    /// A drawing of 200×200 with a pen 9 pixels wide.
    fn drawing(strokes: &[&[(f32, f32)]]) -> GrayImage {
        let near = |x: f32, y: f32, a: (f32, f32), b: (f32, f32)| {
            let (dx, dy) = (b.0 - a.0, b.1 - a.1);
            let along = ((x - a.0) * dx + (y - a.1) * dy) / (dx * dx + dy * dy);
            let along = along.clamp(0., 1.);
            (x - a.0 - along * dx).hypot(y - a.1 - along * dy) < 4.5
        };
        GrayImage::from_fn(200, 200, |x, y| {
            let mut segments = strokes.iter().flat_map(|stroke| stroke.windows(2));
            let inked = segments.any(|ends| near(x as f32, y as f32, ends[0], ends[1]));
            Luma([if inked { 50 } else { 225 }])
        })
    }

    const BODY_OF_5: &[(f32, f32)] =
        &[(80., 60.), (78., 95.), (110., 90.), (125., 115.), (110., 145.), (75., 145.)];
    const FRAME: &[(f32, f32)] = &[(20., 18.), (182., 20.), (180., 181.), (19., 180.), (20., 18.)];

    #[test]
    fn strokes_of_one_digit_that_do_not_touch_are_one_digit() {
        for (name, strokes) in [
            ("5 without its top", &[BODY_OF_5, &[(90., 45.), (130., 45.)]][..]),
            (
                "4 whose stem stands apart",
                &[&[(80., 50.), (70., 105.), (104., 105.)], &[(117., 70.), (115., 155.)]],
            ),
            (
                "4 whose stem does not reach its bar",
                &[&[(80., 50.), (70., 100.), (130., 100.)], &[(115., 112.), (112., 160.)]],
            ),
            (
                "7 with its bar broken off",
                &[&[(70., 50.), (130., 50.), (95., 150.)], &[(65., 105.), (92., 104.)]],
            ),
        ] {
            assert_eq!(find(&drawing(strokes)).unwrap().others, 0, "{name}");
        }
    }

    #[test]
    fn a_frame_drawn_round_a_digit_is_not_part_of_it() {
        for digit in [
            &[BODY_OF_5, &[(80., 60.), (130., 55.)]][..],
            &[&[(100., 55.), (100., 150.)]],
            &[&[(75., 55.), (125., 55.), (95., 150.)]],
        ] {
            let framed = find(&drawing(&[digit, &[FRAME]].concat())).unwrap();
            let alone = find(&drawing(digit)).unwrap();
            let differing = framed.digit.iter().zip(&alone.digit);
            let differing = differing.filter(|(a, b)| a.abs_diff(**b) > 40).count();
            assert!(framed.others == 0 && differing < 20, "{} {differing}", framed.others);
        }
    }
}

//! Drawn images of paper with and without a desk.

use image::Luma;

use super::*;

/// An image of 600×440 with a desk and, in these corners, paper with writing and a table on it.
fn image(corners: [(f32, f32); 4], desk: impl Fn(f32, f32) -> f32, dim: bool) -> GrayImage {
    GrayImage::from_fn(600, 440, |x, y| {
        let (x, y) = (x as f32, y as f32);
        let inside = |at: usize| {
            let (a, b) = (corners[at], corners[(at + 1) % 4]);
            (b.0 - a.0) * (y - a.1) - (b.1 - a.1) * (x - a.0)
        };
        let written = (220. ..380.).contains(&x)
            && (160. ..280.).contains(&y)
            && (x % 40. < 3. || y % 30. < 3.);
        let grey = match (0..4).all(|at| inside(at) > 0.) {
            true if written => 60.,
            true => 225.,
            false => desk(x, y),
        };
        let shadow = 1. - 0.4 / (1. + (-(x + y - 480.) / 12.).exp());
        Luma([(grey * if dim { shadow } else { 1. }) as u8])
    })
}

const UPRIGHT: [(f32, f32); 4] = [(90., 70.), (510., 70.), (510., 370.), (90., 370.)];
const TURNED: [(f32, f32); 4] = [(150., 50.), (540., 150.), (470., 400.), (80., 290.)];
const PERSPECTIVE: [(f32, f32); 4] = [(150., 80.), (450., 90.), (540., 380.), (60., 370.)];

fn dark(_: f32, _: f32) -> f32 {
    100.
}

/// Light wood: 3/4 as bright as the paper, in stripes.
fn wood(x: f32, y: f32) -> f32 {
    165. + 15. * ((y + 8. * (x / 90.).sin()) / 6.).sin()
}

/// How far the corners of what is found are from the margin within these, at most.
fn error(grey: &GrayImage, corners: [(f32, f32); 4]) -> Option<f32> {
    let (to_paper, (wide, high)) = find(grey)?;
    let margin = INSET * wide.min(high) as f32;
    let (right, bottom) = (wide as f32 + margin, high as f32 + margin);
    let expected = [(-margin, -margin), (right, -margin), (right, bottom), (-margin, bottom)];
    let away = corners.iter().zip(expected).map(|(&corner, (x, y))| {
        let found = to_paper * corner;
        (found.0 - x).hypot(found.1 - y)
    });
    away.reduce(f32::max)
}

#[test]
fn paper_on_a_desk_is_found_and_set_straight() {
    for (name, corners) in
        [("upright", UPRIGHT), ("turned", TURNED), ("in perspective", PERSPECTIVE)]
    {
        for dim in [false, true] {
            let errors = [
                error(&image(corners, dark, dim), corners),
                error(&image(corners, wood, dim), corners),
            ];
            for found in errors {
                assert!(found.is_some_and(|error| error < 12.), "{name} {dim}: {found:?}");
            }
        }
    }
}

#[test]
fn paper_may_reach_one_or_two_edges_of_the_image() {
    let one = [(-9., 70.), (510., 70.), (510., 370.), (-9., 370.)];
    let two = [(-9., -9.), (510., -9.), (510., 370.), (-9., 370.)];
    for (corners, seen) in [
        (one, [(0., 70.), (510., 70.), (510., 370.), (0., 370.)]),
        (two, [(0., 0.), (510., 0.), (510., 370.), (0., 370.)]),
    ] {
        let found = error(&image(corners, dark, false), seen);
        assert!(found.is_some_and(|error| error < 12.), "{found:?}");
    }
}

#[test]
fn without_a_desk_there_is_nothing_to_be_set_straight() {
    let all = [(-9., -9.), (609., -9.), (609., 449.), (-9., 449.)];
    let plain = image(all, dark, false);
    let drawn = |paint: &dyn Fn(f32, f32) -> f32| {
        GrayImage::from_fn(600, 440, |x, y| Luma([paint(x as f32, y as f32) as u8]))
    };
    let vignette = |x: f32, y: f32| 230. - 150. * ((x - 300.).hypot(y - 220.) / 372.).powi(2);
    let frame = |x: f32, y: f32| {
        let away = ((x - 300.).abs() / 250.).max((y - 220.).abs() / 170.);
        if (0.96..1.).contains(&away) { 40. } else { 225. }
    };
    let bar = |x: u32, y: u32| (12..16).contains(&x) && (4..24).contains(&y);
    let bar = GrayImage::from_fn(28, 28, |x, y| Luma([255 * u8::from(bar(x, y))]));
    let digit = imageops::resize(&bar, 280, 280, imageops::FilterType::Triangle);
    // Folded twice: each quarter as bright as it lies to the light, dark lines between.
    let folded = |x: f32, y: f32| match ((x - 310.).abs() < 2., (y - 225.).abs() < 2.) {
        (false, false) => {
            225. * (1. - 0.1 * f32::from(x > 310.)) * (1. - 0.06 * f32::from(y > 225.))
        }
        _ => 170.,
    };
    let letter = |x: f32, y: f32| match y as u32 {
        148..152 | 292..296 => 160.,
        150..294 => 225. + 0. * x,
        _ => 200.,
    };
    let away = |x: f32, y: f32| (x - 300.).abs().max((y - 200.).abs() * 1.3) - 150.;
    let shaded = move |x: f32, y: f32| if away(x, y) < 0. { 120. } else { 225. };
    let beside = |x: f32, y: f32| if x > 420. && y > 150. { 120. } else { 225. };
    let across = |x: f32, _: f32| if x > 420. { 120. } else { 225. };
    // The shadow of two things far away, with a broad edge.
    let soft = |at: f32| 1. / (1. + (-at / 14.).exp());
    let angle = |x: f32, y: f32| 225. * (0.55 + 0.45 * soft(x - 120.) * soft(y - 100.));
    let table = |x: f32, y: f32| {
        let inside = (20. ..580.).contains(&x) && (15. ..425.).contains(&y);
        if inside && ((x - 20.) % 93. < 5. || (y - 15.) % 58. < 5.) { 40. } else { 225. }
    };
    let bold = |x: f32, y: f32| {
        let away = (280. - (x - 300.).abs()).min(205. - (y - 220.).abs());
        if (0. ..14.).contains(&away) { 30. } else { 225. }
    };
    // Filled, but for the digits' cells.
    let form = |x: f32, y: f32| {
        let cell = (x % 120. > 20.) && (y % 110. > 20.);
        if cell { 225. } else { 150. }
    };
    for (name, grey) in [
        ("a page", plain),
        ("a page in shadow", image(all, dark, true)),
        ("dark corners", drawn(&vignette)),
        ("a frame", drawn(&frame)),
        ("a bold frame", drawn(&bold)),
        ("a table", drawn(&table)),
        ("a form of filled cells", drawn(&form)),
        ("folds across each other", drawn(&folded)),
        ("folds as in a letter", drawn(&letter)),
        ("a shadow in the middle", drawn(&shaded)),
        ("a shadow in a corner", drawn(&beside)),
        ("a shadow along a side", drawn(&across)),
        ("a soft shadow along two sides", drawn(&angle)),
        ("a light 1", digit),
        ("a small image", GrayImage::new(28, 28)),
    ] {
        assert!(find(&grey).is_none(), "{name}");
    }
}

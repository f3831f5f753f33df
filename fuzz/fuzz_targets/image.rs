//! Images of every format: to the one digit, and to the lines of digits.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use mnist_image::decode::{self, Budget};
use mnist_image::normalise;
use mnist_image::page;

/// Images of more pixels are only decoded, so that a run takes little time.
const MOST: u32 = 128 * 128;

fuzz_target!(|bytes: &[u8]| {
    let budget = Budget::default();
    let Ok(decoded) = decode::from_reader(Cursor::new(bytes), &budget) else { return };
    let image = decoded.image;
    if image.width() * image.height() > MOST {
        return;
    }
    let grey = decode::grey(&image);
    assert_eq!(decode::on_white(&image).dimensions(), grey.dimensions());
    if let Ok(digit) = normalise(&grey) {
        assert!(digit.iter().any(|&ink| ink > 0));
    }
    let (width, height) = grey.dimensions();
    for bounds in
        page::find(&grey).iter().flatten().flat_map(|lattice| &lattice.candidates).map(|p| p.bounds)
    {
        assert!(bounds.x + bounds.width <= width && bounds.y + bounds.height <= height);
    }
});

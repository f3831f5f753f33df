//! Image files of every format to pixels, and no further: thousands a second.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use mnist_image::Error;
use mnist_image::decode::{self, Budget};

fuzz_target!(|bytes: &[u8]| {
    match decode::from_reader(Cursor::new(bytes), &Budget::default()) {
        Ok(decoded) => {
            let pixels = u64::from(decoded.image.width()) * u64::from(decoded.image.height());
            assert!(pixels > 0 && pixels <= decode::MAX_PIXELS);
        }
        // That a panic becomes an error is for users; here it is to be found.
        Err(error) => assert!(!matches!(error, Error::Panicked(_)), "{error:?}"),
    }
});

//! The reader of IDX, raw and gzipped.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use tch_mnist::dataset::idx::{Content, parse};

fuzz_target!(|bytes: &[u8]| {
    for (content, header) in [(Content::Images, 16), (Content::Labels, 8)] {
        if let Ok(idx) = parse(Cursor::new(bytes), content, None) {
            let item = if content == Content::Images { 784 } else { 1 };
            assert_eq!(idx.bytes.len(), header + idx.count * item);
        }
    }
});

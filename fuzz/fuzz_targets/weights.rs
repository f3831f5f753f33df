//! Weights in both formats, told apart by the first byte: an archive begins with a P, for PKZIP.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use tch::Device;
use tch_mnist::weights::{Format, read};

fuzz_target!(|bytes: &[u8]| {
    let format = if bytes.starts_with(b"P") { Format::Ot } else { Format::Safetensors };
    if let Ok(model) = read(Cursor::new(bytes), format, Device::Cpu) {
        // They may be so large that there is no answer, but an answer is one.
        assert!(model.predict(&[[128; 784]]).map_or(true, |found| found[0].confidence > 0.));
    }
});

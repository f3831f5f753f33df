//! Weights in all formats.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tch::Device;
use tch_mnist::weights::read;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(model) = read(bytes.to_vec(), Device::Cpu) {
        // They may be so large that there is no answer, but an answer is one.
        assert!(model.predict(&[[128; 784]]).map_or(true, |found| found[0].confidence > 0.));
    }
});

//! Weights in all formats.
#![no_main]

use std::num::NonZero;

use libfuzzer_sys::fuzz_target;
use tch_mnist::network::{classifier::Classifier, plain::Plain};
use tch_mnist::weights::read;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(arrays) = read(bytes.to_vec()) {
        let model = Plain::new(arrays, NonZero::<usize>::MIN);
        // They may be so large that there is no answer, but an answer is one.
        assert!(model.predict(&[[128; 784]]).map_or(true, |found| found[0].confidence > 0.));
    }
});

//! The reader of a comparison's journal, and what is made of the runs in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tch_mnist::experiments::comparison::compare;
use tch_mnist::experiments::journal::parse;
use tch_mnist::output::{plot, text};

fuzz_target!(|bytes: &[u8]| {
    let Ok((runs, length)) = parse(bytes) else { return };
    assert!(length <= bytes.len());
    for run in &runs {
        assert!(!run.history.is_empty());
        let line = serde_json::to_vec(run).unwrap();
        assert_eq!(&parse(&line).unwrap().0[0], run);
    }
    if let Ok(comparison) = compare(&[runs]) {
        let _ = (text::comparison(&comparison), text::comparison_csv(&comparison));
        plot::to_pixels(&plot::comparison(&comparison)).unwrap();
    }
});

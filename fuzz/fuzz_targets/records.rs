//! Records of weights: beside a file, and sealed within one.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use serde_json::json;
use tch_mnist::network::arrays::Arrays;
use tch_mnist::weights;

/// Weights of one hidden unit in a folder of this process.
static WEIGHTS: LazyLock<(Arrays, PathBuf)> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("tch-mnist-fuzz-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let arrays = Arrays { hidden: 1, values: [784, 1, 10, 10].map(|count| vec![0.5; count]) };
    let path = folder.join("a.ot");
    weights::save(&arrays, &path).unwrap();
    (arrays, path)
});

fuzz_target!(|bytes: &[u8]| {
    let (arrays, path) = &*WEIGHTS;
    fs::write(path.with_extension("json"), bytes).unwrap();
    // One that is not the weights' is named or, with their name, an error.
    if let Ok(loaded) = weights::open(path) {
        assert_eq!(&loaded.arrays, arrays);
        assert!(loaded.record.is_none() || loaded.doubt.is_none());
    }

    let sealed = path.with_file_name("b.safetensors");
    let header = json!({"__metadata__": {"tch-mnist": String::from_utf8_lossy(bytes)}}).to_string();
    fs::write(&sealed, [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat()).unwrap();
    assert!(weights::open(&sealed).is_err(), "there are no values in it");
});

//! What a build without libtorch does, and what it says of the rest.

use crate::common::{Place, one};

#[test]
fn commands_that_train_say_that_there_is_no_libtorch_and_how_to_get_it() {
    let place = Place::new();
    for arguments in [
        &["train", "--epochs", "1", "--optimizer", "sgd", "--device", "cpu"][..],
        &["compare", "--optimizers", "adam,sgd:0.1", "--seeds", "2"],
        &["evaluate", "--json"],
        &["show", "--confusion"],
        &["predict", "--device", "cuda", "a.png"],
    ] {
        let (code, out, err) = place.run(arguments);
        assert_eq!((code, &out[..]), (1, ""), "{arguments:?}: {err}");
        assert_eq!(err.lines().count(), 1, "{arguments:?}: {err}");
        assert!(err.contains("this build does not include libtorch"), "{arguments:?}: {err}");
        assert!(err.contains("make libtorch"), "{arguments:?}: {err}");
    }
    // Options are those of the full program: wrong ones are wrong usage, and help lists them.
    assert_eq!(place.run(&["train", "--optimizer", "none"]).0, 2);
    assert!(place.run(&["train", "--help"]).1.contains("--validation-split"));
    assert!(place.run(&["--help"]).1.contains("evaluate"));
}

#[test]
fn every_other_command_works() {
    let place = Place::new();
    one(60, 90).save(place.path("1.png")).unwrap();
    let run = |arguments: &[&str]| {
        let (code, out, err) = place.run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {out}{err}");
        out
    };
    assert!(run(&["predict", "1.png"]).starts_with("1.png: 1 ("));
    assert_eq!(run(&["read", "--threads", "1", "--device", "cpu", "1.png"]), "1\n");
    assert!(run(&["summary"]).contains("dense_1"));
    run(&["show", "--weights-map", "--output", "map.png"]);
    tch_mnist::weights::save(&tch_mnist::weights::released().unwrap(), &place.path("a.ot"))
        .unwrap();
    for (from, to) in [("ot", "h5"), ("h5", "keras"), ("keras", "safetensors"), ("ot", "onnx")] {
        run(&["convert", &format!("a.{from}"), &format!("a.{to}")]);
    }
    assert!(run(&["predict", "--weights", "a.safetensors", "1.png"]).starts_with("1.png: 1 ("));
    let doctor: serde_json::Value = serde_json::from_str(&run(&["doctor", "--json"])).unwrap();
    assert_eq!((&doctor["libtorch"], &doctor["device"]), (&"none".into(), &"cpu".into()));
    assert!(doctor["weights"]["hidden"].as_u64().unwrap() > 0);
}

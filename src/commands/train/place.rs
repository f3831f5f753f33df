//! Where weights go that may be worse than those that lie there.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::CLASSES;
use crate::dataset::Samples;
use crate::network::model::Model;
use crate::training::evaluation::wrong;
use crate::weights;

/// The accuracy in their own record beyond which weights are good whatever they are tested on now:
/// three times that of guessing.
const CLEARLY_GOOD: f64 = 0.3;
/// Standard errors beyond which a difference is no longer taken for noise: 95% of it is within.
const BEYOND_NOISE: f64 = 1.96;
/// The same for an accuracy at chance level, where next to nothing is to be taken for learning.
const BEYOND_CHANCE: f64 = 3.;

/// Why what lies at `output` is to be kept, if it is: it is none of our files, or those weights are
/// good, by `test` or by their record, and `model` was interrupted, is at chance level, or is worse
/// on `test` by more than noise, or `test` cannot tell.
///
/// ONNX, which is written and not read, is not kept.
///
/// # Errors
///
/// If a network cannot be applied to `test`.
pub fn why_kept(
    model: &Model,
    interrupted: bool,
    output: &Path,
    test: &Samples,
) -> Result<Option<String>> {
    let is_empty = |path: &Path| fs::metadata(path).map_or(true, |file| file.len() == 0);
    if output.extension().is_some_and(|extension| extension == "onnx") || is_empty(output) {
        return Ok(None);
    }
    let opened = weights::open(output).and_then(|old| {
        let recorded = old.record.as_ref().and_then(|record| record["test"]["accuracy"].as_f64());
        Ok((weights::model(&old, model.device())?, recorded))
    });
    let (old, recorded) = match opened {
        Ok(opened) => opened,
        Err(error) => return Ok(Some(format!("it cannot be loaded: {}", error.root_cause()))),
    };
    let (new, old) = (wrong(model, test)?, wrong(&old, test)?);
    let (right_new, right_old) = (share_right(&new), share_right(&old));
    let chance = beyond_chance(test)?;
    let tells = chance < 1.;
    let is_good =
        (tells && right_old > chance) || recorded.map_or(!tells, |right| right > CLEARLY_GOOD);
    Ok(match is_good {
        false => None,
        _ if interrupted => Some("training was interrupted".into()),
        _ if !tells => Some(format!("a test set of {} images cannot tell", test.count())),
        _ if right_new <= chance => Some(format!("{:.2}% is chance level", 100. * right_new)),
        _ if is_worse(&new, &old) => Some(format!(
            "{:.2}% of the test set right, those {:.2}%",
            100. * right_new,
            100. * right_old
        )),
        _ => None,
    })
}

/// The first of `mnist-2.safetensors`, `mnist-3.safetensors` and so on beside `output` that is
/// free, as is the place of its record.
pub fn beside(output: &Path) -> PathBuf {
    let part = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_os_string();
    let (stem, extension) = (part(output.file_stem()), part(output.extension()));
    let named = |number: u32| {
        let mut name = stem.clone();
        name.push(format!("-{number}."));
        name.push(&extension);
        output.with_file_name(name)
    };
    let is_free = |path: &PathBuf| !path.exists() && !path.with_extension("json").exists();
    (2..).map(named).find(is_free).expect("a folder has fewer files than there are numbers")
}

fn share_right(wrong: &[bool]) -> f64 {
    1. - wrong.iter().filter(|wrong| **wrong).count() as f64 / wrong.len() as f64
}

/// The accuracy up to which a network may have learned nothing: that of the most frequent digit,
/// and noise.
fn beyond_chance(test: &Samples) -> Result<f64> {
    let labels = Vec::<i64>::try_from(&test.labels)?;
    let count = |digit| labels.iter().filter(|label| **label == digit).count();
    let most = (0..CLASSES as i64).map(count).max().unwrap_or(0) as f64 / labels.len() as f64;
    Ok(most + BEYOND_CHANCE * (most * (1. - most) / labels.len() as f64).sqrt())
}

/// Whether `new` gets more samples wrong than `old`, by McNemar's test (1947): only those count
/// that one of them gets right.
fn is_worse(new: &[bool], old: &[bool]) -> bool {
    let only = |a: &[bool], b: &[bool]| a.iter().zip(b).filter(|(a, b)| **a && !**b).count() as f64;
    let (lost, won) = (only(new, old), only(old, new));
    lost - won > BEYOND_NOISE * (lost + won).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_more_mistakes_are_noise() {
        let wrong = |count| (0..100).map(|index| index < count).collect::<Vec<_>>();
        assert!(!is_worse(&wrong(2), &wrong(2)) && !is_worse(&wrong(0), &wrong(50)));
        assert!(!is_worse(&wrong(5), &wrong(2)) && is_worse(&wrong(8), &wrong(2)));
        // As many more, but among many that only one of them gets right.
        let other: Vec<_> = (0..100).map(|index| index >= 56).collect();
        assert!(!is_worse(&wrong(50), &other));
    }

    #[test]
    fn the_next_free_name_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert_eq!(beside(&at("a.b.ot")), at("a.b-2.ot"));
        std::fs::write(at("a.b-2.ot"), "").unwrap();
        std::fs::write(at("a.b-3.json"), "").unwrap();
        assert_eq!(beside(&at("a.b.ot")), at("a.b-4.ot"));
    }
}

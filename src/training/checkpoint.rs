//! Where a training is after an epoch, and how that becomes a file.

use std::collections::BTreeMap;

use ::safetensors::tensor::TensorView;
use ::safetensors::{Dtype, SafeTensors, serialize};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Epoch;
use super::steps::{Steps, set, values};
use crate::files::sha256_hex;
use crate::network::arrays::{Arrays, NAMES};
use crate::network::model::Model;
use crate::weights::{seal_of, sealed};

/// All that a training needs to go on as if it had never stopped. Random numbers are not among it:
/// each epoch has streams of its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// The epochs that are done.
    pub epochs: Vec<Epoch>,
    /// Numbers by name: `weights.…`, `optimizer.…` and, if a best epoch is kept, `best.…`.
    arrays: BTreeMap<String, Vec<f32>>,
}

impl State {
    /// After `epochs` of training `trained` by `steps`; `best` are the weights to be kept so far.
    pub(super) fn of(
        epochs: &[Epoch],
        trained: &Model,
        steps: &Steps,
        best: Option<&Arrays>,
    ) -> Result<State> {
        let mut arrays = BTreeMap::new();
        for (name, variable) in trained.variables() {
            arrays.insert(format!("weights.{name}"), values(&variable)?);
        }
        for (name, values) in steps.state()? {
            arrays.insert(format!("optimizer.{name}"), values);
        }
        for (name, _, values) in best.iter().flat_map(|best| best.named()) {
            arrays.insert(format!("best.{name}"), values.to_vec());
        }
        Ok(State { epochs: epochs.to_vec(), arrays })
    }

    /// Puts `trained` and `steps`, of which there are `per_epoch` in an epoch, where they were, and
    /// returns the weights that were the best.
    pub(super) fn restore(
        mut self,
        trained: &Model,
        steps: &mut Steps,
        per_epoch: usize,
    ) -> Result<Option<Arrays>> {
        for (name, mut variable) in trained.variables() {
            let values = self.arrays.remove(&format!("weights.{name}")).unwrap_or_default();
            set(&mut variable, &values).with_context(|| name)?;
        }
        let mut take = |name: &str| self.arrays.remove(&format!("optimizer.{name}"));
        steps.restore(per_epoch * self.epochs.len(), &mut take)?;
        if self.arrays.is_empty() {
            return Ok(None);
        }
        let values = NAMES.map(|name| self.arrays.remove(&format!("best.{name}")));
        let best = Arrays {
            hidden: trained.hidden() as usize,
            values: values.map(Option::unwrap_or_default),
        };
        for (name, shape, values) in best.named() {
            let count: usize = shape.iter().product();
            ensure!(values.len() == count, "{name} has {} numbers, not {count}", values.len());
        }
        Ok(Some(best))
    }

    /// A file of it, which says `of` what training it is.
    ///
    /// # Errors
    ///
    /// If it is too large for one.
    pub fn to_bytes(&self, of: &Value) -> Result<Vec<u8>> {
        let mut record = json!({"training": of, "epochs": self.epochs});
        record["sha256"] = sha256_hex(&serde_json::to_vec(&record)?).into();
        let bytes =
            |values: &Vec<f32>| values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let data: Vec<(&String, usize, Vec<u8>)> =
            self.arrays.iter().map(|(name, values)| (name, values.len(), bytes(values))).collect();
        let views = data.iter().map(|(name, count, bytes)| {
            Ok((name.as_str(), TensorView::new(Dtype::F32, vec![*count], bytes)?))
        });
        sealed(&serialize(views.collect::<Result<Vec<_>>>()?, None)?, Some(&record))
    }

    /// What a file holds, and of what training it is.
    ///
    /// # Errors
    ///
    /// If it is damaged, or not such a file.
    pub fn from_bytes(bytes: &[u8]) -> Result<(State, Value)> {
        let record = seal_of(bytes)?.and_then(|seal| seal.record);
        let mut record = record.context("it is not a checkpoint of this program")?;
        let sha256 = record.as_object_mut().and_then(|record| record.remove("sha256"));
        ensure!(
            sha256 == Some(sha256_hex(&serde_json::to_vec(&record)?).into()),
            "it is damaged: the SHA-256 of its record is another one"
        );
        let epochs = serde_json::from_value(record["epochs"].take())?;
        let mut arrays = BTreeMap::new();
        for (name, tensor) in SafeTensors::deserialize(bytes)?.tensors() {
            ensure!(tensor.dtype() == Dtype::F32, "{name} is not float32");
            let values = tensor.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
            arrays.insert(name, values.collect());
        }
        Ok((State { epochs, arrays }, record["training"].take()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_the_same_after_the_way_through_a_file_and_a_damaged_one_is_refused() {
        let arrays =
            BTreeMap::from([("weights.a".to_string(), vec![1.5, -0.]), ("b".into(), vec![])]);
        let state = State { epochs: Vec::new(), arrays };
        let bytes = state.to_bytes(&json!({"seed": 1})).unwrap();
        assert_eq!(State::from_bytes(&bytes).unwrap(), (state, json!({"seed": 1})));
        let mut damaged = bytes.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert!(State::from_bytes(&damaged).is_err());
        let at = bytes.windows(4).position(|text| text == b"seed").unwrap();
        damaged.clone_from(&bytes);
        damaged[at] = b'f';
        let error = State::from_bytes(&damaged).unwrap_err().to_string();
        assert!(error.contains("SHA-256 of its record"), "{error}");
        assert!(State::from_bytes(&bytes[..40]).is_err() && State::from_bytes(b"{}").is_err());
    }
}

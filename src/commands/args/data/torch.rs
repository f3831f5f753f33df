//! Data sets as tensors.

use std::path::Path;

use anyhow::{Result, ensure};

use super::{DataArgs, Source};
use crate::dataset::{self, BUILT_IN, Data, folders, layout};

impl DataArgs {
    /// Loads the data sets, several as one.
    pub fn load(&self) -> Result<Data> {
        let built_in = [Source { folder: None, weight: 1. }];
        let sources = if self.data.is_empty() { &built_in[..] } else { &self.data };
        let set = |source: &Source| {
            let folder = source.folder.as_deref();
            Ok((name(folder), source.weight, self.one(folder)?))
        };
        let data = dataset::mix(sources.iter().map(set).collect::<Result<_>>()?);
        ensure!(data.test.count() > 0, "there are no images to test on; raise --test-split");
        Ok(data)
    }

    fn one(&self, folder: Option<&Path>) -> Result<Data> {
        match folder {
            Some(dir) if !layout::is_layout(dir) && folders::is_of_images(dir) => {
                Ok((&self.images(dir)?).into())
            }
            _ => dataset::load(folder),
        }
    }

    /// What records call `data`, which was loaded here.
    pub fn name(&self, data: &Data) -> String {
        match data.parts[..] {
            [] => name(self.data.first().and_then(|source| source.folder.as_deref())),
            _ => dataset::name(&data.parts),
        }
    }
}

/// What records call a data set.
fn name(folder: Option<&Path>) -> String {
    folder.map_or(BUILT_IN.into(), |folder| folder.to_string_lossy().into_owned())
}

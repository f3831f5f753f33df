//! Data sets as tensors.

use std::path::Path;

use anyhow::{Result, ensure};

use super::{DataArgs, Source, note_emnist};
use crate::dataset::{self, BUILT_IN, Data, folders, layout};
use crate::training::config::MAX_WEIGHT;

impl DataArgs {
    /// Loads the data sets, several as one.
    pub fn load(&self) -> Result<Data> {
        let built_in = [Source { folder: None, weight: None }];
        let sources = if self.data.is_empty() { &built_in[..] } else { &self.data };
        self.mixed(sources, |_, _| 1.)
    }

    /// Loads the data sets, those without a weight shown as often as makes `shown` images in an
    /// epoch, once at least, and the share `mnist` of MNIST, unless it has another weight.
    pub fn load_to_adapt(&self, shown: f64, mnist: f64) -> Result<Data> {
        let mut sources = self.data.clone();
        if sources.iter().all(|source| source.folder.is_some()) {
            sources.push(Source { folder: None, weight: None });
        }
        self.mixed(&sources, |source, data| match source.folder {
            None => mnist,
            Some(_) => (shown / data.train.count().max(1) as f64).clamp(1., MAX_WEIGHT),
        })
    }

    /// Loads data sets; those without a weight get that of `usual`.
    fn mixed(&self, sources: &[Source], usual: impl Fn(&Source, &Data) -> f64) -> Result<Data> {
        let set = |source: &Source| {
            let folder = source.folder.as_deref();
            let data = self.one(folder)?;
            Ok((name(folder), source.weight.unwrap_or_else(|| usual(source, &data)), data))
        };
        let data = dataset::mix(sources.iter().map(set).collect::<Result<_>>()?);
        ensure!(data.test.count() > 0, "there are no images to test on; raise --test-split");
        Ok(data)
    }

    fn one(&self, folder: Option<&Path>) -> Result<Data> {
        match folder {
            Some(dir) if !layout::is_layout(dir) && folders::is_of_images(dir) => {
                Ok((&self.images.read(dir)?).into())
            }
            _ => {
                folder.iter().for_each(|dir| note_emnist(dir));
                dataset::load(folder)
            }
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

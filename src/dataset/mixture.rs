//! Several data sets as one.

use super::Part;
use super::samples::{Data, Samples};

/// One data set of `sets`, each with its name and weight, see [`Part::weight`]: their samples one
/// after the other. A single set of weight 1 stays as it is.
pub fn mix(mut sets: Vec<(String, f64, Data)>) -> Data {
    if let [(_, 1., _)] = sets[..]
        && let Some((_, _, data)) = sets.pop()
    {
        return data;
    }
    let part = |(name, weight, data): &mut (String, f64, Data)| Part {
        data: std::mem::take(name),
        data_sha256: data.sha256.take(),
        weight: *weight,
        train: data.train.count(),
        test: data.test.count(),
    };
    let parts = sets.iter_mut().map(part).collect();
    let all = |of: fn(&Data) -> &Samples| {
        Samples::cat(&sets.iter().map(|set| of(&set.2)).collect::<Vec<_>>())
    };
    Data { train: all(|data| &data.train), test: all(|data| &data.test), sha256: None, parts }
}

impl Data {
    /// The test sets of the parts that it is mixed of, each with the part's name.
    pub fn tests(&self) -> Vec<(&str, Samples)> {
        let mut start = 0;
        let test = |part: &'_ Part| {
            let samples = self.test.narrow(start, part.test);
            start += part.test;
            samples
        };
        let tests: Vec<_> = self.parts.iter().map(test).collect();
        let names = self.parts.iter().map(|part| part.data.as_str());
        names.zip(tests).filter(|(_, samples)| samples.count() > 0).collect()
    }
}

/// What records call a mixture: the names of its parts.
pub fn name(parts: &[Part]) -> String {
    parts.iter().map(|part| part.data.as_str()).collect::<Vec<_>>().join(" + ")
}

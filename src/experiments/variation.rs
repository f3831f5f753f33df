//! What a comparison varies beside the optimizer and the seed.

use crate::experiments::run::Configuration;
use crate::training::{Config, Setting};

/// A setting's name as an option, its key in records, and its value in words.
type Shown = (&'static str, &'static str, fn(&Configuration) -> String);

/// The settings that names tell apart; the rate is part of an optimizer's name.
const SHOWN: [Shown; 4] = [
    ("hidden", "hidden", |of| of.hidden.to_string()),
    ("batch-size", "batch_size", |of| of.config.batch_size.to_string()),
    ("dropout", "dropout", |of| of.config.dropout.to_string()),
    ("schedule", "schedule", |of| format!("{:?}", of.config.schedule).to_lowercase()),
];

/// Which settings differ among the runs of a comparison.
#[derive(Clone, Debug, Default)]
pub struct Varied(Vec<&'static Shown>);

impl Varied {
    /// Those that differ among `configurations`.
    pub fn among<'a>(configurations: impl Iterator<Item = &'a Configuration> + Clone) -> Varied {
        let differs = |shown: &&Shown| {
            let mut values = configurations.clone().map(shown.2);
            let first = values.next();
            values.any(|value| Some(value) != first)
        };
        Varied(SHOWN.iter().filter(differs).collect())
    }

    /// The keys that they have in records.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|shown| shown.1)
    }

    /// What tells a run from others, but for its seed: `adam:0.0003 hidden=128`.
    pub fn name(&self, of: &Configuration) -> String {
        let Config { optimizer, learning_rate, .. } = of.config;
        let mut name = optimizer.name_at(learning_rate);
        for (option, _, value) in &self.0 {
            name += &format!(" {option}={}", value(of));
        }
        name
    }
}

/// Every combination of a configuration in `of` with a setting of each list in `grid`.
pub fn combinations(of: Vec<Configuration>, grid: &[Vec<Setting>]) -> Vec<Configuration> {
    grid.iter().fold(of, |all, settings| {
        let each = all.iter().flat_map(|of| settings.iter().map(move |setting| with(*setting, of)));
        each.collect()
    })
}

/// The configuration with this setting.
fn with(setting: Setting, of: &Configuration) -> Configuration {
    let mut of = of.clone();
    match setting {
        Setting::Hidden(hidden) => of.hidden = hidden,
        Setting::BatchSize(size) => of.config.batch_size = size,
        Setting::LearningRate(rate) => of.config.learning_rate = rate,
        Setting::Dropout(share) => of.config.dropout = share,
        Setting::Schedule(schedule) => of.config.schedule = schedule,
    }
    of
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiments::run::tests::run;
    use crate::training::optimizer::Optimizer;

    #[test]
    fn every_combination_has_a_name_of_its_own() {
        let base = [Optimizer::Adam, Optimizer::Sgd].map(|of| run(of, 0).configuration);
        let grid = [
            vec![Setting::Hidden(16), Setting::Hidden(32)],
            vec![Setting::Dropout(0.), Setting::Dropout(0.5)],
        ];
        let all = combinations(base.to_vec(), &grid);
        let varied = Varied::among(all.iter());
        let names: Vec<_> = all.iter().map(|of| varied.name(of)).collect();
        assert_eq!(names.len(), 8);
        assert_eq!(names[1], "adam hidden=16 dropout=0.5");
        assert_eq!(names[7], "sgd:0.001 hidden=32 dropout=0.5");
        assert_eq!(varied.keys().collect::<Vec<_>>(), ["hidden", "dropout"]);
        assert_eq!(Varied::among(base.iter()).name(&base[0]), "adam");
    }
}

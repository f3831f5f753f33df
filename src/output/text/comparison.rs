//! A comparison of optimizers as a table, with what can be concluded from it, and as CSV.

use std::fmt::Write;

use comfy_table::CellAlignment;

use super::{escape, table};
use crate::experiments::comparison::{Comparison, Contender, Pair, SIGNIFICANCE};
use crate::experiments::statistics::Spread;

/// The table of optimizers, and what the differences in it are worth.
pub fn comparison(comparison: &Comparison) -> String {
    let runs = comparison.seeds.len();
    let mut rows = vec![[
        "optimizer".to_string(),
        "test accuracy".into(),
        "test loss".into(),
        "best epoch".into(),
        "s/epoch".into(),
        "97% after".into(),
        "98% after".into(),
    ]];
    for contender in &comparison.contenders {
        let goal = |at: usize| match contender.goals[at].epoch {
            None => "never".to_string(),
            Some(epoch) if epoch.runs < runs => {
                format!("{:.1} ({} of {runs})", epoch.mean, epoch.runs)
            }
            Some(epoch) => format!("{:.1}", epoch.mean),
        };
        rows.push([
            contender.name.clone() + if contender.best { " *" } else { "" },
            spread(contender.test_accuracy, 4),
            spread(contender.test_loss, 4),
            contender.best_epoch.map_or("-".into(), |epoch| spread(epoch, 1)),
            spread(contender.seconds_per_epoch, 2),
            goal(0),
            goal(1),
        ]);
    }
    let mut text = table(&[CellAlignment::Left, CellAlignment::Right], rows);
    let of = if comparison.validated { "validation" } else { "training" };
    let plural = if runs == 1 { "" } else { "s" };
    let _ = writeln!(
        text,
        "\nMean ± standard deviation over {runs} seed{plural}. Best epoch: the one with the least \
         validation loss.\n97% and 98%: epochs until the {of} accuracy is that high."
    );
    text += &verdict(comparison);
    if comparison.processors.len() > 1 {
        let runs = |(name, runs): (&String, &usize)| format!("{runs} on {}", escape(name));
        let list: Vec<_> = comparison.processors.iter().map(runs).collect();
        let _ = writeln!(
            text,
            "Runs were done on several types of processor, which may round differently: {}.",
            list.join(", ")
        );
    }
    text
}

/// What can be said of which is best.
fn verdict(comparison: &Comparison) -> String {
    let test = "paired t-test over seeds, two-sided, Holm-corrected";
    if comparison.pairs.is_empty() {
        return String::new();
    }
    if comparison.seeds.len() < 2 {
        return "One seed cannot show which is best; compare several seeds.\n".into();
    }
    if let Some(best) = comparison.contenders.iter().find(|contender| contender.best) {
        let name = &best.name;
        let own = comparison.pairs.iter().filter(|pair| pair.names.contains(name));
        let p = own.filter_map(|pair| pair.p).fold(0., f64::max);
        return format!(
            "* {name} is best: its test accuracy is higher than every other's\n({test}: {}).\n",
            probability(p)
        );
    }
    // The highest mean, and the next of those that may be as good.
    let mean = |name: &str| {
        let of = |contender: &&Contender| contender.name == name;
        comparison.contenders.iter().find(of).map_or(0., |c| c.test_accuracy.mean)
    };
    let top = |pair: &&Pair| {
        comparison.contenders.iter().all(|c| c.test_accuracy.mean <= mean(&pair.names[0]))
    };
    let open = |pair: &&Pair| pair.p.is_none_or(|p| p >= SIGNIFICANCE);
    let pairs = comparison.pairs.iter().filter(top).filter(open);
    let Some(pair) = pairs.min_by(|a, b| a.difference.total_cmp(&b.difference)) else {
        return String::new();
    };
    let [a, b] = &pair.names;
    let why = match pair.p {
        Some(p) => format!("{test}: {}, not below {SIGNIFICANCE}", probability(p)),
        None => "it is the same with every seed, so there is nothing to test".into(),
    };
    format!(
        "None is marked as best: {a}'s lead of {:.4} over {b} may be due to chance\n({why}).\n",
        pair.difference
    )
}

/// The table of optimizers for programs, a line each.
pub fn comparison_csv(comparison: &Comparison) -> String {
    let mut text = String::from(
        "optimizer,learning_rate,seeds,best,test_accuracy,test_accuracy_sd,test_loss,test_loss_sd,\
         best_epoch,seconds_per_epoch,epochs_to_0.97,reached_0.97,epochs_to_0.98,reached_0.98\n",
    );
    let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    for contender in &comparison.contenders {
        let mut cells = vec![
            contender.name.clone(),
            contender.learning_rate.to_string(),
            comparison.seeds.len().to_string(),
            contender.best.to_string(),
        ];
        for spread in [contender.test_accuracy, contender.test_loss] {
            cells.extend([spread.mean.to_string(), number(spread.deviation)]);
        }
        cells.push(number(contender.best_epoch.map(|epoch| epoch.mean)));
        cells.push(contender.seconds_per_epoch.mean.to_string());
        for goal in &contender.goals {
            let reached = goal.epoch.map_or(0, |epoch| epoch.runs);
            cells.extend([number(goal.epoch.map(|epoch| epoch.mean)), reached.to_string()]);
        }
        text += &(cells.join(",") + "\n");
    }
    text
}

fn spread(spread: Spread, decimals: usize) -> String {
    let mean = format!("{:.decimals$}", spread.mean);
    match spread.deviation {
        Some(deviation) => format!("{mean} ± {deviation:.decimals$}"),
        None => mean,
    }
}

fn probability(p: f64) -> String {
    if p < 0.0001 { "p < 0.0001".into() } else { format!("p = {p:.4}") }
}

//! What is shown of training while it lasts.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::ProgressBar;

use super::console::{bar, is_quiet, note, print};
use crate::output::text;
use crate::training::{Epoch, Event, Progress};

/// Time between two updates of the bar: reading its figures waits for the device.
const REDRAW: Duration = Duration::from_millis(100);
/// Columns of a terminal that a bar with all figures beside it needs.
const WIDE: usize = 86;

/// A line per epoch, and while it lasts, on a terminal, a bar.
pub struct Display {
    epochs: usize,
    to_stderr: bool,
    bar: ProgressBar,
    drawn: Instant,
    left: Left,
    pace: Pace,
}

impl Display {
    /// For a run of this many epochs; lines go to standard error if `to_stderr`.
    pub fn new(epochs: usize, to_stderr: bool) -> Display {
        let bar = bar(match columns(true).unwrap_or(WIDE) < WIDE {
            false => "{prefix} {pos:>5}/{len} [{wide_bar}] {msg}",
            true => "{prefix} {pos:>5}/{len} {wide_msg}",
        });
        let now = Instant::now();
        let left = Left { since: now, steps: 0 };
        Display { epochs, to_stderr, bar, drawn: now, left, pace: Pace::new(now) }
    }

    /// Shows what has happened.
    pub fn show(&mut self, event: Event<'_>) -> Result<()> {
        match event {
            Event::Step(progress) => {
                if let Some(times) = self.pace.step(Instant::now()) {
                    self.bar.suspend(|| {
                        note(&format!(
                            "warning: steps take {times:.0} times as long as before: are other \
                             programs busy? End them, or train with fewer --threads than cores"
                        ));
                    });
                }
                self.left.steps += 1;
                if !self.bar.is_hidden() {
                    self.step(progress);
                }
                Ok(())
            }
            Event::Epoch(epoch) => {
                self.clear();
                self.line(&epoch_line(epoch, self.epochs, columns(self.to_stderr)))
            }
        }
    }

    fn step(&mut self, progress: &Progress) {
        if progress.step == 1 {
            self.bar.set_length(progress.steps as u64);
            self.bar.reset();
            self.bar.set_message("");
            self.bar.set_prefix(format!("Epoch {}/{}", progress.epoch, self.epochs));
        }
        if self.drawn.elapsed() < REDRAW {
            return;
        }
        self.drawn = Instant::now();
        if let Ok((loss, accuracy)) = progress.metrics() {
            let milliseconds = 1e3 * self.bar.elapsed().as_secs_f64() / progress.step as f64;
            self.bar.set_position(progress.step as u64);
            let to_do = (self.epochs - progress.epoch + 1) * progress.steps - progress.step;
            self.bar.set_message(format!(
                "{milliseconds:.1} ms/step, {} left - {}",
                self.left.of(to_do, Instant::now()),
                text::figures(loss, accuracy)
            ));
        }
    }

    /// Removes the bar.
    pub fn clear(&self) {
        if !self.bar.is_hidden() {
            self.bar.finish_and_clear();
        }
    }

    /// Writes a line beside the bar.
    pub fn line(&self, text: &str) -> Result<()> {
        line(self.to_stderr, text)
    }

    /// Says where a file was written.
    pub fn saved(&self, path: &Path) -> Result<()> {
        saved(self.to_stderr, path)
    }
}

/// An epoch in Keras's words; where a terminal of `columns` columns would wrap them, in fewer, and
/// if need be on several lines.
fn epoch_line(epoch: &Epoch, epochs: usize, columns: Option<usize>) -> String {
    let start = format!("Epoch {}/{epochs} - {:.2}s", epoch.epoch, epoch.seconds);
    let line = format!("{start} - {}", text::epoch(epoch));
    let Some(columns) = columns.filter(|columns| line.len() > *columns) else { return line };
    let pair = |name, trained: f64, validated: Option<f64>| {
        let validated = validated.map_or(String::new(), |figure| format!(", val {figure:.4}"));
        format!("{name}: {trained:.4}{validated}")
    };
    let loss = pair("loss", epoch.loss, epoch.validation_loss);
    let accuracy = pair("accuracy", epoch.accuracy, epoch.validation_accuracy);
    let mut short = start;
    for part in [loss, accuracy] {
        let room = short.lines().last().map_or(0, str::len) + 3 + part.len() <= columns;
        short += if room { " - " } else { "\n  " };
        short += &part;
    }
    short
}

/// The width, in columns, of the terminal on standard error or standard output; `None` if it is not
/// one.
fn columns(of_stderr: bool) -> Option<usize> {
    let size = match of_stderr {
        true => terminal_size::terminal_size_of(io::stderr()),
        false => terminal_size::terminal_size_of(io::stdout()),
    };
    size.map(|(width, _)| width.0.into())
}

/// How long training will go on, all epochs together, validation included.
struct Left {
    since: Instant,
    /// Steps since then.
    steps: usize,
}

impl Left {
    /// The time for `to_do` steps, if they take as long as those before: `1m 40s`.
    fn of(&self, to_do: usize, now: Instant) -> String {
        let each = (now - self.since).as_secs_f64() / self.steps.max(1) as f64;
        let seconds = (each * to_do as f64).ceil() as u64;
        match seconds {
            ..60 => format!("{seconds}s"),
            60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
            _ => format!("{}h {}m", seconds / 3600, seconds % 3600 / 60),
        }
    }
}

/// Notices when steps become many times slower than they were.
struct Pace {
    since: Instant,
    steps: u32,
    /// Seconds per step when that was least.
    best: f64,
    slow_windows: u32,
}

impl Pace {
    /// Time over which the seconds per step are averaged.
    const WINDOW: Duration = Duration::from_secs(1);
    /// Many times slower: sharing a core with one other program is twice.
    const SLOW: f64 = 5.;
    /// Slow windows in a row before it is reported: a program that was stopped for a while has
    /// fewer.
    const IN_TURN: u32 = 3;

    fn new(now: Instant) -> Pace {
        Pace { since: now, steps: 0, best: f64::INFINITY, slow_windows: 0 }
    }

    /// Counts a step; returns how many times slower steps are when that is first noticed.
    fn step(&mut self, now: Instant) -> Option<f64> {
        self.steps += 1;
        let elapsed = now - self.since;
        if elapsed < Pace::WINDOW {
            return None;
        }
        let pace = elapsed.as_secs_f64() / f64::from(self.steps);
        (self.since, self.steps) = (now, 0);
        self.best = self.best.min(pace);
        let times = pace / self.best;
        if self.slow_windows < Pace::IN_TURN {
            self.slow_windows = if times > Pace::SLOW { self.slow_windows + 1 } else { 0 };
            return (self.slow_windows == Pace::IN_TURN).then_some(times);
        }
        None
    }
}

/// Says where a file was written; to standard error where JSON goes to output.
pub fn saved(to_stderr: bool, path: &Path) -> Result<()> {
    line(to_stderr, &format!("Saved: {}", text::escape(&path.display().to_string())))
}

/// Prints lines on the progress of training; to standard error where JSON goes to output.
pub fn line(to_stderr: bool, text: &str) -> Result<()> {
    if is_quiet() {
        return Ok(());
    }
    for line in text.lines() {
        match to_stderr {
            true => note(line),
            false => print(line)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_an_epoch_is_not_wrapped_by_the_terminal() {
        let mut epoch = Epoch {
            epoch: 10,
            loss: 0.12345,
            accuracy: 0.98765,
            validation_loss: Some(0.23456),
            validation_accuracy: Some(0.97654),
            learning_rate: None,
            seconds: 12.345,
        };
        for (columns, expected) in [
            (80, "Epoch 10/10 - 12.35s - loss: 0.1235, val 0.2346 - accuracy: 0.9877, val 0.9765"),
            (60, "Epoch 10/10 - 12.35s - loss: 0.1235, val 0.2346\n  accuracy: 0.9877, val 0.9765"),
            (
                40,
                "Epoch 10/10 - 12.35s\n  loss: 0.1235, val 0.2346\n  accuracy: 0.9877, val 0.9765",
            ),
        ] {
            let text = epoch_line(&epoch, 10, Some(columns));
            assert_eq!(text, expected);
            assert!(text.lines().all(|line| line.len() <= columns), "{columns}: {text}");
        }
        for columns in [None, Some(120)] {
            assert!(epoch_line(&epoch, 10, columns).contains(" - val_loss: 0.2346 - "));
        }
        (epoch.validation_loss, epoch.validation_accuracy) = (None, None);
        let text = epoch_line(&epoch, 10, Some(40));
        assert_eq!(text, "Epoch 10/10 - 12.35s - loss: 0.1235\n  accuracy: 0.9877");
        assert!(!epoch_line(&epoch, 10, Some(80)).contains('\n'));
    }

    #[test]
    fn the_time_left_is_that_of_the_steps_to_do() {
        let since = Instant::now();
        let left = Left { since, steps: 100 };
        let after = |seconds| since + Duration::from_secs(seconds);
        assert_eq!(left.of(400, after(10)), "40s");
        assert_eq!(left.of(1001, after(10)), "1m 41s");
        assert_eq!(left.of(100_000, after(10)), "2h 46m");
        assert_eq!(Left { since, steps: 0 }.of(5, since), "0s");
    }

    #[test]
    fn steps_that_stay_many_times_slower_are_reported_once() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let mut now = start;
        let mut run = |seconds: f64, each: f64| -> Vec<f64> {
            let steps = (seconds / each) as usize;
            let step = |_| {
                now += Duration::from_secs_f64(each);
                pace.step(now)
            };
            (0..steps).filter_map(step).collect()
        };
        assert!(run(5., 0.001).is_empty());
        assert!(run(5., 0.004).is_empty());
        assert!(run(1.5, 1.5).is_empty() && run(3., 0.001).is_empty(), "a stop is not slowness");
        let noticed = run(10., 0.02);
        assert!(noticed.len() == 1 && (15. ..25.).contains(&noticed[0]), "{noticed:?}");
    }
}

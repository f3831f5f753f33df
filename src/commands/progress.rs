//! What is shown of a training while it lasts.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::console::{note, print};
use crate::output::text;
use crate::training::{Event, Progress};

/// A line per epoch, and while it lasts, on a terminal, a bar.
pub struct Display {
    epochs: usize,
    to_stderr: bool,
    bar: ProgressBar,
    drawn: Instant,
}

impl Display {
    /// Of a training of so many epochs; lines go to standard error if told.
    pub fn new(epochs: usize, to_stderr: bool) -> Display {
        let bar = bar("{prefix} {pos:>5}/{len} [{wide_bar}] {msg}");
        Display { epochs, to_stderr, bar, drawn: Instant::now() }
    }

    /// Shows what has happened.
    pub fn show(&mut self, event: Event<'_>) -> Result<()> {
        match event {
            Event::Step(progress) => {
                if !self.bar.is_hidden() {
                    self.step(progress);
                }
                Ok(())
            }
            Event::Epoch(epoch) => {
                self.clear();
                self.line(&format!(
                    "Epoch {}/{} - {:.2}s - {}",
                    epoch.epoch,
                    self.epochs,
                    epoch.seconds,
                    text::epoch(epoch)
                ))
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
        // Reading the figures waits for the device, so ten times a second at most.
        if self.drawn.elapsed() < Duration::from_millis(100) {
            return;
        }
        self.drawn = Instant::now();
        if let Ok((loss, accuracy)) = progress.metrics() {
            let milliseconds = 1e3 * self.bar.elapsed().as_secs_f64() / progress.step as f64;
            self.bar.set_position(progress.step as u64);
            self.bar.set_message(format!(
                "{milliseconds:.1} ms/step - {}",
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
}

/// A progress bar that looks like `template`, hidden where standard error is no terminal.
pub fn bar(template: &str) -> ProgressBar {
    let target = match io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(Some(0), target);
    let style = ProgressStyle::with_template(template).expect("the template is valid");
    bar.set_style(style.progress_chars("=>."));
    bar
}

/// Prints lines on the progress of a training; to standard error where JSON goes to output.
pub fn line(to_stderr: bool, text: &str) -> Result<()> {
    for line in text.lines() {
        match to_stderr {
            true => note(line),
            false => print(line)?,
        }
    }
    Ok(())
}

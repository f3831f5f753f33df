//! Loss and accuracy by epoch.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::{Area, BLACK_ON_WHITE, BLUE, Drawn, Figure, GREY, TEXT, TITLE, anchored, text};
use crate::experiments::comparison::{Comparison, Point};
use crate::experiments::statistics::Spread;
use crate::training::Epoch;

/// Colours that the colour-blind can tell apart (Okabe & Ito 2002), each of a different lightness.
const COLORS: [RGBColor; 6] = [
    BLUE,
    RGBColor(213, 94, 0),
    RGBColor(0, 0, 0),
    RGBColor(204, 121, 167),
    RGBColor(0, 158, 115),
    RGBColor(230, 159, 0),
];
/// Lengths of dashes and gaps in turn, in pixels; none for a solid line.
const DASHES: [&[f64]; 4] = [&[], &[26., 12.], &[5., 9.], &[26., 9., 5., 9.]];
const LINE: u32 = 4;
const LEGEND: u32 = 330;
/// Values from here on, as diverging losses have, are labelled by powers of ten.
const HUGE: f64 = 1e5;
const LOSS: &str = "loss (nats)";
const ACCURACY: &str = "accuracy (%)";

/// A line by epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The name in the legend.
    pub name: String,
    /// Epoch, value, and standard deviation (0 where there is none).
    pub points: Vec<(usize, f64, f64)>,
}

/// A panel of lines.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// What the lines show, with the unit.
    pub label: &'static str,
    /// Its lines: the same ones in each panel, in the same order.
    pub lines: Vec<Line>,
}

/// Panels side by side, with one legend.
#[derive(Clone, Debug, PartialEq)]
pub struct Curves {
    /// The title.
    pub title: String,
    /// The panels, from left to right.
    pub panels: Vec<Panel>,
}

/// The curves of one training run.
pub fn training(history: &[Epoch]) -> Curves {
    type Figure = fn(&Epoch) -> Option<f64>;
    let line = |name: &str, figure: Figure| Line {
        name: name.into(),
        points: history.iter().filter_map(|e| Some((e.epoch, figure(e)?, 0.))).collect(),
    };
    let panel = |label, training: Figure, validation: Figure| Panel {
        label,
        lines: [line("training", training), line("validation", validation)]
            .into_iter()
            .filter(|line| !line.points.is_empty())
            .collect(),
    };
    Curves {
        title: "Training by epoch".into(),
        panels: vec![
            panel(LOSS, |epoch| Some(epoch.loss), |epoch| epoch.validation_loss),
            panel(
                ACCURACY,
                |epoch| Some(100. * epoch.accuracy),
                |epoch| Some(100. * epoch.validation_accuracy?),
            ),
        ],
    }
}

/// The curves of a comparison: means, with the standard deviation as a band.
pub fn comparison(comparison: &Comparison) -> Curves {
    let of = if comparison.validated { "Validation" } else { "Training" };
    let panel = |label, figure: fn(&Point) -> Spread, scale: f64| Panel {
        label,
        lines: comparison
            .contenders
            .iter()
            .map(|contender| Line {
                name: contender.name.clone(),
                points: contender
                    .curve
                    .iter()
                    .map(|point| {
                        let Spread { mean, deviation, .. } = figure(point);
                        (point.epoch, scale * mean, scale * deviation.unwrap_or(0.))
                    })
                    .collect(),
            })
            .collect(),
    };
    Curves {
        title: match comparison.seeds[..] {
            [seed] => format!("{of} by epoch, seed {seed}"),
            ref seeds => {
                format!("{of} by epoch: mean and standard deviation over {} seeds", seeds.len())
            }
        },
        panels: vec![
            panel(LOSS, |point| point.loss, 1.),
            panel(ACCURACY, |point| point.accuracy, 100.),
        ],
    }
}

impl Figure for Curves {
    fn size(&self) -> (u32, u32) {
        (1800, 720)
    }

    fn draw<B: DrawingBackend>(&self, area: &Area<B>) -> Drawn<B> {
        let (width, height) = self.size();
        let (charts, legend) = area.split_horizontally(width - LEGEND);
        let (title, charts) = charts.split_vertically(2 * TITLE);
        let center = anchored(TITLE, HPos::Center, VPos::Center);
        title.draw(&Text::new(self.title.clone(), ((width - LEGEND) as i32 / 2, TITLE), center))?;
        for (panel, chart) in self.panels.iter().zip(charts.split_evenly((1, self.panels.len()))) {
            panel.draw(area, &chart)?;
        }
        let left = anchored(TEXT, HPos::Left, VPos::Center);
        let lines = self.panels.first().map_or(&[][..], |panel| &panel.lines);
        for (at, line) in lines.iter().enumerate() {
            let y = height as i32 / 2 + (2 * at as i32 + 1 - lines.len() as i32) * TEXT;
            let sample = [(10, y), (110, y)];
            stroke(&legend, at, &sample)?;
            mark(&legend, at, (60, y))?;
            legend.draw(&Text::new(line.name.clone(), (125, y), left.clone()))?;
        }
        Ok(())
    }
}

impl Panel {
    /// What the axis of values is to show, never empty: all of them, and a margin.
    fn range(&self) -> Range<f64> {
        let points = self.lines.iter().flat_map(|line| &line.points);
        let ends = points.flat_map(|(_, value, spread)| [value - spread, value + spread]);
        let ends = || ends.clone().filter(|end| end.is_finite());
        let (low, high) = (ends().fold(f64::MAX, f64::min), ends().fold(f64::MIN, f64::max));
        if low > high {
            return 0. ..1.; // nothing to show
        }
        let size = low.abs().max(high.abs());
        let least = if size < HUGE { 1e-3 } else { 1e-2 * size };
        let margin = (0.06 * (high - low)).max(least);
        low - margin..high + margin
    }

    fn draw<B: DrawingBackend>(&self, area: &Area<B>, chart: &Area<B>) -> Drawn<B> {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let last = points().map(|point| point.0).max().unwrap_or(1);
        let Range { start: low, end: high } = self.range();
        let mut chart = ChartBuilder::on(chart)
            .margin_left(24)
            .margin_right(30)
            .margin_bottom(14)
            .x_label_area_size(80)
            .y_label_area_size(110)
            .build_cartesian_2d(Epochs(last), low..high)?;
        let decimals = (-((high - low) / 6.).log10()).ceil().max(0.) as usize;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GREY)
            .axis_style(ShapeStyle::from(BLACK_ON_WHITE).stroke_width(2))
            .label_style(text(TEXT))
            .axis_desc_style(text(TEXT))
            .x_desc("epoch")
            .y_desc(self.label)
            .y_labels(6)
            .x_label_formatter(&|epoch| format!("{epoch:.0}"))
            .y_label_formatter(&|value| match value.abs() < HUGE {
                true => format!("{value:.decimals$}"),
                false => format!("{value:.3e}"),
            })
            .draw()?;
        for (at, line) in self.lines.iter().enumerate() {
            let edge = |sign: f64| {
                line.points
                    .iter()
                    .map(move |(epoch, value, spread)| (*epoch as f64, value + sign * spread))
            };
            let around: Vec<_> = edge(1.).chain(edge(-1.).rev()).collect();
            if line.points.iter().any(|point| point.2 > 0.) {
                chart.draw_series([Polygon::new(around, color(at).mix(0.18))])?;
            }
        }
        for (at, line) in self.lines.iter().enumerate() {
            let place = |point: &(usize, f64, f64)| {
                chart.plotting_area().map_coordinate(&(point.0 as f64, point.1))
            };
            let path: Vec<_> = line.points.iter().filter(|p| p.1.is_finite()).map(place).collect();
            stroke(area, at, &path)?;
            for place in path.iter().step_by(last.div_ceil(15)) {
                mark(area, at, *place)?;
            }
        }
        Ok(())
    }
}

/// The axis of epochs, up to this one: ticks at whole numbers, ten or so at most.
struct Epochs(usize);

impl Ranged for Epochs {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn range(&self) -> Range<f64> {
        let room = 0.04 * self.0 as f64;
        1. - room..self.0 as f64 + room
    }

    fn map(&self, epoch: &f64, (left, right): (i32, i32)) -> i32 {
        let Range { start, end } = self.range();
        left + (f64::from(right - left) * (epoch - start) / (end - start)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        let mut steps = (0..).flat_map(|decade| [1, 2, 5].map(|step| step * 10usize.pow(decade)));
        let step = steps.find(|step| self.0 / step <= 10).unwrap_or(self.0);
        (1..=self.0).filter(|epoch| epoch % step == 0).map(|epoch| epoch as f64).collect()
    }
}

fn color(line: usize) -> RGBColor {
    COLORS[line % COLORS.len()]
}

/// Pixels of a dash that are not worth drawing.
const LEAST_DASH: f64 = 1e-6;

/// Draws the path of a line in its colour and dashes.
fn stroke<B: DrawingBackend>(area: &Area<B>, line: usize, path: &[(i32, i32)]) -> Drawn<B> {
    let style = ShapeStyle::from(color(line)).stroke_width(LINE);
    let dashes = DASHES[line % DASHES.len()];
    if dashes.is_empty() {
        return area.draw(&PathElement::new(path.to_vec(), style));
    }
    let (mut dash, mut left) = (0, dashes[0]);
    for ends in path.windows(2) {
        let [(x0, y0), (x1, y1)] = [ends[0], ends[1]].map(|(x, y)| (f64::from(x), f64::from(y)));
        let length = (x1 - x0).hypot(y1 - y0);
        let at = |done: f64| {
            let share = done / length;
            ((x0 + share * (x1 - x0)).round() as i32, (y0 + share * (y1 - y0)).round() as i32)
        };
        let mut done = 0.;
        while done < length {
            let end = (done + left).min(length);
            if dash % 2 == 0 {
                area.draw(&PathElement::new(vec![at(done), at(end)], style))?;
            }
            left -= end - done;
            done = end;
            // By rounding, a little may be left that no longer moves `done`: it would go on for ever.
            if left <= LEAST_DASH {
                dash = (dash + 1) % dashes.len();
                left = dashes[dash];
            }
        }
    }
    Ok(())
}

/// Draws the marker of a line.
fn mark<B: DrawingBackend>(area: &Area<B>, line: usize, place: (i32, i32)) -> Drawn<B> {
    let style = ShapeStyle::from(color(line)).filled();
    let (x, y) = place;
    match line % 4 {
        0 => area.draw(&Circle::new(place, 9, style)),
        1 => area.draw(&TriangleMarker::new(place, 13, style)),
        2 => area.draw(&Rectangle::new([(x - 8, y - 8), (x + 8, y + 8)], style)),
        _ => {
            let corners = [(x - 11, y), (x, y - 11), (x + 11, y), (x, y + 11)];
            area.draw(&Polygon::new(corners.to_vec(), style))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(values: &[f64]) -> Panel {
        let points = values.iter().enumerate().map(|(at, value)| (at + 1, *value, 0.)).collect();
        Panel { label: LOSS, lines: vec![Line { name: "training".into(), points }] }
    }

    #[test]
    fn any_values_have_a_range_that_can_be_labelled_and_drawn() {
        for values in [
            &[][..],
            &[0.3],
            &[1e14],
            &[0., f64::from(f32::MAX)],
            &[1e300, -1e300],
            &[f64::NAN, 0.2, f64::INFINITY],
        ] {
            let panel = panel(values);
            let Range { start, end } = panel.range();
            assert!(start < end && (end - start).is_finite(), "{values:?}");
            let curves = Curves { title: String::new(), panels: vec![panel] };
            super::super::to_pixels(&curves).unwrap();
        }
    }

    #[test]
    fn dashes_come_to_the_end_of_long_lines() {
        let mut lines = Vec::new();
        for phase in 0..8 {
            let value = |at: usize| (1. + 0.3 * (at as f64 * 0.7 + f64::from(phase)).sin()) / 3.;
            lines.extend(panel(&(0..3000).map(value).collect::<Vec<_>>()).lines);
        }
        let curves = Curves { title: String::new(), panels: vec![Panel { label: LOSS, lines }] };
        super::super::to_pixels(&curves).unwrap();
    }

    #[test]
    fn the_margin_is_a_share_of_the_range() {
        let Range { start, end } = panel(&[1., 2.]).range();
        assert!((start - 0.94).abs() < 1e-12 && (end - 2.06).abs() < 1e-12, "{start} {end}");
    }
}

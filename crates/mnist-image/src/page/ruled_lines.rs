//! Lines that are no writing: ruled, squared and dotted paper, tables, forms and frames.
//!
//! A line is traced from column to column as a run of ink that stays thin and goes straight on; it
//! may be dashed, tilted or drawn by hand, and is followed across the strokes that cross it. Long ones
//! are erased but for those strokes. What is long is told by the height of the digits, which is known
//! once the lines are gone: so what may be a line is set aside first and then compared.

use image::{GrayImage, Luma, imageops};

use crate::component::{Component, components, label};
use crate::page::groups::digit_height;

/// Slope, either way, up to which a line is followed: tan 15°.
const MAX_SLOPE: f32 = 0.27;
/// Shares of the page's longer side: the thickest line, and the thickest one that is so many times as long
/// as thick.
const MAX_THICKNESS: f32 = 0.01;
const MAX_FRAME: f32 = 0.025;
const FRAME_ASPECT: f32 = 25.;
/// Share of the page's longer side: the widest gap in a dashed or dotted line.
const MAX_GAP: f32 = 1. / 160.;
/// Share of the page's longer side: how far a line is followed under the strokes of a digit.
const MAX_CROSSING: f32 = 0.1;
/// Share of the page's longer side: how far from a line's end more of it is looked for.
const MAX_RESUMPTION: f32 = 0.25;
/// Share of the page's longer side: the shortest line, unless it joins two others.
const MIN_LENGTH: f32 = 0.2;
/// So many times as long as digits are high is a line.
const LENGTH_IN_DIGITS: f32 = 1.6;
/// Digits that are enough to tell how high they are.
const ENOUGH_DIGITS: usize = 3;
/// Share of the page's width or height that a line has which crosses the page.
const MOST_OF_PAGE: f32 = 0.9;
/// Share of the digits' height that a line between two others has at least.
const JOINING_LENGTH: f32 = 0.6;
/// Share of a line's length that is inked; of dots with gaps, less than half is.
const MIN_INKED: f32 = 0.35;
/// Share of its length by which a line may leave the straight way from end to end.
const MAX_BEND: f32 = 0.02;
/// Steps over which a line's slope is measured.
const SLOPE_WINDOW: usize = 100;

/// The ink of a line at one place along it.
#[derive(Clone, Copy, Debug)]
struct Run {
    along: u32,
    /// First and last pixel across.
    first: u32,
    last: u32,
}

impl Run {
    fn centre(&self) -> f32 {
        (self.first + self.last) as f32 / 2.
    }

    fn thickness(&self) -> u32 {
        self.last - self.first + 1
    }
}

/// A line that is being followed, or was.
struct Trace {
    /// Whether it goes down the page, rather than across.
    down: bool,
    runs: Vec<Run>,
    /// Steps since its last run: across ink, and across paper.
    crossing: u32,
    gap: u32,
}

impl Trace {
    fn new(run: Run, down: bool) -> Trace {
        Trace { down, runs: vec![run], crossing: 0, gap: 0 }
    }

    fn last(&self) -> Run {
        self.runs[self.runs.len() - 1]
    }

    fn length(&self) -> u32 {
        self.last().along - self.runs[0].along + 1
    }

    /// Whether it begins no thicker than `thin`: then a thicker run is a stroke that crosses it.
    fn is_thin(&self, thin: u32) -> bool {
        self.runs[0].thickness() <= thin
    }

    /// Where it crosses the column or row `along`.
    fn expected(&self, along: u32) -> f32 {
        let last = self.last();
        let before = self.runs[self.runs.len().saturating_sub(SLOPE_WINDOW)];
        let steps = last.along - before.along;
        let slope = if steps < 8 { 0. } else { (last.centre() - before.centre()) / steps as f32 };
        last.centre() + slope.clamp(-MAX_SLOPE, MAX_SLOPE) * (along - last.along) as f32
    }

    /// Its usual thickness.
    fn usual(&self) -> u32 {
        let mut thickness: Vec<u32> = self.runs.iter().map(Run::thickness).collect();
        let middle = (thickness.len() - 1) / 2;
        *thickness.select_nth_unstable(middle).1
    }

    /// Whether it is inked throughout and straight.
    fn is_line(&self) -> bool {
        let (from, to, length) = (self.runs[0], self.last(), self.length() as f32);
        let slope = (to.centre() - from.centre()) / length;
        let bend = |run: &Run| {
            (run.centre() - from.centre() - slope * (run.along - from.along) as f32).abs()
        };
        let most = 1. + MAX_BEND * length;
        slope.abs() <= MAX_SLOPE
            && self.runs.len() as f32 >= MIN_INKED * length
            && self.runs.iter().all(|run| bend(run) <= most)
    }
}

/// Erases lines from the `ink` of a page. They are looked for in `faint`, what is at all darker than
/// the paper; `mask` is what is surely ink.
pub(super) fn erase(ink: &mut GrayImage, mask: &mut GrayImage, faint: &GrayImage) {
    let longest = mask.width().max(mask.height()) as f32;
    let is_long = |line: &&Trace| line.length() as f32 >= (MIN_LENGTH * longest).max(12.);
    let mut lines = follow(&transposed(faint), false, longest);
    lines.extend(follow(faint, true, longest));
    if !lines.iter().any(|line| is_long(&line)) {
        return;
    }
    let mut rest = mask.clone();
    lines.iter().filter(is_long).for_each(|line| line.erase_from(&mut rest));
    let labels = label(&rest);
    let found = components(&labels, &rest, ink);
    let Some(height) = digit_height(&found) else { return };
    let height = height as f32;
    // The stem of a 4 or 9 is longer than what is left of it: where no others tell the height of
    // digits, a line must cross the page, or touch nothing.
    let is_digit = |one: &Component| one.height() as f32 > height / 2.;
    let digits = found.iter().filter(|one| is_digit(one)).count();
    let is_of_digit = |x, y| match labels.get_pixel(x, y).0[0] {
        0 => false,
        label => is_digit(&found[label as usize - 1]),
    };
    let sides = [mask.width() as f32, mask.height() as f32];
    let is_apart = |line: &Trace| {
        digits >= ENOUGH_DIGITS
            || line.length() as f32 >= MOST_OF_PAGE * sides[usize::from(line.down)]
            || !line.touches(rest.dimensions(), is_of_digit)
    };
    let (long, short): (Vec<Trace>, Vec<Trace>) = lines.into_iter().partition(|line| {
        is_long(&line) && line.length() as f32 >= LENGTH_IN_DIGITS * height && is_apart(line)
    });
    let near = 1.5 + longest / 800.;
    let joins =
        |line: &Trace| line.length() as f32 >= JOINING_LENGTH * height && line.joins(&long, near);
    let widest = MAX_RESUMPTION * longest;
    let resumes = |line: &Trace| long.iter().any(|other| line.resumes(other, widest));
    for line in long.iter().chain(short.iter().filter(|line| joins(line) || resumes(line))) {
        line.erase_from(mask);
        line.erase_from(ink);
    }
}

impl Trace {
    /// Where it crosses a place between its ends.
    fn at(&self, along: u32) -> f32 {
        let next = self.runs.partition_point(|run| run.along < along).min(self.runs.len() - 1);
        self.runs[next].centre()
    }

    /// Whether both its ends are at lines of the other direction, or no more than `near` from them.
    fn joins(&self, others: &[Trace], near: f32) -> bool {
        let meets = |end: Run| {
            others.iter().filter(|other| other.down != self.down).any(|other| {
                let place = end.centre() as u32;
                let reach = other.runs[0].along.saturating_sub(3)..=other.last().along + 3;
                reach.contains(&place)
                    && (other.at(place) - end.along as f32).abs() <= near + other.usual() as f32
            })
        };
        meets(self.runs[0]) && meets(self.last())
    }

    /// Whether it lies on a longer line of the same direction, at most `widest` before or after it: what
    /// is between is a stroke along the line.
    fn resumes(&self, line: &Trace, widest: f32) -> bool {
        let (first, last) = (line.runs[0], line.last());
        let slope = (last.centre() - first.centre()) / line.length() as f32;
        let gap = match self.last().along < first.along {
            true => first.along - self.last().along,
            false => self.runs[0].along.saturating_sub(last.along),
        };
        let is_on = |run: Run| {
            let expected = first.centre() + slope * (run.along as f32 - first.along as f32);
            (run.centre() - expected).abs() <= 1. + MAX_BEND * gap as f32
        };
        self.down == line.down
            && gap > 0
            && gap as f32 <= widest
            && self.usual() <= line.usual() + 1
            && is_on(self.runs[0])
            && is_on(self.last())
    }

    /// Whether what `is_ink`, of an image of this size, goes on beside it or at its ends.
    fn touches(&self, (width, height): (u32, u32), is_ink: impl Fn(u32, u32) -> bool) -> bool {
        let inked = |along: i64, across: i64| {
            let (x, y) = if self.down { (across, along) } else { (along, across) };
            let inside = (0..i64::from(width)).contains(&x) && (0..i64::from(height)).contains(&y);
            inside && is_ink(x as u32, y as u32)
        };
        self.runs.iter().any(|run| {
            let [along, first, last] = [run.along, run.first, run.last].map(i64::from);
            (along - 1..=along + 1).any(|along| (first - 1..=last + 1).any(|a| inked(along, a)))
        })
    }

    /// Erases it but for the strokes that cross it.
    fn erase_from(&self, image: &mut GrayImage) {
        let most = self.usual() + (self.usual() / 2).max(1);
        for run in self.runs.iter().filter(|run| run.thickness() <= most) {
            for across in run.first..=run.last {
                let (x, y) = if self.down { (across, run.along) } else { (run.along, across) };
                image.put_pixel(x, y, Luma([0]));
            }
        }
    }
}

fn transposed(mask: &GrayImage) -> GrayImage {
    let mut turned = imageops::rotate90(mask);
    imageops::flip_horizontal_in_place(&mut turned);
    turned
}

/// All lines down the mask, of any length; where they go across the page, it is transposed.
fn follow(mask: &GrayImage, down: bool, longest: f32) -> Vec<Trace> {
    let thin = (MAX_THICKNESS * longest).max(4.) as u32;
    let thick = (MAX_FRAME * longest).max(4.) as u32;
    let max_gap = (MAX_GAP * longest).max(4.) as u32;
    let max_crossing = (MAX_CROSSING * longest) as u32;
    let width = mask.width() as usize;
    let (mut active, mut done): (Vec<Trace>, Vec<Trace>) = (Vec::new(), Vec::new());
    for (along, row) in mask.as_raw().chunks(width.max(1)).enumerate() {
        let along = along as u32;
        let mut first = 0;
        let mut runs: Vec<Run> = Vec::new();
        for inked in row.chunk_by(|a, b| (*a > 0) == (*b > 0)) {
            let last = first + inked.len() as u32 - 1;
            if inked[0] > 0 {
                runs.push(Run { along, first, last });
            }
            first = last + 1;
        }
        let mut taken = vec![false; runs.len()];
        let mut going = Vec::with_capacity(active.len());
        for mut trace in active {
            let expected = trace.expected(along);
            let away = 1.5 + 0.02 * (trace.gap + trace.crossing) as f32;
            let at = runs.partition_point(|run| (run.last as f32) < expected - away);
            let next = runs.get(at).filter(|run| run.first as f32 <= expected + away);
            match next {
                Some(run)
                    if !taken[at]
                        && run.thickness() <= trace.last().thickness() + 2
                        && run.thickness() <= if trace.is_thin(thin) { thin } else { thick }
                        && (run.centre() - expected).abs() <= away + 0.5 =>
                {
                    taken[at] = true;
                    (trace.gap, trace.crossing) = (0, 0);
                    trace.runs.push(*run);
                }
                Some(_) => trace.crossing += 1,
                None => trace.gap += 1,
            }
            if trace.gap > max_gap || trace.crossing > max_crossing {
                done.push(trace);
            } else {
                going.push(trace);
            }
        }
        let fresh =
            runs.iter().zip(taken).filter(|(run, taken)| !taken && run.thickness() <= thick);
        going.extend(fresh.map(|(run, _)| Trace::new(*run, down)));
        active = going;
    }
    done.extend(active);
    done.retain(|trace| {
        let most = (trace.length() as f32 / FRAME_ASPECT).max(thin as f32);
        trace.length() >= 6 && trace.usual() as f32 <= most && trace.is_line()
    });
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page of 400×300 with rings as digits, and lines where `line(x, y)`; and without lines.
    fn page(line: impl Fn(f32, f32) -> bool) -> (GrayImage, GrayImage) {
        let ring = |x: u32, y: u32| {
            let (dx, dy) = ((x % 80) as f32 - 40., (y % 75) as f32 - 37.);
            (dx.hypot(dy) - 17.).abs() < 2.5
        };
        let draw = |lines: bool| {
            GrayImage::from_fn(400, 300, |x, y| {
                let inked = ring(x, y) || lines && line(x as f32, y as f32);
                Luma([if inked { 255 } else { 0 }])
            })
        };
        (draw(true), draw(false))
    }

    /// Pixels that differ once the lines of `drawn` are erased.
    fn left(line: impl Fn(f32, f32) -> bool) -> usize {
        let (mut mask, wanted) = page(line);
        let (mut ink, faint) = (mask.clone(), mask.clone());
        erase(&mut ink, &mut mask, &faint);
        mask.iter().zip(wanted.iter()).filter(|(a, b)| a != b).count()
    }

    #[test]
    fn lines_are_erased_and_what_crosses_them_is_not() {
        let ruled = |_: f32, y: f32| (y % 75. - 45.).abs() < 1.;
        let tilted = |x: f32, y: f32| ((y - 0.12 * x).rem_euclid(75.) - 45.).abs() < 1.;
        let dotted = |x: f32, y: f32| x % 6. < 3. && ((y % 75.) - 68.).abs() < 1.;
        let table = |x: f32, y: f32| (y % 75.) < 2. || (x % 80.) < 2.;
        let inner = |x: f32, y: f32| {
            let inside = (75. ..228.).contains(&y) && (80. ..322.).contains(&x);
            inside && ((y % 75.) < 2. || (x % 80.) < 2.)
        };
        for (name, left) in [
            ("ruled", left(ruled)),
            ("tilted", left(tilted)),
            ("dotted", left(dotted)),
            ("table", left(table)),
            ("table within the page", left(inner)),
        ] {
            assert!(left < 200, "{name}: {left} pixels");
        }
    }

    #[test]
    fn the_stem_of_a_lone_9_is_no_line_but_the_box_around_it_is() {
        let draw = |boxed: bool| {
            GrayImage::from_fn(100, 100, |x, y| {
                let loops = ((x as f32 - 45.).hypot(y as f32 - 35.) - 12.).abs() < 2.;
                let stem = (56..59).contains(&x) && (22..80).contains(&y);
                let edge = |at: u32| at.abs_diff(10) < 2 || at.abs_diff(90) < 2;
                let within = |at: u32| (9..92).contains(&at);
                let frame = edge(x) && within(y) || edge(y) && within(x);
                Luma([if loops || stem || boxed && frame { 255 } else { 0 }])
            })
        };
        for boxed in [false, true] {
            let mut mask = draw(boxed);
            let (mut ink, faint) = (mask.clone(), mask.clone());
            erase(&mut ink, &mut mask, &faint);
            let differ = mask.iter().zip(draw(false).iter()).filter(|(a, b)| a != b).count();
            assert!(differ < 40, "{boxed}: {differ}");
        }
    }

    #[test]
    fn strokes_of_digits_are_no_lines() {
        // A row of 1s, with and without other digits.
        for others in [false, true] {
            let mut mask = GrayImage::from_fn(400, 120, |x, y| {
                let one = x % 60 < 3 && (20..100).contains(&y);
                let ring = ((x as f32 - 330.).hypot(y as f32 - 60.) - 38.).abs() < 2.;
                Luma([if one || others && ring { 255 } else { 0 }])
            });
            let (mut ink, faint, drawn) = (mask.clone(), mask.clone(), mask.clone());
            erase(&mut ink, &mut mask, &faint);
            assert_eq!(mask, drawn);
        }
    }
}

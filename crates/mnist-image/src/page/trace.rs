//! Lines traced along an image: thin runs of ink that go straight on.

use std::cmp::Reverse;

use image::{GrayImage, Luma};

use super::dashes;

// Chosen on drawn pages, in the tests and in `tests/sheets`, unless said otherwise.
/// Slope, either way, up to which a line is followed: tan 15°.
const MAX_SLOPE: f32 = 0.27;
/// Shares of the page's longer side: the thickest line, and the thickest one that is this many
/// times as long as thick.
const MAX_THICKNESS: f32 = 0.01;
const MAX_FRAME: f32 = 0.025;
const FRAME_ASPECT: f32 = 25.;
/// Share of the page's longer side: the widest gap in a dashed or dotted line.
const MAX_DASH_GAP: f32 = 1. / 160.;
/// Share of the page's longer side: how far a line is followed under the strokes of a digit.
const MAX_CROSSING: f32 = 0.1;
/// Share of a line's length that is inked; of dots with gaps, less than half is.
const MIN_INKED: f32 = 0.35;
/// Share of its length by which a line may leave the straight way from end to end.
const MAX_BEND: f32 = 0.02;
/// Steps over which a line's slope is measured, and the fewest over which it can be.
const SLOPE_WINDOW: usize = 100;
const MIN_SLOPE_STEPS: u32 = 8;
/// Pixels of the longer side of a page on which distances of a few pixels are as they stand here; on
/// a larger one they grow with it.
const USUAL_SIDE: f32 = 1000.;
/// How far, in pixels, a run may stray from where its line is expected, and how much farther for
/// each step since the last run.
pub(super) const STRAY: f32 = 1.5;
const STRAY_PER_STEP: f32 = 0.02;
/// Pixels by which a line may thicken from one run to the next.
const MAX_THICKENING: u32 = 2;
/// Pixels of the shortest line that is kept.
const MIN_TRACE: u32 = 6;

/// The ink of a line at one place along it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
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
pub(super) struct Trace {
    /// Whether it goes down the page, rather than across.
    pub down: bool,
    runs: Vec<Run>,
    /// The length of the longest of its dashes, if it was joined from such.
    pub dash: Option<u32>,
    /// Steps since its last run: across ink, and across paper.
    crossing: u32,
    gap: u32,
}

impl Trace {
    fn new(run: Run, down: bool) -> Trace {
        Trace { down, runs: vec![run], dash: None, crossing: 0, gap: 0 }
    }

    fn last(&self) -> Run {
        self.runs[self.runs.len() - 1]
    }

    pub fn length(&self) -> u32 {
        self.end() - self.start() + 1
    }

    /// Where it starts and ends, along its direction.
    pub fn start(&self) -> u32 {
        self.runs[0].along
    }

    pub fn end(&self) -> u32 {
        self.last().along
    }

    /// Where it is, across, at its start.
    pub fn first_centre(&self) -> f32 {
        self.runs[0].centre()
    }

    /// Steps across for one along, from its start to the end of another, or of itself.
    pub fn slope_to(&self, end: &Trace) -> f32 {
        let along = end.end() - self.start();
        let slope = (end.last().centre() - self.first_centre()) / along.max(1) as f32;
        slope.clamp(-MAX_SLOPE, MAX_SLOPE)
    }

    /// Where it would be if it went on with this slope.
    pub fn expected_at(&self, slope: f32, along: u32) -> f32 {
        self.last().centre() + slope * (along as f32 - self.end() as f32)
    }

    /// Whether it touches no other ink of `mask`, down which it was followed.
    pub fn is_free(&self, mask: &GrayImage) -> bool {
        let most = self.most();
        let mut runs = self.runs.iter().peekable();
        let mut near = self.runs[0];
        (self.start().saturating_sub(1)..=(self.end() + 1).min(mask.height() - 1)).all(|along| {
            let own = runs.next_if(|run| run.along == along);
            near = *own.unwrap_or(&near);
            let mut around = near.first.saturating_sub(1)..=(near.last + 1).min(mask.width() - 1);
            let is_own = |across| own.is_some_and(|run| (run.first..=run.last).contains(&across));
            near.thickness() <= most
                && around.all(|x| is_own(x) || mask.get_pixel(x, along).0[0] == 0)
        })
    }

    /// The thickness of a run up to which no other stroke crosses there.
    fn most(&self) -> u32 {
        self.usual() + (self.usual() / 2).max(1)
    }

    /// This line and the dash that goes on from it, as one.
    pub fn joined(mut self, next: Trace) -> Trace {
        self.dash = Some(self.dash.unwrap_or(self.length()).max(next.length()));
        self.runs.extend(next.runs);
        self
    }

    /// Whether it is thin for an image with this longer side, or long for its thickness.
    pub fn is_slender(&self, longest: f32) -> bool {
        let (usual, length) = (self.usual(), self.length() as f32);
        usual <= thin(longest) || usual as f32 * FRAME_ASPECT <= length
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
        let slope = if steps < MIN_SLOPE_STEPS {
            0.
        } else {
            (last.centre() - before.centre()) / steps as f32
        };
        self.expected_at(slope.clamp(-MAX_SLOPE, MAX_SLOPE), along)
    }

    /// Its usual thickness.
    pub fn usual(&self) -> u32 {
        let mut thickness: Vec<u32> = self.runs.iter().map(Run::thickness).collect();
        let middle = (thickness.len() - 1) / 2;
        *thickness.select_nth_unstable(middle).1
    }

    /// Steps across for one along.
    pub fn slope(&self) -> f32 {
        (self.last().centre() - self.runs[0].centre()) / self.length() as f32
    }

    /// Whether it is inked throughout and straight.
    fn is_line(&self) -> bool {
        let (from, length, slope) = (self.runs[0], self.length() as f32, self.slope());
        let bend = |run: &Run| {
            (run.centre() - from.centre() - slope * (run.along - from.along) as f32).abs()
        };
        let most = 1. + MAX_BEND * length;
        slope.abs() <= MAX_SLOPE
            && self.runs.len() as f32 >= MIN_INKED * length
            && self.runs.iter().all(|run| bend(run) <= most)
    }

    /// Where it crosses a place between its ends.
    fn at(&self, along: u32) -> f32 {
        let next = self.runs.partition_point(|run| run.along < along).min(self.runs.len() - 1);
        self.runs[next].centre()
    }

    /// Whether both its ends are at lines of the other direction, or no more than `near` from them.
    pub fn joins(&self, others: &[Trace], near: f32) -> bool {
        // At a corner, the other begins where this one's thickness ends.
        let beyond = 3 + self.usual();
        let meets = |end: Run| {
            let as_thick = |other: &&Trace| other.usual() + 1 >= self.usual();
            let across = others.iter().filter(|other| other.down != self.down);
            across.filter(as_thick).any(|other| {
                let place = end.centre() as u32;
                let reach =
                    other.runs[0].along.saturating_sub(beyond)..=other.last().along + beyond;
                reach.contains(&place)
                    && (other.at(place) - end.along as f32).abs() <= near + other.usual() as f32
            })
        };
        meets(self.runs[0]) && meets(self.last())
    }

    /// Whether it lies on a longer line of the same direction, at most `widest` before or after it:
    /// what is between is a stroke along the line.
    pub fn resumes(&self, line: &Trace, widest: f32) -> bool {
        let (first, last, slope) = (line.runs[0], line.last(), line.slope());
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
    pub fn touches(&self, (width, height): (u32, u32), is_ink: impl Fn(u32, u32) -> bool) -> bool {
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
    pub fn erase_from(&self, image: &mut GrayImage) {
        let most = self.most();
        for run in self.runs.iter().filter(|run| run.thickness() <= most) {
            for across in run.first..=run.last {
                let (x, y) = if self.down { (across, run.along) } else { (run.along, across) };
                image.put_pixel(x, y, Luma([0]));
            }
        }
    }
}

/// Pixels of the thickest line on an image with this longer side that need not be long for it.
fn thin(longest: f32) -> u32 {
    (MAX_THICKNESS * longest).max(4.) as u32
}

/// All lines down the mask, of any length; where they go across the page, it is transposed.
pub(super) fn follow(mask: &GrayImage, down: bool, longest: f32) -> Vec<Trace> {
    let thin = thin(longest);
    let thick = (MAX_FRAME * longest).max(4.) as u32;
    let max_gap = (MAX_DASH_GAP * longest).max(4.) as u32;
    let max_crossing = (MAX_CROSSING * longest) as u32;
    let unit = (longest / USUAL_SIDE).max(1.);
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
        // The longest takes its run first: a short one that was lost some steps ago strays by now.
        active.sort_by_key(|trace| Reverse(trace.runs.len()));
        for mut trace in active {
            let expected = trace.expected(along);
            let away = STRAY * unit + STRAY_PER_STEP * (trace.gap + trace.crossing) as f32;
            let at = runs.partition_point(|run| (run.last as f32) < expected - away);
            let next = runs.get(at).filter(|run| run.first as f32 <= expected + away);
            match next {
                Some(run)
                    if !taken[at]
                        && run.thickness() <= trace.last().thickness() + MAX_THICKENING
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
    done.retain(|trace| trace.length() >= MIN_TRACE && trace.is_line());
    dashes::join(done, mask, longest, unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_not_taken_over_by_one_that_was_lost_beside_it() {
        // The end of a thick line, with a corner that stands out, and a wall from there down.
        let mask = GrayImage::from_fn(200, 220, |x, y| {
            let inked = match y {
                0..4 => (51..53).contains(&x),
                4..9 => (50..180).contains(&x),
                _ => (53..56).contains(&x),
            };
            Luma([if inked { 255 } else { 0 }])
        });
        let longest = follow(&mask, true, 400.).into_iter().max_by_key(Trace::length).unwrap();
        assert_eq!((longest.runs[0].along, longest.last().along), (9, 219));
    }
}

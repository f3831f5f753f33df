//! Which way to cut touching digits apart: the best path through their lattice.

use mnist_image::page::{Candidate, Lattice};

use crate::network::verifier::Verdict;

/// Cost of a cut, in nats, by how many strokes it goes through: none, one, more. Digits touch at
/// one place, but have loops. Chosen on pairs of MNIST's training digits.
const CUT_COST: [f32; 3] = [0., 0.2, 0.8];
/// Cost, in nats, of a candidate that is twice as wide as high, which a digit hardly is; chosen by
/// judgement.
const WIDE_COST: f32 = 3.;
/// Cost, in nats, of a candidate whose height is 1/e of that of its line's digits: a hand writes
/// digits of one height, and half a digit that looks like one is lower. Chosen on pages drawn like
/// our own, of training digits.
const LOW_COST: f32 = 5.;
/// The least confidence, which bounds the cost of a candidate.
const MIN_CONFIDENCE: f32 = 1e-6;

/// The candidates, from left to right, that together make up the whole and the most likely digits:
/// by dynamic programming, over how sure the network is of each. The line's digits are about
/// `height` pixels high.
pub(super) fn best(lattice: &Lattice, sure: &[Verdict], height: f32) -> Vec<usize> {
    let cost = |candidate: &Candidate, sure: &Verdict| {
        let low = (height / candidate.local.height as f32).ln().max(0.);
        let aspect = candidate.local.width as f32 / candidate.local.height as f32;
        let wide = (aspect - 1.).max(0.);
        let cut = CUT_COST[lattice.strokes[candidate.to].min(2)];
        -sure.confidence.max(MIN_CONFIDENCE).ln()
            + WIDE_COST * wide * wide
            + LOW_COST * low * low
            + cut
    };
    // The best path to each cut: its cost and its last candidate.
    let ends = lattice.strokes.len();
    let mut paths: Vec<Option<(f32, Option<usize>)>> = vec![None; ends];
    paths[0] = Some((0., None));
    for to in 1..ends {
        for (index, candidate) in lattice.candidates.iter().enumerate() {
            if candidate.to != to {
                continue;
            }
            let Some((before, _)) = paths[candidate.from] else { continue };
            let sum = before + cost(candidate, &sure[index]);
            if paths[to].is_none_or(|(best, _)| sum < best) {
                paths[to] = Some((sum, Some(index)));
            }
        }
    }
    let mut at = ends - 1;
    let mut chosen = Vec::new();
    while let Some((_, Some(index))) = paths[at] {
        chosen.push(index);
        at = lattice.candidates[index].from;
    }
    chosen.reverse();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use mnist_image::PIXELS;
    use mnist_image::page::Bounds;

    #[test]
    fn sure_halves_win_over_an_unsure_whole_unless_the_cut_goes_through_strokes() {
        let candidate = |from, to, width| {
            let height = if to - from == 2 { 60 } else { 40 };
            let local = Bounds { x: 0, y: 0, width, height };
            Candidate { from, to, digit: [0; PIXELS], bounds: local, local }
        };
        let candidates = vec![candidate(0, 1, 20), candidate(0, 2, 40), candidate(1, 2, 20)];
        let sure = |confidence| Verdict { score: 1., confidence };
        for (strokes, whole, expected) in
            [(1, 0.4, vec![0, 2]), (1, 0.95, vec![1]), (2, 0.4, vec![0, 2]), (2, 0.6, vec![1])]
        {
            let lattice = Lattice { strokes: vec![0, strokes, 0], candidates: candidates.clone() };
            let sure = [sure(0.99), sure(whole), sure(0.99)];
            assert_eq!(best(&lattice, &sure, 40.), expected, "{strokes} {whole}");
        }
        // Halves that are lower than the line's digits.
        let lattice = Lattice { strokes: vec![0, 1, 0], candidates };
        let sure = [sure(0.99), sure(0.4), sure(0.99)];
        assert_eq!(best(&lattice, &sure, 64.), [1]);
    }
}

//! Many images, read by several threads at once and classified in order, as they become ready.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mnist_image::Digit;
use mnist_image::PIXELS;

use crate::network::classifier::Classifier;
use crate::network::verifier::{Answer, verify};

/// Items handed on together at most, and samples that the network computes at once.
pub const MAX_BATCH: usize = 256;
/// Images of one digit that are worked on or ready ahead of the next one, at most; bounds memory.
pub const AHEAD: usize = 2 * MAX_BATCH;
/// Pages that are read or ready ahead of the next one, for each thread; bounds memory.
pub const PAGES_AHEAD: usize = 2;
/// How long what is ready waits for more, so that the network computes batches.
const GATHER: Duration = Duration::from_millis(50);

/// A piece of work, and where its result goes.
type Job<I, T> = (I, Sender<T>);

/// Does `work` on each item, on `threads` threads, at most `ahead` items ahead of the next one, and
/// hands the results with their numbers, from 0, to `take`: in order, as they become ready, up to
/// [`MAX_BATCH`] at a time. What is ready is not held back by an item that is not, nor by `items`
/// when those come slowly.
///
/// # Errors
///
/// That of `take`, which ends everything, or that no thread can be started.
pub fn in_order<I: Send + 'static, T: Send + 'static>(
    threads: usize,
    ahead: usize,
    items: impl Iterator<Item = I> + Send + 'static,
    work: impl Fn(I) -> T + Send + Sync + 'static,
    mut take: impl FnMut(Vec<(usize, T)>) -> Result<()>,
) -> Result<()> {
    let results = start(threads, ahead, items, work)
        .context("cannot start the threads that read images; is the limit on processes too low?")?;
    let (mut pending, mut number) = (None, 0);
    let (mut ready, mut since) = (Vec::new(), Instant::now());
    loop {
        let wait = match ready.is_empty() {
            true => Duration::MAX,
            false => GATHER.saturating_sub(since.elapsed()),
        };
        let mut ended = false;
        match next(&results, &mut pending, wait)? {
            Poll::Pending => {}
            Poll::Ready(None) => ended = true,
            Poll::Ready(Some(result)) => {
                if ready.is_empty() {
                    since = Instant::now();
                }
                ready.push((number, result));
                number += 1;
                if ready.len() < MAX_BATCH {
                    continue;
                }
            }
        }
        if !ready.is_empty() {
            take(std::mem::take(&mut ready))?;
        }
        if ended {
            return Ok(());
        }
    }
}

/// Starts the threads. What is received are the results to come, in order.
fn start<I: Send + 'static, T: Send + 'static>(
    threads: usize,
    ahead: usize,
    items: impl Iterator<Item = I> + Send + 'static,
    work: impl Fn(I) -> T + Send + Sync + 'static,
) -> io::Result<Receiver<Receiver<T>>> {
    let (order, results) = sync_channel(ahead);
    let (jobs, todo) = channel::<Job<I, T>>();
    let (todo, work) = (Arc::new(Mutex::new(todo)), Arc::new(work));
    for started in 0..threads.max(1) {
        let (todo, work) = (Arc::clone(&todo), Arc::clone(&work));
        let spawned = thread::Builder::new().spawn(move || {
            loop {
                let job = todo.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok((item, result)) = job else { return };
                let _ = result.send(work(item));
            }
        });
        match spawned {
            Err(error) if started == 0 => return Err(error),
            Err(_) => break, // fewer do as well
            Ok(_) => {}
        }
    }
    // Not joined: it may wait for an item that never comes when `take` has failed.
    thread::Builder::new().spawn(move || {
        for item in items {
            let (result, to_come) = channel();
            if order.send(to_come).is_err() || jobs.send((item, result)).is_err() {
                return;
            }
        }
    })?;
    Ok(results)
}

/// The next result, none after the last, if it is there within about `wait`.
fn next<T>(
    results: &Receiver<Receiver<T>>,
    pending: &mut Option<Receiver<T>>,
    wait: Duration,
) -> Result<Poll<Option<T>>> {
    let to_come = match pending.take() {
        Some(to_come) => to_come,
        None => match results.recv_timeout(wait) {
            Ok(to_come) => to_come,
            Err(RecvTimeoutError::Timeout) => return Ok(Poll::Pending),
            Err(RecvTimeoutError::Disconnected) => return Ok(Poll::Ready(None)),
        },
    };
    match to_come.recv_timeout(wait) {
        Ok(result) => Ok(Poll::Ready(Some(result))),
        Err(RecvTimeoutError::Timeout) => {
            *pending = Some(to_come);
            Ok(Poll::Pending)
        }
        Err(RecvTimeoutError::Disconnected) => bail!("a thread that reads images has failed"),
    }
}

/// Answers for digits, each with its number in the stream, at most [`MAX_BATCH`] consecutive ones.
/// They depend on a digit and its number alone, to the bit, not on which others happened to be
/// ready.
pub fn classify(
    model: &dyn Classifier,
    verifier: &dyn Classifier,
    digits: &[(usize, Digit)],
) -> Result<Vec<Answer>> {
    let predictions = in_place(model, digits, |digits| model.predict(digits))?;
    let verdicts = in_place(verifier, digits, |digits| verify(verifier, digits))?;
    Ok(predictions.into_iter().zip(verdicts).map(|(one, other)| Answer::new(one, other)).collect())
}

/// What `network` makes of digits, each at the place in a batch that its number gives it: in other
/// places and batches, libtorch may add in another order.
fn in_place<T: Clone>(
    network: &dyn Classifier,
    digits: &[(usize, Digit)],
    compute: impl Fn(&[Digit]) -> Result<Vec<T>>,
) -> Result<Vec<T>> {
    if digits.is_empty() || network.is_independent_of_batch() {
        let digits: Vec<Digit> = digits.iter().map(|(_, digit)| *digit).collect();
        return compute(&digits);
    }
    let mut batch = vec![[0; PIXELS]; MAX_BATCH];
    for (number, digit) in digits {
        batch[number % MAX_BATCH] = *digit;
    }
    let found = compute(&batch)?;
    Ok(digits.iter().map(|(number, _)| found[number % MAX_BATCH].clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn results_come_in_order_and_once() {
        let mut found = Vec::new();
        let work = |item: usize| {
            thread::sleep(Duration::from_micros((item as u64 * 7919) % 500));
            item * 2
        };
        in_order(4, AHEAD, 0..2000, work, |results| {
            assert!(results.len() <= MAX_BATCH);
            found.extend(results);
            Ok(())
        })
        .unwrap();
        assert_eq!(found, (0..2000).map(|at| (at, at * 2)).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_ready_is_handed_on_while_the_next_item_has_yet_to_come() {
        let (items, to_come) = channel();
        items.send(0).unwrap();
        let mut items = Some(items);
        let mut found = Vec::new();
        in_order(
            2,
            AHEAD,
            to_come.into_iter(),
            |item| item,
            |results| {
                found.extend(results);
                // Only after the first result there is a second item, and then the end.
                if let Some(items) = items.take() {
                    items.send(1).unwrap();
                }
                Ok(())
            },
        )
        .unwrap();
        assert_eq!(found, [(0, 0), (1, 1)]);
    }

    #[test]
    fn an_error_ends_it_though_items_never_end() {
        let (items, to_come) = channel();
        items.send(0).unwrap();
        let ended = in_order(1, 1, to_come.into_iter(), |item: u8| item, |_| Err(anyhow!("full")));
        assert_eq!(ended.unwrap_err().to_string(), "full");
    }
}

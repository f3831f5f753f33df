//! The one thread that computes networks, in batches of what waits.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::{Result, anyhow};
use axum::http::StatusCode;
use mnist_image::page::Lattice;
use mnist_image::{Digit, PIXELS};
use tokio::sync::oneshot;

use super::failure::{Failure, Outcome};
use super::metrics::Metrics;
use crate::CLASSES;
use crate::network::classifier::{CLASSIFIED_AT_ONCE, Classifier};
use crate::network::verifier::Answer;
use crate::reading::stream::{MAX_BATCH, classify};
use crate::reading::{self, ReadDigit};

/// The pixels of an image, from 0 for paper to 1 for ink.
pub type Pixels = [f32; PIXELS];
/// The lines of a page, as they were found.
type Found = Vec<Vec<Lattice>>;
/// The lines of a page, as they were read.
pub type Lines = Vec<Vec<ReadDigit>>;

/// Something to compute, with which of the networks, and where the result goes.
#[derive(Debug)]
struct Task<I, O> {
    network: usize,
    input: I,
    reply: oneshot::Sender<Outcome<O>>,
}

#[derive(Debug)]
enum Job {
    Digit(Task<Box<Digit>, Answer>),
    Page(Task<Found, Lines>),
    Images(Task<Vec<Pixels>, Vec<[f32; CLASSES]>>),
    /// Nothing is to be computed any more.
    End,
}

impl Job {
    /// Whether nobody waits for the result any more.
    fn is_given_up(&self) -> bool {
        match self {
            Job::Digit(task) => task.reply.is_closed(),
            Job::Page(task) => task.reply.is_closed(),
            Job::Images(task) => task.reply.is_closed(),
            Job::End => false,
        }
    }
}

/// Asks the thread that computes.
#[derive(Clone, Debug)]
pub struct Inference(Sender<Job>);

/// What is asked of the thread that computes.
#[derive(Debug)]
pub struct Jobs(Receiver<Job>);

/// Both ends of the queue before the thread that computes. It is as long as requests are let in.
pub fn queue() -> (Inference, Jobs) {
    let (sender, receiver) = channel();
    (Inference(sender), Jobs(receiver))
}

impl Inference {
    /// The digit that an image shows.
    pub async fn digit(&self, network: usize, digit: Digit) -> Outcome<Answer> {
        self.ask(network, Box::new(digit), Job::Digit).await
    }

    /// The digits of a page.
    pub async fn page(&self, network: usize, lines: Found) -> Outcome<Lines> {
        self.ask(network, lines, Job::Page).await
    }

    /// The logits of images.
    pub async fn images(
        &self,
        network: usize,
        images: Vec<Pixels>,
    ) -> Outcome<Vec<[f32; CLASSES]>> {
        self.ask(network, images, Job::Images).await
    }

    /// Ends the thread that computes, whatever waits for it.
    pub fn end(&self) {
        let _ = self.0.send(Job::End); // it may have ended
    }

    async fn ask<I, O>(
        &self,
        network: usize,
        input: I,
        job: impl FnOnce(Task<I, O>) -> Job,
    ) -> Outcome<O> {
        let (reply, result) = oneshot::channel();
        self.0.send(job(Task { network, input, reply })).map_err(|_| Failure::ending())?;
        result.await.unwrap_or_else(|_| Err(Failure::ending()))
    }
}

impl Jobs {
    /// Computes until nobody can ask any more, or it is to end. What else waits changes no result,
    /// but with libtorch its last bits; those of an image that waits alone are the commands'.
    ///
    /// Pages take long: one at a time, between the batches of all else.
    pub fn work(
        self,
        networks: &[Box<dyn Classifier>],
        verifier: &dyn Classifier,
        metrics: &Metrics,
    ) {
        let mut pages = VecDeque::new();
        loop {
            let first = match pages.is_empty() {
                true => match self.0.recv() {
                    Ok(job) => Some(job),
                    Err(_) => return,
                },
                false => None,
            };
            let (mut digits, mut images) = (Vec::new(), Vec::new());
            let waiting = first.into_iter().chain(self.0.try_iter()).take(MAX_BATCH);
            for job in waiting.filter(|job| !job.is_given_up()) {
                match job {
                    Job::Digit(task) => digits.push(task),
                    Job::Images(task) => images.push(task),
                    Job::Page(task) => pages.push_back(task),
                    Job::End => return,
                }
            }
            for (number, network) in networks.iter().enumerate() {
                let digits: Vec<_> = digits.extract_if(.., |task| task.network == number).collect();
                if !digits.is_empty() {
                    metrics.batch(digits.len());
                    classify_all(&**network, verifier, digits);
                }
                let images = images.extract_if(.., |task| task.network == number);
                logits_of_all(&**network, images.collect(), metrics);
            }
            pages.retain(|page| !page.reply.is_closed());
            if let Some(Task { network, input, reply }) = pages.pop_front() {
                metrics.batch(input.iter().flatten().map(|found| found.candidates.len()).sum());
                let network = &*networks[network];
                let _ = reply.send(contained(|| reading::read_lines(network, verifier, &input)));
            }
        }
    }
}

/// Classifies digits together.
fn classify_all(
    network: &dyn Classifier,
    verifier: &dyn Classifier,
    tasks: Vec<Task<Box<Digit>, Answer>>,
) {
    let (digits, replies): (Vec<_>, Vec<_>) =
        tasks.into_iter().map(|task| (*task.input, task.reply)).unzip();
    let digits: Vec<_> = digits.into_iter().enumerate().collect();
    match contained(|| classify(network, verifier, &digits)) {
        Ok(answers) => replies.into_iter().zip(answers).for_each(|(reply, answer)| {
            let _ = reply.send(Ok(answer));
        }),
        Err(failure) => replies.into_iter().for_each(|reply| {
            let _ = reply.send(Err(failure.clone()));
        }),
    }
}

/// Computes the logits of images, those of several requests together as long as they are few.
fn logits_of_all(
    network: &dyn Classifier,
    tasks: Vec<Task<Vec<Pixels>, Vec<[f32; CLASSES]>>>,
    metrics: &Metrics,
) {
    let mut tasks = tasks.into_iter().filter(|task| !task.reply.is_closed()).peekable();
    while let Some(Task { input: mut images, reply, .. }) = tasks.next() {
        let mut replies = vec![(reply, images.len())];
        while let Some(next) =
            tasks.next_if(|next| images.len() + next.input.len() <= CLASSIFIED_AT_ONCE)
        {
            images.extend(&next.input);
            replies.push((next.reply, next.input.len()));
        }
        metrics.batch(images.len());
        let parts = images.chunks(CLASSIFIED_AT_ONCE).map(|part| network.logits_of_values(part));
        let computed = contained(|| Ok(parts.collect::<Result<Vec<_>>>()?.concat()));
        let mut rows = computed.as_deref().unwrap_or_default();
        for (reply, count) in replies {
            let own;
            (own, rows) = rows.split_at(count.min(rows.len()));
            let _ = reply.send(computed.as_ref().map(|_| own.to_vec()).map_err(Clone::clone));
        }
    }
}

/// Does `work`. An error or a panic in it costs those who wait for it, nobody else.
fn contained<T>(work: impl FnOnce() -> Result<T>) -> Outcome<T> {
    let done = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(anyhow!("it failed")));
    done.map_err(|error| {
        let error = error.context("the network cannot be computed");
        Failure::of(StatusCode::INTERNAL_SERVER_ERROR, &error)
    })
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;
    use std::sync::Mutex;
    use std::thread;

    use image::GrayImage;

    use super::*;
    use crate::network::plain::Plain;
    use crate::weights;

    /// Remembers how many digits were computed at a time, does the first time what is to happen
    /// meanwhile, and panics at digits of full ink.
    #[derive(Debug)]
    struct Watched(Plain, Mutex<Vec<usize>>, Mutex<Meanwhile>);

    /// What is given up while something is computed, and what is asked.
    #[derive(Debug, Default)]
    struct Meanwhile(Vec<oneshot::Receiver<Outcome<Lines>>>, Vec<(Sender<Job>, Job)>);

    impl Classifier for Watched {
        fn logits(&self, digits: &[Digit]) -> Result<Vec<[f32; CLASSES]>> {
            self.1.lock().unwrap().push(digits.len());
            let Meanwhile(given_up, asked) = std::mem::take(&mut *self.2.lock().unwrap());
            drop(given_up);
            asked.into_iter().for_each(|(queue, job)| queue.send(job).unwrap());
            assert!(!digits.contains(&[255; PIXELS]), "as a bug would");
            self.0.logits(digits)
        }

        fn logits_of_values(&self, images: &[Pixels]) -> Result<Vec<[f32; CLASSES]>> {
            self.1.lock().unwrap().push(images.len());
            self.0.logits_of_values(images)
        }

        fn is_independent_of_batch(&self) -> bool {
            true
        }
    }

    fn released() -> Plain {
        Plain::new(weights::released().unwrap(), NonZero::<usize>::MIN)
    }

    /// The runtime, the end of the queue that asks, and what the thread that computes has done
    /// once that end is dropped.
    fn run(ask: impl AsyncFnOnce(Inference)) -> Vec<usize> {
        let (inference, jobs) = queue();
        let worker = thread::spawn(move || {
            let networks: [Box<dyn Classifier>; 1] =
                [Box::new(Watched(released(), Mutex::default(), Mutex::default()))];
            let verifier = Watched(released(), Mutex::default(), Mutex::default());
            jobs.work(&networks, &verifier, &Metrics::default());
            verifier.1.into_inner().unwrap()
        });
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(ask(inference));
        worker.join().unwrap()
    }

    #[test]
    fn a_request_that_was_given_up_is_not_computed() {
        let computed = run(async |inference| {
            // All of them are there before the thread starts to look, or soon after.
            for _ in 0..3 {
                let (reply, given_up) = oneshot::channel();
                drop(given_up);
                inference
                    .0
                    .send(Job::Digit(Task { network: 0, input: Box::new([9; PIXELS]), reply }))
                    .unwrap();
            }
            inference.digit(0, [7; PIXELS]).await.unwrap();
        });
        assert_eq!(computed, [1]);
    }

    /// A page with so many strokes side by side.
    fn page(strokes: u32) -> Found {
        let paper = GrayImage::from_fn(40 * strokes + 40, 100, |x, y| {
            let is_ink = x % 40 < 5 && x > 30 && (30..70).contains(&y);
            image::Luma([if is_ink { 40 } else { 230 }])
        });
        mnist_image::page::find(&paper)
    }

    #[test]
    fn pages_let_digits_by_and_those_given_up_meanwhile_are_not_computed() {
        let (Inference(queue), jobs) = queue();
        let ask = |strokes| {
            let (reply, result) = oneshot::channel();
            (Job::Page(Task { network: 0, input: page(strokes), reply }), result)
        };
        let [(first, _result), (second, given_up), (third, mut last)] = [2, 3, 4].map(ask);
        for job in [first, second, third] {
            queue.send(job).unwrap();
        }
        let (reply, _digit) = oneshot::channel();
        let digit = Job::Digit(Task { network: 0, input: Box::new([7; PIXELS]), reply });
        let meanwhile = Meanwhile(vec![given_up], vec![(queue, digit)]);
        let verifier = Watched(released(), Mutex::default(), Mutex::new(meanwhile));
        jobs.work(&[Box::new(released())], &verifier, &Metrics::default());
        assert_eq!(*verifier.1.lock().unwrap(), [2, 1, 4]);
        assert_eq!(last.try_recv().unwrap().unwrap()[0].len(), 4);
    }

    #[test]
    fn the_end_does_not_wait_for_those_who_could_still_ask() {
        let (inference, jobs) = queue();
        let (reply, mut result) = oneshot::channel();
        inference.end();
        inference.0.send(Job::Page(Task { network: 0, input: page(2), reply })).unwrap();
        jobs.work(&[Box::new(released())], &released(), &Metrics::default());
        assert!(result.try_recv().is_err());
    }

    #[test]
    fn a_panic_costs_what_is_computed_with_it_and_nothing_after() {
        run(async |inference| {
            let failed = inference.digit(0, [255; PIXELS]).await.unwrap_err();
            let text = format!("{failed:?}");
            assert!(text.contains("The network cannot be computed: it failed."), "{text}");
            inference.digit(0, [7; PIXELS]).await.unwrap();
        });
    }

    #[test]
    fn images_of_many_requests_are_computed_together_and_handed_out_apart() {
        let image = |value: usize| [value as f32 / 3000.; PIXELS];
        let (inference, jobs) = queue();
        let counts = [1, 3, 0, 1200, 900, 2];
        let mut results = Vec::new();
        let mut number = 0;
        for count in counts {
            let images = (0..count).map(|at| image(number + at)).collect();
            number += count;
            let (reply, result) = oneshot::channel();
            inference.0.send(Job::Images(Task { network: 0, input: images, reply })).unwrap();
            results.push(result);
        }
        drop(inference);
        let networks: [Box<dyn Classifier>; 1] = [Box::new(released())];
        jobs.work(&networks, &released(), &Metrics::default());
        let found: Vec<_> =
            results.into_iter().map(|mut result| result.try_recv().unwrap().unwrap()).collect();
        assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), counts);
        let all: Vec<_> = (0..number).map(image).collect();
        assert_eq!(found.concat(), released().logits_of_values(&all).unwrap());
    }
}

//! How large images may be, and how much memory they take that are decoded at the same time.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::MAX_PIXELS;
use crate::{Error, Result};

/// Bytes of a [`Budget`] unless set otherwise: four photographs of 12 megapixels at a time.
const DEFAULT_BYTES: u64 = 300_000_000;
/// How long a reservation waits while nothing is given back. Any image is decoded sooner.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes that images may take while they are decoded and read, shared by threads, so that memory
/// does not depend on how many threads there are.
///
/// An image larger than the whole budget is decoded alone, unless it has too many pixels. A
/// reservation waits for others to be dropped, but not forever.
#[derive(Debug)]
pub struct Budget {
    bytes: u64,
    /// The most pixels of one image.
    pixels: u64,
    patience: Duration,
    held: Mutex<u64>,
    released: Condvar,
}

/// Bytes held of a [`Budget`]; dropped, it gives them back.
#[derive(Debug)]
#[must_use]
pub struct Reservation<'b> {
    budget: &'b Budget,
    bytes: u64,
}

impl Default for Budget {
    /// One of 300 MB.
    fn default() -> Self {
        Self::new(DEFAULT_BYTES)
    }
}

impl Budget {
    /// One of this many bytes.
    pub fn new(bytes: u64) -> Self {
        let (held, released) = (Mutex::new(0), Condvar::new());
        Self { bytes, pixels: MAX_PIXELS, patience: PATIENCE, held, released }
    }

    /// The same, but images of more than this many pixels are refused; never of more than
    /// [`MAX_PIXELS`].
    #[must_use]
    pub fn with_most_pixels(self, pixels: u64) -> Self {
        Self { pixels: pixels.min(MAX_PIXELS), ..self }
    }

    /// The same, but a reservation waits this long while nothing is given back.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The number of pixels of an image of this size, if they are not too many.
    pub(super) fn check_size(&self, (width, height): (u32, u32)) -> Result<u64> {
        match u64::from(width) * u64::from(height) {
            0 => Err(Error::NoPixels),
            pixels if pixels > self.pixels => {
                Err(Error::TooManyPixels { width, height, most: self.pixels })
            }
            pixels => Ok(pixels),
        }
    }

    /// Takes this many bytes as soon as they are free, or all that there are as soon as nothing is
    /// held.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfBudget`] if nothing is given back for a minute, or as long as it is to wait.
    pub fn reserve(&self, bytes: u64) -> Result<Reservation<'_>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        while *held > 0 && held.saturating_add(bytes) > self.bytes {
            let before = *held;
            let (now, wait) = self
                .released
                .wait_timeout(held, self.patience)
                .unwrap_or_else(PoisonError::into_inner);
            held = now;
            if wait.timed_out() && *held >= before {
                return Err(Error::OutOfBudget);
            }
        }
        *held = held.saturating_add(bytes);
        Ok(Reservation { budget: self, bytes })
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        *self.budget.held.lock().unwrap_or_else(PoisonError::into_inner) -= self.bytes;
        self.budget.released.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn never_more_than_the_budget_is_held() {
        let budget = Budget::new(10);
        let (now, most) = (AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let _held = budget.reserve(4).unwrap();
                        most.fetch_max(now.fetch_add(4, Ordering::SeqCst) + 4, Ordering::SeqCst);
                        thread::yield_now();
                        now.fetch_sub(4, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(*budget.held.lock().unwrap(), 0);
        assert!(most.into_inner() <= 8);
    }

    #[test]
    fn an_image_may_be_as_large_as_the_budget_says_and_never_larger_than_all_may() {
        let budget = Budget::new(0).with_most_pixels(100);
        assert_eq!(budget.check_size((10, 10)).unwrap(), 100);
        let refused = budget.check_size((101, 1)).unwrap_err().to_string();
        assert!(refused.contains("more than the 100 supported"), "{refused}");
        let all = Budget::new(0).with_most_pixels(u64::MAX);
        assert!(all.check_size((MAX_PIXELS as u32, 1)).is_ok());
        assert!(all.check_size((MAX_PIXELS as u32 + 1, 1)).is_err());
    }

    #[test]
    fn what_is_larger_than_the_budget_goes_alone() {
        let budget = Budget::new(10);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let _held = budget.reserve(u64::MAX).unwrap();
                    assert_eq!(*budget.held.lock().unwrap(), u64::MAX);
                });
            }
        });
    }

    #[test]
    fn a_holder_that_never_lets_go_is_not_waited_for() {
        let budget = Budget::new(10).with_patience(Duration::from_millis(10));
        let held = budget.reserve(7).unwrap();
        assert!(matches!(budget.reserve(4), Err(Error::OutOfBudget)));
        let _small = budget.reserve(3).unwrap();
        drop(held);
        let _large = budget.reserve(7).unwrap();
    }

    #[test]
    fn a_panic_gives_back_what_it_held() {
        let budget = Budget::new(10);
        let _ = thread::scope(|scope| {
            scope
                .spawn(|| {
                    let _held = budget.reserve(10).unwrap();
                    panic!("as decoders do");
                })
                .join()
        });
        assert_eq!(*budget.held.lock().unwrap(), 0);
    }
}

//! How much is decoded at a time.

use std::sync::{Condvar, Mutex, PoisonError};

use super::MAX_PIXELS;

/// Of what all threads have at work: no more than `MAX_PIXELS`, so that memory does not depend on how
/// many threads there are.
pub(super) struct InWork(Mutex<u64>, Condvar);

/// Pixels that [`read`] has decoded.
pub(super) static DECODED: InWork = InWork(Mutex::new(0), Condvar::new());
/// Bytes of JPEGs, which are held while they are decoded; whoever waits for these holds no pixels.
pub(super) static BYTES: InWork = InWork(Mutex::new(0), Condvar::new());

pub struct Reserved(&'static InWork, u64);

impl InWork {
    /// Waits until there is room for so much more.
    pub(super) fn reserve(&'static self, amount: u64) -> Reserved {
        let in_work = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |in_work: &mut u64| *in_work + amount > MAX_PIXELS;
        let mut in_work = self.1.wait_while(in_work, full).unwrap_or_else(PoisonError::into_inner);
        *in_work += amount;
        Reserved(self, amount)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) -= self.1;
        self.0.1.notify_all();
    }
}

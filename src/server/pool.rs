//! Work that takes a while, as decoding images, on the threads that are there for it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use super::failure::{Failure, Outcome};

/// Does `work` on one of the threads for it, unless nobody waits for it any more when it is its
/// turn. A panic in it costs this request.
pub async fn on_pool<T: Send + 'static>(
    work: impl FnOnce() -> Outcome<T> + Send + 'static,
) -> Outcome<T> {
    let (reply, result) = oneshot::channel();
    spawn_blocking(move || {
        if reply.is_closed() {
            return;
        }
        let done = catch_unwind(AssertUnwindSafe(work));
        let _ = reply.send(done.unwrap_or_else(|_| Err(Failure::bug())));
    });
    result.await.unwrap_or_else(|_| Err(Failure::ending()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::channel;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap()
    }

    #[test]
    fn a_panic_costs_one_request() {
        runtime().block_on(async {
            let failed = on_pool::<()>(|| panic!("as a bug would")).await.unwrap_err();
            let text = format!("{failed:?}");
            assert!(text.contains("500") && text.contains("a bug in the server"), "{text}");
            assert_eq!(on_pool(|| Ok(7)).await.unwrap(), 7);
        });
    }

    #[test]
    fn what_was_given_up_is_not_done() {
        let (gate, opened) = channel();
        let done = Arc::new(AtomicBool::new(false));
        let runtime = runtime();
        runtime.block_on(async {
            let first = tokio::task::spawn_blocking(move || opened.recv());
            let also_done = Arc::clone(&done);
            let work = on_pool(move || {
                also_done.store(true, Ordering::Relaxed);
                Ok(())
            });
            // Is asked once, waits for the thread, and is given up.
            tokio::select! {
                biased;
                _ = work => panic!("the thread is not free"),
                () = std::future::ready(()) => {}
            }
            gate.send(()).unwrap();
            first.await.unwrap().unwrap();
            on_pool(|| Ok(())).await.unwrap();
        });
        assert!(!done.load(Ordering::Relaxed));
    }
}

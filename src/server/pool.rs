//! Work that takes a while, as decoding images, on the threads that are there for it.

use std::convert::identity;

use axum::http::StatusCode;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use super::failure::{Failure, Outcome};
use crate::files::input;

/// Does `work` on one of the threads for it, unless nobody waits for it any more when it is its
/// turn. A panic in it, as of a decoder, is a failure of this request.
pub async fn on_pool<T: Send + 'static>(
    work: impl FnOnce() -> Outcome<T> + Send + 'static,
) -> Outcome<T> {
    let (reply, result) = oneshot::channel();
    spawn_blocking(move || {
        if reply.is_closed() {
            return;
        }
        let done = input::contained(|| Ok(work())).map_err(|error| {
            let error = error.context("cannot read the image");
            Failure::of(StatusCode::UNPROCESSABLE_ENTITY, &error)
        });
        let _ = reply.send(done.and_then(identity));
    });
    result.await.unwrap_or_else(|_| Err(Failure::internal("The server is ending.")))
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
            let failed = on_pool::<()>(|| panic!("as decoders do")).await.unwrap_err();
            let text = format!("{failed:?}");
            assert!(
                text.contains("422") && text.contains("Cannot read the image: its reader failed"),
                "{text}"
            );
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

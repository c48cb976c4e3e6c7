//! Guards against calls that may hang or panic.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Once;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use crate::store::error::StoreError;

/// How long a call may take: a thousand times as long as it does take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a call in its own thread, for as long as our patience lasts. A call that hangs keeps
/// its thread until the process ends.
pub(super) fn in_thread<T: Send + 'static>(
    action: &'static str,
    path: &Path,
    call: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    let (sender, receiver) = sync_channel(1);
    let thread = thread::Builder::new()
        .name(format!("berth-{action}"))
        .spawn(move || {
            // The receiver is gone only if we have lost patience.
            let _ = sender.send(quietly(call));
        })
        .map_err(|source| StoreError::io("start a thread for", path, source))?;
    match receiver.recv_timeout(PATIENCE) {
        Ok(result) => Ok(result),
        Err(RecvTimeoutError::Timeout) => Err(StoreError::Hung {
            action,
            path: path.to_owned(),
            wait: PATIENCE,
        }),
        Err(RecvTimeoutError::Disconnected) => Err(StoreError::Panicked {
            action,
            path: path.to_owned(),
            message: thread
                .join()
                .err()
                .map_or_else(String::new, |panic| message(&*panic)),
        }),
    }
}

/// Runs a call that returns soon, and turns a panic into an error.
pub(super) fn caught<T>(
    action: &'static str,
    path: &Path,
    call: impl FnOnce() -> T,
) -> Result<T, StoreError> {
    let result = catch_unwind(AssertUnwindSafe(|| quietly(call)));
    IS_CAUGHT.set(false);
    result.map_err(|panic| StoreError::Panicked {
        action,
        path: path.to_owned(),
        message: message(&*panic),
    })
}

thread_local! {
    /// Whether a panic of this thread becomes an error.
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Runs a call whose panic is caught, so the runtime need not report it as well.
fn quietly<T>(call: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if IS_CAUGHT.get() {
                log::debug!("{panic}");
            } else {
                others(panic);
            }
        }));
    });
    IS_CAUGHT.set(true);
    let result = call();
    IS_CAUGHT.set(false);
    result
}

/// Returns a panic's message as one line.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

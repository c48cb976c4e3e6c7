//! Calls that may hang or panic, made safe.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use crate::store::error::StoreError;

/// How long a call may take: a thousand times what it does take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a call in a thread of its own, for as long as our patience lasts. A call
/// that hangs keeps its thread until the process ends.
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
            let _ = sender.send(call());
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

/// Runs a call that returns soon, and makes an error of its panic.
pub(super) fn caught<T>(
    action: &'static str,
    path: &Path,
    call: impl FnOnce() -> T,
) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| StoreError::Panicked {
        action,
        path: path.to_owned(),
        message: message(&*panic),
    })
}

/// Returns a panic's message in one line.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

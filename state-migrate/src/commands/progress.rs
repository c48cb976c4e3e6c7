//! Shows a sign of life to a user who waits at a terminal.

use std::io::{self, IsTerminal};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use berth::text;
use indicatif::{ProgressBar, ProgressStyle};

/// Work that takes less than this needs no sign of life.
const PATIENCE: Duration = Duration::from_secs(1);

/// Does some work. If the work takes more than a second and standard error is a terminal, this
/// shows there what is being done and for how long, until it is done.
pub(super) fn watched<T>(what: &str, work: impl FnOnce() -> T) -> T {
    if !io::stderr().is_terminal() {
        return work();
    }
    let (done, is_done) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            // The other end is dropped when the work is done or has panicked.
            if is_done.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                let spinner = ProgressBar::new_spinner();
                if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
                    spinner.set_style(style);
                }
                spinner.set_message(text::lines(what));
                spinner.enable_steady_tick(Duration::from_millis(100));
                let _ = is_done.recv();
                spinner.finish_and_clear();
            }
        });
        let result = work();
        drop(done);
        result
    })
}

/// Looks at the file and at what may be alive: see [`watched`].
pub(super) fn looking<T>(work: impl FnOnce() -> T) -> T {
    watched("looking for the containers of all leases", work)
}

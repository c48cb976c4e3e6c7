//! Containers that serve a page, and checks that it is served.

use std::time::Duration;

use crate::{Lab, podman::Run, wait_until};

const BOUND: Duration = Duration::from_secs(20);

/// Serves [`PAGE`] on port 80.
pub const HTTPD: [&str; 6] = ["httpd", "-f", "-p", "80", "-h", "/www"];

/// The page that is in every lab's image.
pub const PAGE: &str = "hello from the lab";

impl Run<'_> {
    /// Makes it serve [`PAGE`] on port 80, instead of sleeping for ever.
    pub fn serving(self) -> Self {
        self.command(&HTTPD)
    }
}

impl Lab {
    /// Asserts that the host gets the page from a URL, once the server listens.
    ///
    /// # Panics
    /// If it does not within a bound.
    #[track_caller]
    pub fn assert_served(&self, url: &str) {
        wait_until(&format!("the page from {url}"), BOUND, || {
            self.serves(url).then_some(())
        });
    }

    /// Asserts that a container gets the page from a URL, once the server listens.
    ///
    /// # Panics
    /// If it does not within a bound.
    #[track_caller]
    pub fn assert_served_to(&self, container: &str, url: &str) {
        wait_until(&format!("{container} to get {url}"), BOUND, || {
            let wget = ["exec", container, "wget", "-q", "-T", "2", "-O", "-", url];
            (self.podman(wget).run().stdout.trim_end() == PAGE).then_some(())
        });
    }

    /// Returns whether the host gets the page from a URL at once.
    #[track_caller]
    pub fn serves(&self, url: &str) -> bool {
        let curl = self.cmd("curl").args(["-sS", "--max-time", "3", url]);
        curl.run().stdout.trim_end() == PAGE
    }
}

//! Pings while something happens, and counts how many packets are lost.

use crate::{Lab, wait_until};
use std::time::Duration;

const OVER: &str = "/run/pings-over";
const BEGUN: &str = "/run/pings-begun";
const BOUND: Duration = Duration::from_secs(10);

/// Pings a hundred times a second until it is told to end, and prints the summary.
const SCRIPT: &str = r#"
"$@" &
ping=$!
touch "$0"
until [ -e /run/pings-over ]; do sleep 0.02; done
kill -INT $ping
wait $ping || true"#;

impl Lab {
    /// Pings addresses, each from the host or from within a container, while `act` runs.
    /// Returns what `act` returns, and how many packets were lost.
    ///
    /// # Panics
    /// If hardly any packet was sent.
    #[track_caller]
    pub fn pinged<T>(&self, pings: &[(Option<&str>, &str)], act: impl FnOnce() -> T) -> (T, usize) {
        self.sh(&format!("rm -f {OVER} {BEGUN}-*"));
        let mut running = Vec::new();
        for (number, (from, address)) in pings.iter().enumerate() {
            let begun = format!("{BEGUN}-{number}");
            let enter = match from {
                Some(container) => {
                    let pid = self.pid(container);
                    vec!["nsenter".to_owned(), format!("--net=/proc/{pid}/ns/net")]
                }
                None => Vec::new(),
            };
            let ping = ["ping", "-q", "-i", "0.01", address];
            let bash = self.cmd("bash").args(["-uc", SCRIPT, &begun]);
            running.push(bash.args(enter).args(ping).spawn());
            wait_until("the pings to begin", BOUND, || {
                self.names("/run")
                    .contains(&begun["/run/".len()..].to_owned())
                    .then_some(())
            });
        }
        let done = act();
        self.sh(&format!("touch {OVER}"));
        let mut lost = 0;
        for ping in running {
            let outcome = ping.wait();
            let (sent, received) = counts(&outcome.stdout)
                .unwrap_or_else(|| panic!("ping has not said how it went:\n{outcome}"));
            assert!(sent > 5, "hardly any packet was sent:\n{outcome}");
            // The last packet may still be under way at the end.
            lost += (sent - received).saturating_sub(1);
        }
        (done, lost)
    }
}

/// Reads `300 packets transmitted, 299 received, …`.
fn counts(text: &str) -> Option<(usize, usize)> {
    let line = text.lines().find(|line| line.contains(" transmitted, "))?;
    let mut numbers = line.split(", ").filter_map(|part| {
        let (number, _) = part.trim().split_once(' ')?;
        number.parse().ok()
    });
    Some((numbers.next()?, numbers.next()?))
}

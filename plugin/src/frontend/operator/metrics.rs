//! `berth metrics`: numbers for Prometheus, in its text format (version 0.0.4).

use std::fmt::{self, Write as _};
use std::io;
use std::path::PathBuf;

use clap::Args;

use super::{Failure, Place};
use crate::frontend::{complain, say};
use crate::podman::Staged;
use crate::rules::history::{BOUNDS_MS, End, Tally, Work};
use crate::upkeep::metrics::{self, Present};
use crate::upkeep::overview::Asked;

const AFTER: &str = "\
The counters (…_total, and the histogram) come from the history, which outlives restarts and
reboots; they begin again if its file is removed. The numbers about collections appear
after the first collection since boot.

Alert rules and a dashboard for Grafana are in berth's docs/monitoring.

Examples:
  berth metrics
  berth metrics --output /var/lib/prometheus/node-exporter/berth.prom";

/// Arguments of `berth metrics`.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct Metrics {
    /// Write them into this file, all at once: a reader sees either the old ones or the
    /// new
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// Prints the numbers, or writes them into a file.
///
/// # Errors
/// If the store cannot be read: the other numbers are still there, and `berth_up` is 0.
/// If the file cannot be written: then it is unchanged.
pub(super) fn run(arguments: &Metrics) -> Result<(), Failure> {
    let metrics = metrics::Metrics::take(&arguments.place.podman()?);
    let text = text(&metrics);
    match &arguments.output {
        Some(file) => Staged::new(file, text.as_bytes(), None)?.put()?,
        None => say(&mut io::stdout().lock(), text.trim_end())?,
    }
    match &metrics.present {
        Ok(_) => Ok(()),
        Err(error) => {
            complain(&crate::chain(error));
            Err(Failure::Reported)
        }
    }
}

/// Returns the numbers as Prometheus reads them.
fn text(metrics: &metrics::Metrics) -> String {
    let mut text = Exposition::default();
    text.family("up", "gauge", "Whether berth can read its lease store.");
    text.sample(&[], u8::from(metrics.present.is_ok()));
    if let Ok(present) = &metrics.present {
        now(&mut text, present);
    }
    ever(&mut text, &metrics.tally);
    text.text
}

fn now(text: &mut Exposition, present: &Present) {
    text.family(
        "leases",
        "gauge",
        "Leased addresses, by the present state of their holders.",
    );
    for ((network, state), count) in &present.leases {
        text.sample(&[("network", network), ("state", state.as_str())], count);
    }
    text.family(
        "pool_addresses",
        "gauge",
        "Addresses that a container may get without asking for one.",
    );
    for pool in &present.pools {
        let subnet = pool.subnet.to_string();
        let labels = [("network", pool.network.as_str()), ("subnet", &subnet)];
        text.sample(&labels, pool.leasable);
    }
    text.family(
        "pool_free_addresses",
        "gauge",
        "Addresses that the next container may get.",
    );
    for pool in &present.pools {
        let subnet = pool.subnet.to_string();
        let labels = [("network", pool.network.as_str()), ("subnet", &subnet)];
        text.sample(&labels, pool.free);
    }
    text.family(
        "oldest_dead_lease_seconds",
        "gauge",
        "How long ago the holder of the oldest dead lease was last noted to be alive, which berth \
         notes every quarter of ipam_ttl; 0 if no lease is dead.",
    );
    let oldest = present.oldest_dead.unwrap_or_default();
    text.sample(&[], oldest.as_secs_f64());
    if !present.shares.is_empty() {
        shares(text, &present.shares);
    }
    let Some(last) = &present.collection else {
        return;
    };
    text.family(
        "last_collection_timestamp_seconds",
        "gauge",
        "When the last collection ended.",
    );
    text.sample(&[], seconds(last.at.wall_ms));
    text.family(
        "last_collection_duration_seconds",
        "gauge",
        "How long the last collection took, waits included.",
    );
    text.sample(&[], seconds(last.took_ms));
    text.family(
        "last_collection_success",
        "gauge",
        "Whether the last collection could do everything it had to do.",
    );
    text.sample(&[], u8::from(last.failures.is_empty()));
}

fn shares(text: &mut Exposition, shares: &[Asked]) {
    text.family(
        "share_up",
        "gauge",
        "Whether etcd answers for a share; without it, no container starts on its networks.",
    );
    for share in shares {
        text.sample(&[("share", &share.name)], u8::from(share.size.is_some()));
    }
    let known = || shares.iter().filter_map(|share| Some((share, share.size?)));
    text.family("share_hosts", "gauge", "Hosts that take part in a share.");
    for (share, (hosts, _)) in known() {
        text.sample(&[("share", &share.name)], hosts);
    }
    text.family(
        "share_addresses",
        "gauge",
        "Addresses that all hosts of a share have together.",
    );
    for (share, (_, addresses)) in known() {
        text.sample(&[("share", &share.name)], addresses);
    }
}

fn ever(text: &mut Exposition, tally: &Tally) {
    text.family(
        "leases_ended_total",
        "counter",
        "Leases that have ended, by how: released, reclaimed from the dead, …",
    );
    for end in End::ALL {
        let count = tally.ends.get(&end).copied().unwrap_or_default();
        text.sample(&[("end", end.as_str())], count);
    }
    text.family("errors_total", "counter", "Failures, by what failed.");
    for work in Work::ALL {
        let count = tally.failures.get(&work).copied().unwrap_or_default();
        text.sample(&[("operation", work.as_str())], count);
    }
    text.family(
        "setup_duration_seconds",
        "histogram",
        "How long it took to give a container its network, netavark's work included.",
    );
    let mut count = 0_u64;
    for bound in BOUNDS_MS {
        count += tally.setups.get(&bound).copied().unwrap_or_default();
        let bound = seconds(bound).to_string();
        text.part("_bucket", &[("le", &bound)], count);
    }
    let all = tally.setups.values().sum::<u64>();
    text.part("_bucket", &[("le", "+Inf")], all);
    text.part("_sum", &[], seconds(tally.setups_ms));
    text.part("_count", &[], all);
}

#[allow(
    clippy::cast_precision_loss,
    reason = "Prometheus has no other numbers"
)]
fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1000.0
}

/// The text written so far.
#[derive(Default)]
struct Exposition {
    text: String,
    /// The family that the next samples belong to.
    name: String,
}

impl Exposition {
    /// Begins a family of samples.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.name = format!("berth_{name}");
        let name = &self.name;
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, labels: &[(&str, &str)], value: impl fmt::Display) {
        self.part("", labels, value);
    }

    fn part(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl fmt::Display) {
        let labels: Vec<_> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        let labels = match labels.is_empty() {
            true => String::new(),
            false => format!("{{{}}}", labels.join(",")),
        };
        let _ = writeln!(self.text, "{}{suffix}{labels} {value}", self.name);
    }
}

/// Returns a label's value, escaped to stand between quotation marks.
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::rules::lease::Moment;
    use crate::store::Collection;
    use crate::upkeep::NoNetwork;
    use crate::upkeep::metrics::Pool;
    use crate::upkeep::overview::State;

    #[test]
    fn numbers_are_as_prometheus_reads_them() {
        let at = Moment {
            wall_ms: 1_700_000_000_500,
            boot_ms: 0,
        };
        let present = Present {
            leases: BTreeMap::from([(("a\"b\\c\nd".to_owned(), State::Dead), 2)]),
            pools: vec![Pool {
                network: "web".to_owned(),
                subnet: "10.0.0.0/24".parse().expect("a subnet"),
                leasable: 253,
                free: u64::MAX,
            }],
            oldest_dead: Some(Duration::from_millis(1500)),
            collection: Some(Collection {
                at,
                took_ms: 2010,
                reclaimed: 1,
                cleared: 0,
                failures: vec!["why".to_owned()],
                empty: Vec::new(),
            }),
            shares: vec![
                Asked {
                    name: "lan".to_owned(),
                    size: Some((3, 7)),
                },
                Asked {
                    name: "wan".to_owned(),
                    size: None,
                },
            ],
        };
        let tally = Tally {
            setups: BTreeMap::from([(50, 1), (150, 2), (u64::MAX, 1)]),
            setups_ms: 60_300,
            ends: BTreeMap::from([(End::Reclaimed, 7)]),
            failures: BTreeMap::from([(Work::Setup, 3)]),
            ..Tally::default()
        };
        let text = text(&metrics::Metrics {
            present: Ok(present),
            tally,
        });
        let samples: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                "berth_up 1",
                "berth_leases{network=\"a\\\"b\\\\c\\nd\",state=\"dead\"} 2",
                "berth_pool_addresses{network=\"web\",subnet=\"10.0.0.0/24\"} 253",
                "berth_pool_free_addresses{network=\"web\",subnet=\"10.0.0.0/24\"} 18446744073709551615",
                "berth_oldest_dead_lease_seconds 1.5",
                "berth_share_up{share=\"lan\"} 1",
                "berth_share_up{share=\"wan\"} 0",
                "berth_share_hosts{share=\"lan\"} 3",
                "berth_share_addresses{share=\"lan\"} 7",
                "berth_last_collection_timestamp_seconds 1700000000.5",
                "berth_last_collection_duration_seconds 2.01",
                "berth_last_collection_success 0",
                "berth_leases_ended_total{end=\"released\"} 0",
                "berth_leases_ended_total{end=\"reclaimed\"} 7",
                "berth_leases_ended_total{end=\"forced\"} 0",
                "berth_leases_ended_total{end=\"undone\"} 0",
                "berth_leases_ended_total{end=\"moved\"} 0",
                "berth_errors_total{operation=\"setup\"} 3",
                "berth_errors_total{operation=\"teardown\"} 0",
                "berth_errors_total{operation=\"collection\"} 0",
                "berth_setup_duration_seconds_bucket{le=\"0.05\"} 1",
                "berth_setup_duration_seconds_bucket{le=\"0.075\"} 1",
                "berth_setup_duration_seconds_bucket{le=\"0.1\"} 1",
                "berth_setup_duration_seconds_bucket{le=\"0.15\"} 3",
                "berth_setup_duration_seconds_bucket{le=\"0.25\"} 3",
                "berth_setup_duration_seconds_bucket{le=\"0.5\"} 3",
                "berth_setup_duration_seconds_bucket{le=\"1\"} 3",
                "berth_setup_duration_seconds_bucket{le=\"2.5\"} 3",
                "berth_setup_duration_seconds_bucket{le=\"5\"} 3",
                "berth_setup_duration_seconds_bucket{le=\"10\"} 3",
                "berth_setup_duration_seconds_bucket{le=\"30\"} 3",
                "berth_setup_duration_seconds_bucket{le=\"+Inf\"} 4",
                "berth_setup_duration_seconds_sum 60.3",
                "berth_setup_duration_seconds_count 4",
            ]
        );
    }

    #[test]
    fn a_store_that_cannot_be_read_is_a_number_too() {
        let text = text(&metrics::Metrics {
            present: Err(NoNetwork(String::new()).into()),
            tally: Tally::default(),
        });
        assert!(text.contains("\nberth_up 0\n"), "{text}");
        assert!(!text.contains("berth_leases{"), "{text}");
        assert!(text.contains("\nberth_setup_duration_seconds_count 0\n"));
    }
}

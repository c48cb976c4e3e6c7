//! What adoption and rollback report, for people and as JSON.

use std::fmt;
use std::net::IpAddr;

use berth::rules::lease::{Kind, short_id};
use berth::rules::options::Plumbing;
use serde::Serialize;

/// The report on all networks.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct MoveReport {
    /// Whether the report only says what would be done.
    pub(crate) dry_run: bool,
    /// Each network that was named, or all.
    pub(crate) networks: Vec<NetworkReport>,
}

/// What became of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Planned,
    Done,
    Already,
    /// The command does not apply to this network.
    Skipped,
    /// It was refused: nothing is changed.
    Refused,
    /// It failed: nothing is changed, unless the reason says otherwise.
    Failed,
}

/// The report on one network.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct NetworkReport {
    pub(crate) network: String,
    pub(crate) id: String,
    /// The netavark driver that does the network's plumbing.
    pub(crate) driver: String,
    pub(crate) outcome: Outcome,
    /// The containers that have an address on it, and keep it.
    pub(crate) containers: Vec<Party>,
    /// Leases that are not moved.
    pub(crate) left_behind: Vec<LeftBehind>,
    /// What is changed, one line each.
    pub(crate) changes: Vec<String>,
    /// Why it was refused or skipped, or why it failed.
    pub(crate) reason: Option<String>,
}

/// A container on a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Party {
    pub(crate) container_id: String,
    /// Its name; empty if that is not known.
    pub(crate) container_name: String,
    pub(crate) addresses: Vec<HeldAddress>,
}

/// An address of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct HeldAddress {
    pub(crate) address: IpAddr,
    /// Whether it was requested explicitly.
    pub(crate) kind: Kind,
}

/// A lease that is not moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct LeftBehind {
    pub(crate) address: IpAddr,
    pub(crate) container_id: String,
    /// Why it is not in use.
    pub(crate) why: String,
}

impl NetworkReport {
    /// Returns an empty report on a network.
    pub(crate) fn of(network: &berth::protocol::Network, outcome: Outcome) -> Self {
        let ours = network.is_ours();
        let plumbing = Plumbing::of(network).ok().filter(|_| ours);
        let driver = plumbing.map_or(network.driver.as_str(), |own| own.as_str());
        Self {
            network: network.name.clone(),
            id: network.id.clone(),
            driver: driver.to_owned(),
            outcome,
            containers: Vec::new(),
            left_behind: Vec::new(),
            changes: Vec::new(),
            reason: None,
        }
    }

    /// Notes why nothing of the plan was done.
    #[must_use]
    pub(crate) fn unchanged(mut self, reason: String) -> Self {
        self.changes.clear();
        self.failed(reason)
    }

    /// Notes what failed.
    #[must_use]
    pub(crate) fn failed(mut self, reason: String) -> Self {
        self.outcome = Outcome::Failed;
        self.because(reason)
    }

    /// Notes the reason.
    #[must_use]
    pub(crate) fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }
}

impl MoveReport {
    /// Returns whether nothing was refused and nothing failed.
    pub(crate) fn is_well(&self) -> bool {
        let bad = [Outcome::Refused, Outcome::Failed];
        !self.networks.iter().any(|own| bad.contains(&own.outcome))
    }

    /// Returns the names of the networks with this outcome.
    pub(crate) fn with(&self, outcome: Outcome) -> Vec<String> {
        let own = self.networks.iter().filter(|own| own.outcome == outcome);
        own.map(|own| own.network.clone()).collect()
    }
}

impl fmt::Display for NetworkReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.outcome {
            Outcome::Planned => "to be moved",
            Outcome::Done => "moved",
            Outcome::Already => "nothing to do",
            Outcome::Skipped => "left alone",
            Outcome::Refused => "REFUSED",
            Outcome::Failed => "FAILED",
        };
        write!(f, "{} ({}): {word}", self.network, self.driver)?;
        if let Some(reason) = &self.reason {
            write!(f, ": {reason}")?;
        }
        for party in &self.containers {
            write!(f, "\n  keeps  {party}")?;
        }
        for left in &self.left_behind {
            write!(
                f,
                "\n  drops  {} of container {}: {}",
                left.address,
                short_id(&left.container_id),
                left.why
            )?;
        }
        for change in &self.changes {
            write!(f, "\n  {change}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<_> = self
            .addresses
            .iter()
            .map(|held| match held.kind {
                Kind::Static => format!("{} (static)", held.address),
                Kind::Dynamic => held.address.to_string(),
            })
            .collect();
        let id = short_id(&self.container_id);
        write!(f, "{}  ", addresses.join(", "))?;
        if self.container_name.is_empty() {
            write!(f, "container {id}")
        } else {
            write!(f, "{} ({id})", self.container_name)
        }
    }
}

impl fmt::Display for MoveReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, network) in self.networks.iter().enumerate() {
            let end = if number == 0 { "" } else { "\n" };
            write!(f, "{end}{network}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_is_read_by_people_and_programs() {
        let network = serde_json::from_value(json!({
            "name": "n", "id": "i", "driver": "berth",
            "options": {"driver": "macvlan"}, "ipam_options": {"driver": "berth"},
        }));
        let mut own = NetworkReport::of(&network.unwrap(), Outcome::Planned);
        let held = |text: &str, kind| HeldAddress {
            address: text.parse().unwrap(),
            kind,
        };
        own.containers.push(Party {
            container_id: "0123456789abcdef".to_owned(),
            container_name: "web".to_owned(),
            addresses: vec![
                held("10.0.0.2", Kind::Static),
                held("fd00::2", Kind::Dynamic),
            ],
        });
        own.left_behind.push(LeftBehind {
            address: "10.0.0.9".parse().unwrap(),
            container_id: "fedcba98765432100".to_owned(),
            why: "nobody has it".to_owned(),
        });
        own.changes.push("the file is rewritten".to_owned());
        let mut report = MoveReport::default();
        report.networks.push(own);
        assert_eq!(
            report.to_string(),
            "n (macvlan): to be moved\n  keeps  10.0.0.2 (static), fd00::2  web (0123456789ab)\n  \
             drops  10.0.0.9 of container fedcba987654: nobody has it\n  the file is rewritten"
        );
        assert!(report.is_well());
        report.networks[0].outcome = Outcome::Refused;
        assert!(!report.is_well());
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(
            json["networks"][0]["containers"][0]["addresses"][0]["kind"],
            "static"
        );
        assert_eq!(json["networks"][0]["outcome"], "refused");
    }
}

//! The holders of the leases: which are alive, which are gone, and which may be either.

use std::time::Duration;

use super::finding::Finding;
use crate::rules::lease::{Moment, Tenant};
use crate::rules::verdict::Verdict;

/// A collection takes back what a dead holder has, and a live one is noted as alive at least
/// every quarter of an hour at the default TTL. So if a dead holder has not been seen
/// alive for longer than this, nothing takes its leases back.
const OVERDUE: Duration = Duration::from_secs(20 * 60);

/// How many holders a finding names.
const NAMED: usize = 8;

/// Judges the tenants by their verdicts.
pub(super) fn judge(tenants: &[(Tenant, Verdict)], now: Moment) -> Vec<Finding> {
    let mut found = Vec::new();
    let dead = tenants
        .iter()
        .filter_map(|(tenant, verdict)| match verdict {
            Verdict::Dead(cause) => Some((tenant, cause)),
            Verdict::Live(_) | Verdict::Unknown(_) => None,
        });
    let is_overdue = |tenant: &Tenant| unseen(tenant, now) >= OVERDUE;
    let (overdue, fresh): (Vec<_>, Vec<_>) = dead.partition(|(tenant, _)| is_overdue(tenant));
    for (ghosts, overdue) in [(overdue, true), (fresh, false)] {
        if ghosts.is_empty() {
            continue;
        }
        let what = format!("{} whose holder is gone: {}", leases(ghosts.len()), {
            let named = ghosts
                .iter()
                .map(|(tenant, cause)| format!("{}, {cause}", name(tenant)));
            enumerate(named)
        });
        let finding = if overdue {
            Finding::problem("ghosts", what)
                .because("no collection has taken them back")
                .repair("berth gc")
        } else {
            Finding::note("ghosts", what)
                .because("the container was killed, or its podman or conmon")
                .repair("the next collection takes them back, or berth gc")
        };
        found.push(finding);
    }
    let unknown: Vec<_> = tenants
        .iter()
        .filter_map(|(tenant, verdict)| match verdict {
            Verdict::Unknown(doubt) => Some(format!("{}: {doubt}", name(tenant))),
            Verdict::Live(_) | Verdict::Dead(_) => None,
        })
        .collect();
    if !unknown.is_empty() {
        let what = format!(
            "{}, and berth cannot tell whether the holder is alive: {}",
            leases(unknown.len()),
            enumerate(unknown.iter().cloned())
        );
        found.push(
            Finding::note("unknown-holders", what)
                .because(
                    "they are kept, until their TTL has run out and nothing here holds the address",
                )
                .repair("run this where all processes can be seen"),
        );
    }
    found
}

/// Returns for how long a tenant has not been seen alive: at least [`OVERDUE`] if it is
/// from another boot.
fn unseen(tenant: &Tenant, now: Moment) -> Duration {
    now.since(&tenant.renewed).max(
        // The boot clock is ahead of ours, so it is another boot's.
        if tenant.renewed.boot_ms > now.boot_ms {
            OVERDUE
        } else {
            Duration::ZERO
        },
    )
}

fn leases(count: usize) -> String {
    match count {
        1 => "1 container has leases".to_owned(),
        _ => format!("{count} containers have leases"),
    }
}

/// Returns `web (1f2e3d4c5b6a) on network quay, 10.0.0.9`.
fn name(tenant: &Tenant) -> String {
    let addresses: Vec<_> = tenant.addresses().iter().map(ToString::to_string).collect();
    format!(
        "{} ({}) on network {} with {}",
        tenant.container_name,
        tenant.tenancy.container_id.short(),
        tenant.network_name,
        addresses.join(" ")
    )
}

fn enumerate(texts: impl ExactSizeIterator<Item = String>) -> String {
    let more = texts.len().saturating_sub(NAMED);
    let mut texts: Vec<_> = texts.take(NAMED).collect();
    if more > 0 {
        texts.push(format!("and {more} more"));
    }
    texts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::lease::fixture_of;
    use crate::rules::verdict::{Cause, Sign};

    fn tenant(container: &str) -> Tenant {
        fixture_of(container, "10.0.0.9")
    }

    fn lines(tenants: &[(Tenant, Verdict)], later: Duration) -> Vec<String> {
        let now = tenant("a").renewed.after(later);
        let found = judge(tenants, now);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn ghosts_are_notes_until_they_are_overdue() {
        let ghost = (tenant("a"), Verdict::Dead(Cause::NamespaceGone));
        let live = (tenant("b"), Verdict::Live(Sign::Starting { pid: 1 }));
        let tenants = [ghost, live];
        let named = "web (a) on network net with 10.0.0.9, its namespace is gone";
        assert_eq!(
            lines(&tenants, OVERDUE - Duration::from_secs(1)),
            [format!(
                "note: 1 container has leases whose holder is gone: {named} (the container was \
                 killed, or its podman or conmon); the next collection takes them back, or berth gc"
            )]
        );
        assert_eq!(
            lines(&tenants, OVERDUE),
            [format!(
                "problem: 1 container has leases whose holder is gone: {named} (no collection \
                 has taken them back); berth gc"
            )]
        );
        assert_eq!(lines(&tenants[1..], OVERDUE), [""; 0]);
    }

    #[test]
    fn doubts_are_told_and_long_lists_cut_short() {
        let unknown = |name: &str| (tenant(name), Verdict::Unknown("why".into()));
        let names: Vec<_> = (0..10).map(|number| number.to_string()).collect();
        let tenants: Vec<_> = names.iter().map(|name| unknown(name)).collect();
        let lines = lines(&tenants, OVERDUE);
        assert_eq!(lines.len(), 1);
        assert!(
            lines[0].starts_with("note: 10 containers have leases, and berth cannot tell"),
            "{}",
            lines[0]
        );
        assert!(
            lines[0].contains("web (7) on network net with 10.0.0.9: why; and 2 more"),
            "{}",
            lines[0]
        );
    }
}

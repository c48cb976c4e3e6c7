//! One address, or run of addresses, and what berth knows about it.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use ipnetwork::IpNetwork;
use serde::{Serialize, Serializer};

use super::elsewhere::Elsewhere;
use super::state::State;
use super::totals::pools;
use crate::protocol::Network;
use crate::rules::lease::{Kind, LeasedAddress, Moment, Reservation, Tenant};
use crate::rules::options::Options;
use crate::rules::pledge::Pledge;
use crate::rules::pool::{Family, Span, Unleasable, normalise, number};
use crate::rules::verdict::Verdict;
use crate::sight::Evidence;
use crate::upkeep::is_beginning;

/// An address or a run of them, in the order of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(pub Span);

impl Place {
    /// Returns the place of one address.
    pub fn of(address: IpAddr) -> Self {
        Self(Span::new(address, address).expect("an address is a run of one"))
    }

    /// Returns what to sort by: IPv4 before IPv6, then the first address.
    pub fn key(&self) -> (Family, u128) {
        let first = self.0.first();
        (Family::of(first), number(first))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What berth knows about one address, or about a run of excluded ones.
///
/// Times are RFC 3339 in UTC, by the wall clock at the time they were noted.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    pub address: Place,
    pub network: String,
    pub network_id: String,
    /// The network's subnet that it lies in; none if the network has changed since.
    pub subnet: Option<IpNetwork>,
    pub state: State,
    /// What shows that the holder is alive or gone; otherwise why the address is not
    /// free.
    pub reason: String,
    /// The container that has the address or has had it; empty if there is none.
    pub container_id: String,
    pub container_name: String,
    /// The host of that container; empty on a network that is this host's alone.
    pub host: String,
    pub interface: String,
    pub kind: Option<Kind>,
    /// The comment that `berth reserve` was given.
    pub comment: String,
    /// When it was leased or released.
    #[serde(serialize_with = "timestamp")]
    pub since: Option<Moment>,
    /// How long ago that was.
    #[serde(rename = "age_seconds", serialize_with = "seconds")]
    pub age: Option<Duration>,
    /// Until when a lease of unknown state is kept, or a released address is not free.
    #[serde(serialize_with = "timestamp")]
    pub expires: Option<Moment>,
    /// How long that is from now; nothing if it has passed.
    #[serde(rename = "expires_in_seconds", serialize_with = "seconds")]
    pub left: Option<Duration>,
    /// Unique in the store's life; zero if the address is not leased.
    pub generation: u64,
}

impl Entry {
    /// Returns what distinguishes it from others: network and first address.
    pub(super) fn key(&self) -> (String, IpAddr) {
        (self.network_id.clone(), self.address.0.first())
    }

    /// Returns whether a word means its container: the name, or the beginning of the id,
    /// with at least four characters.
    pub fn is_of(&self, word: &str) -> bool {
        let is_name = !word.is_empty() && self.container_name == word;
        is_name || is_beginning(word, &self.container_id)
    }

    /// Returns the entry of a leased address.
    pub(super) fn of_lease(
        tenant: &Tenant,
        leased: &LeasedAddress,
        verdict: &Verdict,
        evidence: &Evidence,
    ) -> Self {
        let (now, same_boot) = (evidence.at, tenant.boot_id == evidence.boot_id);
        let tenancy = &tenant.tenancy;
        Self {
            kind: Some(leased.kind),
            generation: leased.generation,
            container_id: tenancy.container_id.to_string(),
            container_name: tenant.container_name.to_string(),
            interface: tenancy.interface.to_string(),
            since: Some(tenant.created),
            age: Some(match same_boot {
                true => now.since(&tenant.created),
                false => on_the_wall(tenant.created, now),
            }),
            expires: same_boot.then_some(tenant.expires),
            left: left(tenant.expires, now).filter(|_| same_boot),
            ..Self::plain(
                &tenant.request.network,
                Place::of(leased.address),
                State::of(tenant.phase, verdict),
                verdict.reason(),
            )
        }
    }

    /// Returns the entry of an address that another host has.
    pub(super) fn of_elsewhere(network: &Network, other: &Elsewhere) -> Self {
        let Elsewhere { address, host, .. } = other;
        let reason = format!("host {host} has claimed it");
        Self {
            container_id: other.container_id.clone(),
            container_name: other.container_name.clone(),
            host: host.clone(),
            ..Self::plain(network, Place::of(*address), State::Elsewhere, reason)
        }
    }

    /// Returns the entry of what a released address has left behind.
    pub(super) fn of_reservation(
        network: &Network,
        address: IpAddr,
        reservation: &Reservation,
        now: Moment,
    ) -> Self {
        let options = Options::parse(network).unwrap_or_default();
        let age = now.since(&reservation.released);
        let (state, reason) = if age < options.cooldown {
            (State::Cooldown, "it was released a moment ago")
        } else {
            (State::Held, "its former holder may come back")
        };
        Self {
            kind: Some(reservation.kind),
            container_id: reservation.container_id.to_string(),
            container_name: reservation.container_name.to_string(),
            since: Some(reservation.released),
            age: Some(age),
            expires: Some(reservation.until),
            left: left(reservation.until, now),
            ..Self::plain(network, Place::of(address), state, reason.to_owned())
        }
    }

    /// Returns the entry of an address that a person has reserved.
    pub(super) fn of_pledge(network: &Network, pledge: &Pledge) -> Self {
        let reason = format!("it is reserved {}", pledge.whom());
        let name = pledge.container.as_ref().map(ToString::to_string);
        Self {
            container_name: name.unwrap_or_default(),
            comment: pledge.comment.clone(),
            ..Self::plain(network, Place::of(pledge.address), State::Reserved, reason)
        }
    }

    /// Returns the entries of the addresses that a network's option `ipam_exclude` names.
    pub(super) fn exclusions(network: &Network) -> Vec<Self> {
        let options = Options::parse(network).unwrap_or_default();
        let spans = options.exclusions.into_iter();
        let reason = "the network's option ipam_exclude names it";
        spans
            .map(|span| Self::plain(network, Place(span), State::Excluded, reason.to_owned()))
            .collect()
    }

    /// Returns the entry of an address that no container has or had, and that no option
    /// names.
    pub(super) fn of_nobody(network: &Network, address: IpAddr) -> Self {
        let pools = pools(network);
        let pool = pools.iter().find(|pool| pool.covers(address));
        let unleasable = pool.and_then(|pool| pool.unleasable(address));
        let (state, reason) = match (unleasable, pool) {
            (Some(reason @ Unleasable::Gateway(_)), _) => (State::Gateway, reason.to_string()),
            (Some(reason), _) => (State::Excluded, reason.to_string()),
            (None, Some(pool)) if pool.offers(address) => {
                (State::Free, "the next container may get it".to_owned())
            }
            (None, _) => (
                State::Excluded,
                "it is outside of the lease range".to_owned(),
            ),
        };
        Self::plain(network, Place::of(address), state, reason)
    }

    /// Returns an entry without a container.
    fn plain(network: &Network, address: Place, state: State, reason: String) -> Self {
        let subnets = network.subnets.iter();
        let mut subnets = subnets.map(|subnet| normalise(subnet.subnet));
        Self {
            address,
            network: network.name.clone(),
            network_id: network.id.clone(),
            subnet: subnets.find(|subnet| subnet.contains(address.0.first())),
            state,
            reason,
            container_id: String::new(),
            container_name: String::new(),
            host: String::new(),
            interface: String::new(),
            kind: None,
            comment: String::new(),
            since: None,
            age: None,
            expires: None,
            left: None,
            generation: 0,
        }
    }
}

/// Returns how much time is left, if any.
fn left(until: Moment, now: Moment) -> Option<Duration> {
    Some(until.since(&now)).filter(|left| !left.is_zero())
}

/// Returns the time since a moment of another boot, as far as the wall clock can tell.
const fn on_the_wall(then: Moment, now: Moment) -> Duration {
    Duration::from_millis(now.wall_ms.saturating_sub(then.wall_ms))
}

fn seconds<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs()).serialize(serializer)
}

fn timestamp<S: Serializer>(moment: &Option<Moment>, serializer: S) -> Result<S::Ok, S::Error> {
    moment.map(crate::upkeep::wall_time).serialize(serializer)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::rules::lease::{Phase, fixture_of};
    use crate::rules::verdict::{Cause, Sign};

    /// Returns a tenant `web` of one address on `net`, leased `age` before `now`.
    pub(crate) fn tenant(address: &str) -> Tenant {
        let mut tenant = fixture_of("1f2e3d4c5b6a7988", address);
        tenant.leased[0].generation = 7;
        tenant.leased[0].kind = Kind::Static;
        tenant
    }

    pub(crate) fn entry(tenant: &Tenant, verdict: &Verdict, later: Duration) -> Entry {
        let evidence = Evidence {
            at: tenant.created.after(later),
            boot_id: "boot".to_owned(),
            ..Evidence::default()
        };
        Entry::of_lease(tenant, &tenant.leased[0], verdict, &evidence)
    }

    #[test]
    fn a_lease_is_what_the_verdict_says() {
        let mut tenant = tenant("10.0.0.9");
        let live = Verdict::Live(Sign::Starting { pid: 4 });
        let dead = Verdict::Dead(Cause::NamespaceGone);
        let unknown = Verdict::Unknown("why".to_owned());
        let state = |tenant: &Tenant, verdict| entry(tenant, verdict, Duration::ZERO).state;
        assert_eq!(state(&tenant, &live), State::Live);
        assert_eq!(state(&tenant, &dead), State::Dead);
        assert_eq!(state(&tenant, &unknown), State::Unknown);
        tenant.phase = Phase::Offered;
        assert_eq!(state(&tenant, &live), State::Offered);
        assert_eq!(state(&tenant, &dead), State::Dead);
    }

    #[test]
    fn json_says_everything_and_in_which_unit() {
        let tenant = tenant("10.0.0.9");
        let live = Verdict::Live(Sign::Starting { pid: 4 });
        let entry = entry(&tenant, &live, Duration::from_secs(90));
        assert_eq!(
            serde_json::to_value(&entry).expect("JSON"),
            serde_json::json!({
                "address": "10.0.0.9", "network": "net", "network_id": "net", "subnet": null,
                "state": "live", "reason": "process 4 is starting it",
                "container_id": "1f2e3d4c5b6a7988", "container_name": "web", "host": "",
                "interface": "eth0", "kind": "static", "generation": 7, "comment": "",
                "since": "2023-11-14T22:13:20Z", "age_seconds": 90,
                "expires": "2023-11-14T23:13:20Z", "expires_in_seconds": 3510,
            })
        );
    }

    #[test]
    fn the_clock_of_another_boot_says_nothing_of_when_a_lease_ends() {
        let mut tenant = tenant("10.0.0.9");
        tenant.boot_id = "an earlier one".to_owned();
        let dead = Verdict::Dead(Cause::Rebooted);
        let entry = entry(&tenant, &dead, Duration::from_secs(90));
        assert_eq!(entry.age, Some(Duration::from_secs(90)));
        assert_eq!((entry.expires, entry.left), (None, None));
    }

    #[test]
    fn a_released_address_cools_down_and_is_held_then() {
        let network = serde_json::json!({"name": "n", "id": "i", "driver": "berth",
            "options": {"ipam_cooldown": "60"}, "subnets": [{"subnet": "10.0.0.7/24"}]});
        let network: Network = serde_json::from_value(network).expect("a network");
        let released = tenant("10.0.0.9").created;
        let reservation = Reservation {
            container_id: "id".into(),
            container_name: "web".into(),
            kind: Kind::Dynamic,
            released,
            until: released.after(Duration::from_secs(100)),
        };
        let after = |seconds| {
            let now = released.after(Duration::from_secs(seconds));
            let address = "10.0.0.9".parse().expect("an address");
            let entry = Entry::of_reservation(&network, address, &reservation, now);
            assert_eq!(entry.subnet, "10.0.0.0/24".parse().ok());
            (entry.state, entry.left.map(|left| left.as_secs()))
        };
        assert_eq!(after(59), (State::Cooldown, Some(41)));
        assert_eq!(after(60), (State::Held, Some(40)));
    }
}

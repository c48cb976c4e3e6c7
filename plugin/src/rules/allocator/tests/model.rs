//! A plain model of the shelf, and how it is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use crate::protocol::Network;
use crate::rules::allocator::*;
use crate::rules::lease::Moment;
use crate::rules::options::{Options, pools};

/// One network in memory: the obvious implementation, by linear search.
#[derive(Default)]
pub(super) struct Model {
    pub(super) leases: BTreeMap<IpAddr, Tenancy>,
    pub(super) reservations: BTreeMap<IpAddr, Reservation>,
    cursor: Option<IpAddr>,
}

impl Shelf for Model {
    type Error = Infallible;

    fn lease(&self, address: IpAddr) -> Result<Option<Lease>, Infallible> {
        Ok(self.leases.get(&address).map(|tenancy| Lease {
            tenancy: tenancy.clone(),
            generation: 1,
            kind: Kind::Dynamic,
        }))
    }

    fn reservation(&self, address: IpAddr) -> Result<Option<Reservation>, Infallible> {
        Ok(self.reservations.get(&address).cloned())
    }

    fn first_free(&self, pool: &Pool, from: IpAddr) -> Result<Option<IpAddr>, Infallible> {
        let all = pool
            .spans()
            .iter()
            .flat_map(|span| number(span.first())..=number(span.last()));
        let taken: BTreeSet<_> = self.leases.keys().chain(self.reservations.keys()).collect();
        let addresses = all.map(|n| pool.family().address(n));
        Ok(addresses
            .filter(|a| *a >= from)
            .find(|a| !taken.contains(a)))
    }

    fn cursor(&self, pool: &Pool) -> Result<Option<IpAddr>, Infallible> {
        Ok(self.cursor.filter(|address| pool.covers(*address)))
    }

    fn reserved_for(
        &self,
        pool: &Pool,
        id: &ContainerId,
        name: &ContainerName,
    ) -> Result<Option<IpAddr>, Infallible> {
        let reservations = || {
            self.reservations
                .iter()
                .filter(|(address, _)| pool.covers(**address))
        };
        let by_id = reservations().find(|(_, left)| left.container_id == *id);
        let by_name = || reservations().find(|(_, left)| left.container_name == *name);
        Ok(by_id.or_else(by_name).map(|(address, _)| *address))
    }

    fn next_yield(&self, pool: &Pool) -> Result<Option<IpAddr>, Infallible> {
        let offered = self
            .reservations
            .iter()
            .filter(|(address, _)| pool.offers(**address));
        Ok(offered
            .min_by_key(|(_, h)| (h.kind, h.until.boot_ms))
            .map(|(address, _)| *address))
    }
}

pub(super) fn network(subnets: &str, options: &str) -> Network {
    let text = format!(
        r#"{{"name":"n","id":"N","driver":"berth","subnets":[{subnets}],"options":{{{options}}}}}"#
    );
    serde_json::from_str(&text).unwrap()
}

pub(super) const NET: &str = r#"{"subnet":"10.0.0.0/24","gateway":"10.0.0.1"}"#;
pub(super) const SMALL: &str = r#"{"subnet":"10.0.0.0/29","gateway":"10.0.0.1"}"#;
pub(super) const DUAL: &str = r#"{"subnet":"10.0.0.0/24","gateway":"10.0.0.1"},
    {"subnet":"fd00::/64","gateway":"fd00::1"}"#;

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn tenancy(container: &str) -> Tenancy {
    Tenancy {
        network_id: "N".into(),
        container_id: container.into(),
        interface: "eth0".into(),
    }
}

pub(super) fn reservation(container: &str, kind: Kind, until: u64) -> Reservation {
    let until = Moment {
        wall_ms: 0,
        boot_ms: until,
    };
    Reservation {
        container_id: container.into(),
        container_name: format!("name-of-{container}").as_str().into(),
        kind,
        released: Moment::default(),
        until,
    }
}

pub(super) fn leased(addresses: &[&str]) -> Model {
    let leases = addresses
        .iter()
        .map(|a| (ip(a), tenancy("other")))
        .collect();
    Model {
        leases,
        ..Model::default()
    }
}

pub(super) fn reserved(mut model: Model, reservations: &[(&str, &str, Kind, u64)]) -> Model {
    for (address, container, kind, until) in reservations {
        model
            .reservations
            .insert(ip(address), reservation(container, *kind, *until));
    }
    model
}

pub(super) fn cursor(mut model: Model, address: &str) -> Model {
    model.cursor = Some(ip(address));
    model
}

/// Returns the choice for container `me` as text: addresses, `!` marking static ones.
pub(super) fn ask(model: &Model, network: &Network, statics: &[&str]) -> String {
    let options = Options::parse(network).unwrap();
    let statics: Vec<_> = statics.iter().map(|text| ip(text)).collect();
    let request = Request {
        tenancy: &tenancy("me"),
        container_name: &"my-name".into(),
        static_ips: &statics,
        current: None,
        pledges: &options.pledges,
        order: options.order,
        random: 7,
    };
    let Ok(decision) = choose(model, &pools(network, &options).unwrap(), &request);
    match decision {
        Decision::Lease(choice) => {
            let mark = |kind| if kind == Kind::Static { "!" } else { "" };
            let texts: Vec<_> = choice
                .iter()
                .map(|(a, kind)| format!("{a}{}", mark(*kind)))
                .collect();
            texts.join(" ")
        }
        Decision::Refused(refusal) => format!("{refusal:?}"),
    }
}

#[track_caller]
pub(super) fn check(model: &Model, subnets: &str, options: &str, statics: &[&str], expected: &str) {
    assert_eq!(ask(model, &network(subnets, options), statics), expected);
}

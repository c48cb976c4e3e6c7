//! Releases one address by hand: just as a collection would, but at once, and with force
//! also from a container that is alive.

use std::fmt;
use std::net::IpAddr;
use std::thread;

use serde::Serialize;
use thiserror::Error;

use super::collect::Party;
use super::overview::{Overview, OverviewError, UnknownError};
use crate::delegate::Reach;
use crate::lifecycle::claims;
use crate::lifecycle::reclaim::ReclaimError;
use crate::lifecycle::session::{Session, SessionError, with_session};
use crate::podman::{NetworkLockError, Podman};
use crate::rules::lease::Tenant;
use crate::rules::ports::PublishedPorts;
use crate::rules::verdict::{STARTER_GRACE, Verdict};
use crate::store::{Store, StoreError};

/// Why an address was not released. Its lease is unchanged.
#[derive(Debug, Error)]
pub enum ReleaseError {
    #[error(transparent)]
    NetworkLock(#[from] NetworkLockError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Overview(#[from] OverviewError),
    #[error(transparent)]
    Unknown(#[from] UnknownError),
    #[error("{address} on network {network} is not leased: {reason}")]
    NotLeased {
        address: IpAddr,
        network: String,
        reason: String,
    },
    /// The holder is alive, or may be.
    #[error(
        "{address} is leased to container {container} ({name}) on network {network}, which {}; \
         stop that container, or use --force: it then loses {loss} until it is started again",
        standing(verdict)
    )]
    Held {
        address: IpAddr,
        network: String,
        container: String,
        name: String,
        verdict: Verdict,
        loss: String,
    },
    #[error(
        "{address} on network {network} was leased to somebody else meanwhile; see what \
         `berth inspect {address}` says"
    )]
    Changed { address: IpAddr, network: String },
    #[error(transparent)]
    Reclaim(#[from] ReclaimError),
}

impl From<StoreError> for ReleaseError {
    fn from(error: StoreError) -> Self {
        SessionError::from(error).into()
    }
}

/// What to release.
#[derive(Clone, Debug)]
pub struct Wish {
    pub address: IpAddr,
    /// The network's name or id.
    pub network: String,
    /// Also from a holder that is alive, or may be.
    pub force: bool,
}

/// What was released.
#[derive(Clone, Debug, Serialize)]
pub struct Released {
    /// Who had it, with all addresses of that interface, and what showed whether it was
    /// alive.
    #[serde(flatten)]
    pub party: Party,
    /// Whether the holder was alive, or might have been.
    pub forced: bool,
    /// What such a holder has lost, in words; empty for a dead one.
    pub loss: String,
}

impl fmt::Display for Released {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "released {}", self.party)?;
        if self.forced {
            let Self { loss, party, .. } = self;
            let name = &party.container_name;
            write!(f, "\n{name} has lost {loss} until it is started again")?;
        }
        Ok(())
    }
}

/// How a turn with the locks ends.
enum Turn {
    Done(Released, Box<Tenant>),
    NotLeased,
    /// The holder looks dead, but may be starting or stopping.
    LookAgain(Box<Tenant>),
}

/// Takes back one address, with the other addresses of the same interface. From a dead
/// holder it takes everything that is left (as a collection does, after as many looks);
/// with force, it takes the interface of a live one, with its ports and names. On return
/// it is durable. Each address is kept for its former holder, as after any release.
///
/// # Errors
/// If the address is not leased; [`ReleaseError::Held`] if the holder may be alive,
/// without force. If the interface cannot be taken down; the lease is then kept.
pub fn release(podman: &Podman, wish: &Wish) -> Result<Released, ReleaseError> {
    let mut earlier = None;
    while Store::exists(&podman.state_directory) {
        match turn(podman, wish, earlier.as_deref())? {
            Turn::Done(released, tenant) => {
                claims::release(podman, std::slice::from_ref(&tenant));
                return Ok(released);
            }
            Turn::NotLeased => break,
            Turn::LookAgain(tenant) => earlier = Some(tenant),
        }
        thread::sleep(STARTER_GRACE);
    }
    Err(not_leased(podman, wish)?)
}

/// Takes the locks, looks, and releases if that look is enough.
fn turn(podman: &Podman, wish: &Wish, earlier: Option<&Tenant>) -> Result<Turn, ReleaseError> {
    let _networks = podman.lock_networks(podman.settings.lock_wait())?;
    with_session(podman, "releasing an address by hand", |session| {
        let Some(tenant) = holder(session, wish)? else {
            return Ok(Turn::NotLeased);
        };
        let verdicts = session.judge(std::slice::from_ref(&tenant));
        let verdict = verdicts.into_iter().next();
        let verdict = verdict.expect("there is a verdict on every tenant");
        let same =
            |earlier: &Tenant| earlier.tenancy == tenant.tenancy && earlier.leased == tenant.leased;
        match (&verdict, earlier) {
            (_, Some(earlier)) if !same(earlier) => Err(ReleaseError::Changed {
                address: wish.address,
                network: wish.network.clone(),
            }),
            (Verdict::Dead(cause), None) if cause.is_hasty() => {
                Ok(Turn::LookAgain(Box::new(tenant)))
            }
            (Verdict::Dead(_), _) => {
                session.reclaim(&tenant, Reach::Network, &verdict.reason())?;
                let released = Released {
                    party: Party::new(&tenant, verdict.reason()),
                    forced: false,
                    loss: String::new(),
                };
                Ok(Turn::Done(released, Box::new(tenant)))
            }
            (Verdict::Live(_) | Verdict::Unknown(_), _) if wish.force => {
                session.evict(&tenant, &verdict.reason())?;
                let released = Released {
                    party: Party::new(&tenant, verdict.reason()),
                    forced: true,
                    loss: loss(&tenant),
                };
                Ok(Turn::Done(released, Box::new(tenant)))
            }
            (Verdict::Live(_) | Verdict::Unknown(_), _) => Err(ReleaseError::Held {
                address: wish.address,
                network: tenant.network_name.to_string(),
                container: tenant.tenancy.container_id.short().to_owned(),
                name: tenant.container_name.to_string(),
                loss: loss(&tenant),
                verdict,
            }),
        }
    })
}

/// Returns the tenant that has leased the address on the network. A network that was made
/// again under its name has another id; if both have leased it, the newer network's tenant
/// is meant.
fn holder(session: &Session<'_>, wish: &Wish) -> Result<Option<Tenant>, StoreError> {
    let mut tenants = session.store.begin().all_tenants()?;
    tenants.retain(|tenant| {
        let network = &tenant.request.network;
        network.answers_to(&wish.network) && tenant.has_leased(wish.address)
    });
    let latest = |tenant: &Tenant| tenant.leased.iter().map(|leased| leased.generation).max();
    Ok(tenants.into_iter().max_by_key(latest))
}

/// Returns the error that says what the address is, if it is not leased.
fn not_leased(podman: &Podman, wish: &Wish) -> Result<ReleaseError, ReleaseError> {
    let overview = Overview::take(podman)?;
    let network = overview.network(&wish.network)?;
    if !network.covers(wish.address) {
        return Err(UnknownError::outside(wish.address, network).into());
    }
    let entry = overview.entry(network, wish.address);
    let reason = match entry.container_name.as_str() {
        "" => entry.reason,
        name => format!("{} ({name})", entry.reason),
    };
    Ok(ReleaseError::NotLeased {
        address: wish.address,
        network: network.name.clone(),
        reason,
    })
}

fn standing(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Unknown(doubt) => format!("may be alive, as far as berth can tell ({doubt})"),
        Verdict::Live(_) | Verdict::Dead(_) => format!("is alive: {}", verdict.reason()),
    }
}

/// Returns what a container loses with its interface, in words.
fn loss(tenant: &Tenant) -> String {
    let texts = |items: Vec<String>| items.join(", ");
    let addresses = tenant.addresses().iter().map(IpAddr::to_string).collect();
    let interface = &tenant.tenancy.interface;
    let mut lost = vec![format!("{interface} with {}", texts(addresses))];
    let ports = PublishedPorts::of(&tenant.request.port_mappings).into_iter();
    let ports: Vec<_> = ports.map(|ports| ports.to_string()).collect();
    if !ports.is_empty() {
        lost.push(format!("its published ports ({})", texts(ports)));
    }
    if tenant.request.network.dns_enabled {
        lost.push(format!("its name on network {}", tenant.network_name));
    }
    match lost.pop() {
        Some(last) if !lost.is_empty() => format!("{} and {last}", texts(lost)),
        last => last.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::rules::lease::{Kind, LeasedAddress, Tenancy, fixture};
    use crate::rules::verdict::Sign;

    fn tenant(ports: Value, dns: bool) -> Tenant {
        let tenancy = Tenancy {
            network_id: "net".into(),
            container_id: "1f2e3d4c5b6a7988".into(),
            interface: "eth0".into(),
        };
        let leased = |address: &str| LeasedAddress {
            address: address.parse().expect("an address"),
            generation: 1,
            kind: Kind::Static,
        };
        let mut tenant = fixture(tenancy, vec![leased("10.0.0.9"), leased("fd00::9")]);
        tenant.request.port_mappings = ports;
        tenant.request.network.dns_enabled = dns;
        tenant
    }

    #[test]
    fn what_breaks_is_said() {
        let none = tenant(Value::Null, false);
        assert_eq!(loss(&none), "eth0 with 10.0.0.9, fd00::9");
        let ports = json!([
            {"host_ip": "", "host_port": 8080, "protocol": "tcp", "range": 1},
            {"host_ip": "", "host_port": 7000, "protocol": "udp", "range": 10}, {"odd": true}]);
        assert_eq!(
            loss(&tenant(ports, true)),
            "eth0 with 10.0.0.9, fd00::9, its published ports (8080/tcp, 7000-7009/udp) and its \
             name on network net"
        );
    }

    #[test]
    fn a_refusal_says_who_has_it_and_what_to_do() {
        let tenant = tenant(Value::Null, true);
        let held = |verdict| {
            let error = ReleaseError::Held {
                address: tenant.leased[0].address,
                network: "net".to_owned(),
                container: "1f2e3d4c5b6a".to_owned(),
                name: "web".to_owned(),
                loss: loss(&tenant),
                verdict,
            };
            error.to_string()
        };
        let live = Verdict::Live(Sign::Starting { pid: 4 });
        assert_eq!(
            held(live),
            "10.0.0.9 is leased to container 1f2e3d4c5b6a (web) on network net, which is alive: \
             process 4 is starting it; stop that container, or use --force: it then loses eth0 \
             with 10.0.0.9, fd00::9 and its name on network net until it is started again"
        );
        let unknown = held(Verdict::Unknown("why".to_owned()));
        assert!(
            unknown.contains("net, which may be alive, as far as berth can tell (why); stop"),
            "{unknown}"
        );
    }
}

//! The only way to take down what is left of a container on a network: interface,
//! firewall rules, published ports, DNS names, and the bridge if nothing else is on it.
//!
//! netavark does it: in the container's namespace if the interface is there, otherwise
//! against a stand-in ([`delegate::StandIn`]). No lease is changed here.

use std::cell::RefCell;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::slice;

use crate::delegate::{self, Call, Connection, Reach};
use crate::podman::Podman;
use crate::protocol::Network;
use crate::rules::attachment::Attachment;
use crate::rules::lease::{Delegation, Namespace, Tenant};
use crate::rules::verdict::{Judge, Sign, Verdict, is_among};
use crate::sight::survey::Record;
use crate::sight::{self, Evidence, Link, PathFact, Window};

/// What is left after taking plumbing down, and why.
#[derive(Debug)]
pub enum Left {
    /// The interface: something may answer at the addresses.
    Interface(String),
    /// A firewall rule, DNS name or bridge at most.
    Rest(String),
}

impl Left {
    /// Returns why it was left.
    pub fn into_reason(self) -> String {
        match self {
            Self::Interface(reason) | Self::Rest(reason) => reason,
        }
    }
}

/// What is left of a container on one network.
#[derive(Clone, Debug)]
pub struct Remains<'a> {
    pub attachment: &'a Attachment,
    /// Its addresses, except those that another container has by now.
    pub addresses: &'a [IpAddr],
    pub delegation: &'a Delegation,
    pub reach: Reach,
}

impl Remains<'_> {
    /// Takes everything down. `namespace` is where the interface is, for as long as
    /// `remains` returns true. If netavark removes the interface and then fails, a
    /// stand-in takes down the rest.
    ///
    /// # Errors
    /// What is left. What was already gone is no error.
    pub fn take_down(
        &self,
        podman: &Podman,
        namespace: &Path,
        remains: impl Fn() -> bool,
    ) -> Result<(), Left> {
        let done = remains().then(|| {
            let started = self.call(podman).start("teardown", namespace);
            delegate::teardown(started, &self.connection())
        });
        self.finish(podman, done, remains)
    }

    /// Takes down what netavark has left. `done` is netavark's result; `None` if it was
    /// not run, because the interface was gone.
    fn finish(
        &self,
        podman: &Podman,
        done: Option<Result<(), String>>,
        remains: impl Fn() -> bool,
    ) -> Result<(), Left> {
        if let Some(done) = done {
            if remains() {
                let renamed = || "netavark did not find it: it may have been renamed".to_owned();
                return Err(Left::Interface(done.err().unwrap_or_else(renamed)));
            }
            let Err(reason) = done else {
                return Ok(());
            };
            log::debug!("trying again without the interface: {reason}");
        }
        delegate::teardown_in_stand_in(&self.call(podman), &self.connection(), self.reach)
            .map_err(Left::Rest)
    }

    fn call<'c>(&'c self, podman: &'c Podman) -> Call<'c> {
        Call::of(&podman.netavark, self.delegation)
    }

    fn connection(&self) -> Connection<'_> {
        Connection {
            attachment: self.attachment,
            addresses: self.addresses,
        }
    }
}

/// Takes a tenant's plumbing down, with its stored request.
///
/// # Errors
/// What is left. What was already gone is no error.
pub fn take_down(podman: &Podman, tenant: &Tenant, reach: Reach) -> Result<(), Left> {
    let remains = Remains {
        attachment: &tenant.request,
        addresses: &tenant.addresses(),
        delegation: &tenant.delegation,
        reach,
    };
    let path = &tenant.namespace.path;
    let window = RefCell::default();
    let interface = Interface {
        tenant,
        window: &window,
    };
    remains.take_down(podman, path, || interface.remains())
}

/// Takes down what one container's tenants have in one namespace. `unplumb` has netavark
/// do it for all of them at once; it is not called if none of their interfaces is there.
/// Whatever netavark leaves of a tenant, a stand-in takes down. `window` shows that namespace,
/// if it has been opened already.
///
/// # Errors
/// What is left of each. What was already gone is no error.
pub fn take_down_together(
    podman: &Podman,
    tenants: &[Tenant],
    window: Option<Window>,
    unplumb: impl FnOnce(&[Tenant]) -> Result<(), String>,
) -> Vec<Result<(), Left>> {
    let window = &RefCell::new(window);
    let interfaces = tenants.iter().map(|tenant| Interface { tenant, window });
    let interfaces: Vec<_> = interfaces.collect();
    let there: Vec<_> = interfaces.iter().map(Interface::remains).collect();
    let done = there.contains(&true).then(|| unplumb(tenants));
    let each = interfaces.iter().zip(there).map(|(interface, was_there)| {
        let tenant = interface.tenant;
        if let Some(pid) = interface.lives_on() {
            let path = tenant.namespace.path.display();
            return Err(Left::Interface(format!(
                "its namespace is not at {path} here, but process {pid} lives in it; stop the \
                 container"
            )));
        }
        let remains = Remains {
            attachment: &tenant.request,
            addresses: &tenant.addresses(),
            delegation: &tenant.delegation,
            reach: Reach::Network,
        };
        let done = done.clone().filter(|_| was_there);
        remains.finish(podman, done, || interface.remains())
    });
    each.collect()
}

/// Takes down what netavark remembers of a container without a lease, or of no container
/// at all, on a network.
///
/// # Errors
/// Why part of it is still there.
pub fn take_down_record(
    podman: &Podman,
    network: &Network,
    record: &Record,
    reach: Reach,
) -> Result<(), String> {
    let attachment = record.attachment(network, "eth0".into());
    let remains = Remains {
        attachment: &attachment,
        addresses: &record.addresses,
        delegation: &podman.delegation,
        reach,
    };
    let nowhere = Path::new("");
    let done = remains.take_down(podman, nowhere, || false);
    done.map_err(Left::into_reason)
}

/// Takes down plumbing that has no lease, as far as berth can tell what belongs to it: by
/// the interface's own addresses, or else by those the container asked for. A container
/// may give itself another one's address, so only those that are `free` count: firewall
/// rules for the others belong to the containers that have them.
///
/// # Errors
/// What is left. What was already gone is no error.
pub fn take_down_unleased(
    podman: &Podman,
    attachment: &Attachment,
    netns: &Path,
    free: impl Fn(IpAddr) -> bool,
) -> Result<(), String> {
    let own = || {
        let named = |link: &Link| link.name == attachment.options.interface.as_str();
        let links = sight::links_of(netns).unwrap_or_default().into_iter();
        let mut own: Vec<_> = links
            .filter(named)
            .flat_map(|link| link.addresses)
            .collect();
        own.retain(|address| attachment.network.covers(*address));
        own
    };
    let mut addresses = own();
    if addresses.is_empty() {
        let asked = attachment.options.static_ips.iter();
        addresses.extend(asked.map(IpAddr::to_canonical));
    }
    addresses.retain(|address| free(*address));
    let remains = Remains {
        attachment,
        addresses: &addresses,
        delegation: &podman.delegation,
        reach: Reach::Network,
    };
    let done = remains.take_down(podman, netns, || !own().is_empty());
    done.map_err(Left::into_reason)
}

/// A tenant's interface, and the window through which berth looks for it.
struct Interface<'t> {
    tenant: &'t Tenant,
    window: &'t RefCell<Option<Window>>,
}

impl Interface<'_> {
    /// Returns whether it is still in its namespace, or may be. Only a namespace that is
    /// still at its path counts: see [`Interface::lives_on`].
    fn remains(&self) -> bool {
        let namespace = &self.tenant.namespace;
        match sight::examine(&namespace.path) {
            fact if fact == there(namespace) => self
                .links()
                .map_or(true, |links| is_among(self.tenant, &links)),
            PathFact::Missing | PathFact::There(_) => false,
            PathFact::Unreadable(_) => true,
        }
    }

    /// Returns the process that keeps the interface alive in a namespace that is no longer at
    /// its path: somebody has unmounted it, or it is mounted in another mount namespace only.
    fn lives_on(&self) -> Option<i32> {
        if namespace_remains(&self.tenant.namespace) {
            return None;
        }
        let boot_id = sight::boot_id().ok()?;
        let evidence = Evidence::gather(slice::from_ref(self.tenant), &boot_id, sight::now().ok()?);
        match Judge::by(&evidence).judge(self.tenant) {
            Verdict::Live(Sign::Inhabited { pid, .. }) => Some(pid),
            _ => None,
        }
    }

    fn links(&self) -> io::Result<Vec<Link>> {
        let namespace = &self.tenant.namespace;
        let key = (namespace.device, namespace.inode);
        let mut window = match self.window.take().filter(|window| window.shows(key)) {
            Some(window) => window,
            None => Window::open(&namespace.path, key)?,
        };
        let links = window.links()?;
        self.window.replace(Some(window));
        Ok(links)
    }
}

/// Returns whether a namespace is still at its path.
pub fn namespace_remains(namespace: &Namespace) -> bool {
    sight::examine(&namespace.path) == there(namespace)
}

fn there(namespace: &Namespace) -> PathFact {
    PathFact::There((namespace.device, namespace.inode))
}

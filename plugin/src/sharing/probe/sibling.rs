//! A temporary interface on a link, of the kind that containers have, in a network namespace
//! of its own.
//!
//! The kernel removes the namespace, with the interface, when the last descriptor of it is
//! closed. That also happens when berth is killed.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::thread;

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage as Request;
use netlink_packet_route::link::{
    InfoData, InfoIpVlan, InfoKind, InfoMacVlan, InfoVeth, IpVlanMode, LinkAttribute, LinkFlags,
    LinkInfo, LinkMessage, MacVlanMode,
};
use nix::libc::{IFLA_MTU, RTM_NEWLINK};
use nix::sched::{CloneFlags, setns, unshare};

use super::place::Place;
use crate::netlink::request;

/// The interface's name, in its own namespace.
const NAME: &str = "probe";

/// The name of the veth's end on the bridge; the kernel fills in the number. It is not
/// `veth…`, because a collection takes a port with such a name for netavark's.
const PORT: &str = "berth-probe%d";

/// The kinds of interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A pair of veths, one of them a port of the bridge.
    Veth,
    Macvlan,
    Ipvlan,
}

/// A namespace with one such interface. Both are gone when this value is dropped.
#[derive(Debug)]
pub(super) struct Sibling {
    namespace: File,
}

impl Sibling {
    /// Makes an interface on the bridge or parent with this index, in the calling thread's
    /// namespace.
    ///
    /// # Errors
    /// The kernel's refusal. Nothing is left behind then.
    pub(super) fn make(kind: Kind, on: u32) -> io::Result<Self> {
        let sibling = Self {
            namespace: on_a_thread(|| {
                unshare(CloneFlags::CLONE_NEWNET)?;
                File::open("/proc/thread-self/ns/net")
            })?,
        };
        let mtu = mtu_of(on)?;
        let mut inner = LinkMessage::default();
        inner.attributes = vec![
            LinkAttribute::IfName(NAME.to_owned()),
            LinkAttribute::NetNsFd(sibling.namespace.as_raw_fd()),
        ];
        let message = match kind {
            Kind::Veth => port(on, mtu, inner),
            Kind::Macvlan => {
                let mode = InfoData::MacVlan(vec![InfoMacVlan::Mode(MacVlanMode::Bridge)]);
                child(on, inner, InfoKind::MacVlan, mode)
            }
            // An ipvlan mode is the parent's, and so applies to all its children: this
            // network's is L2.
            Kind::Ipvlan => {
                let mode = InfoData::IpVlan(vec![InfoIpVlan::Mode(IpVlanMode::L2)]);
                child(on, inner, InfoKind::IpVlan, mode)
            }
        };
        let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
        request(Request::NewLink(message), flags)?;
        Ok(sibling)
    }

    /// Opens the interface, in its namespace.
    ///
    /// # Errors
    /// As [`Place::open`].
    pub(super) fn open(&self) -> io::Result<Place> {
        self.inside(|| {
            let mut up = named(NAME);
            set_up(&mut up);
            request(Request::SetLink(up), NLM_F_ACK)?;
            Place::open(NAME)
        })
    }

    fn inside<T: Send>(&self, act: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        on_a_thread(|| {
            setns(&self.namespace, CloneFlags::CLONE_NEWNET)?;
            act()
        })
    }
}

impl Drop for Sibling {
    /// The kernel takes its time to remove a namespace, so the interface is removed at once.
    fn drop(&mut self) {
        let gone = self.inside(|| request(Request::DelLink(named(NAME)), NLM_F_ACK));
        if let Err(error) = gone {
            log::debug!("the temporary interface goes with its namespace: {error}");
        }
    }
}

fn named(name: &str) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes = vec![LinkAttribute::IfName(name.to_owned())];
    message
}

fn set_up(message: &mut LinkMessage) {
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
}

/// A child of a parent interface.
fn child(on: u32, mut inner: LinkMessage, kind: InfoKind, data: InfoData) -> LinkMessage {
    let info = vec![LinkInfo::Kind(kind), LinkInfo::Data(data)];
    inner.attributes.push(LinkAttribute::Link(on));
    inner.attributes.push(LinkAttribute::LinkInfo(info));
    inner
}

/// A port of a bridge, whose other end is the inner interface.
///
/// A bridge takes the lowest MTU and the lowest MAC address of its ports for its own, unless
/// they have been set. This port changes neither.
fn port(on: u32, mtu: u32, mut inner: LinkMessage) -> LinkMessage {
    let [a, b, c, d, ..] = fastrand::u32(..).to_be_bytes();
    inner.attributes.push(LinkAttribute::Mtu(mtu));
    let data = InfoData::Veth(InfoVeth::Peer(inner));
    let mut outer = LinkMessage::default();
    set_up(&mut outer);
    outer.attributes = vec![
        LinkAttribute::IfName(PORT.to_owned()),
        LinkAttribute::Mtu(mtu),
        LinkAttribute::Address(vec![0xfe, 0xff, a, b, c, d]),
        LinkAttribute::Controller(on),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth), LinkInfo::Data(data)]),
    ];
    outer
}

fn mtu_of(index: u32) -> io::Result<u32> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    for answer in request(Request::GetLink(message), NLM_F_ACK)? {
        // struct ifinfomsg is 16 bytes.
        let (_, attributes) = answer.parts::<16>()?;
        let of_kind = |(kind, _): &&(u16, &[u8])| answer.kind == RTM_NEWLINK && *kind == IFLA_MTU;
        let mtu = attributes.iter().find(of_kind);
        if let Some(mtu) = mtu.and_then(|(_, value)| (*value).try_into().ok()) {
            return Ok(u32::from_ne_bytes(mtu));
        }
    }
    Err(io::Error::other("the kernel does not tell its MTU"))
}

/// A thread leaves or joins a namespace for the rest of its life, so this uses a short-lived
/// one.
fn on_a_thread<T: Send>(act: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let handle = thread::Builder::new().spawn_scoped(scope, act)?;
        let panicked = || io::Error::other("the thread in the temporary namespace panicked");
        handle.join().map_err(|_| panicked())?
    })
}

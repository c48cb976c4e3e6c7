//! Interfaces as the kernel lists them: what each is, what it hangs on, which
//! addresses it has.

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::thread;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP};
use netlink_packet_route::RouteNetlinkMessage as Message;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use nix::sched::{CloneFlags, setns};

use super::{Link, Peer};
use crate::netlink::request;

/// Returns the interfaces of the calling thread's namespace.
///
/// # Errors
/// The kernel's refusal.
pub fn links() -> io::Result<Vec<Link>> {
    let answers = request(Message::GetLink(LinkMessage::default()), NLM_F_DUMP)?;
    let mut links: Vec<Link> = answers
        .into_iter()
        .filter_map(|answer| match answer {
            Message::NewLink(message) => Some(link(message)),
            _ => None,
        })
        .collect();
    let answers = request(Message::GetAddress(AddressMessage::default()), NLM_F_DUMP)?;
    for answer in answers {
        if let Message::NewAddress(message) = answer
            && let Some(link) = links.iter_mut().find(|l| l.index == message.header.index)
        {
            link.addresses.extend(address(&message));
        }
    }
    Ok(links)
}

/// Returns the interfaces of a namespace, by a file that shows it.
///
/// # Errors
/// If it cannot be opened, joined or listed: that is not an answer.
pub fn links_of(namespace: &Path) -> io::Result<Vec<Link>> {
    let namespace = File::open(namespace)?;
    let host = File::open("/proc/thread-self/ns/net")?;
    // Joining a namespace is for the whole life of a thread: use a short one.
    thread::scope(|scope| {
        let look = || {
            setns(&namespace, CloneFlags::CLONE_NEWNET)?;
            // Listing gives the host its id in there, if anything hangs on it.
            let mut links = links()?;
            let host = id_of(&host)?;
            for link in &mut links {
                if let Some(Peer::Elsewhere(id, index)) = link.peer
                    && Some(id) == host
                {
                    link.peer = Some(Peer::Host(index));
                }
            }
            Ok(links)
        };
        let handle = thread::Builder::new().spawn_scoped(scope, look)?;
        let panicked = || io::Error::other("the thread that looked into it panicked");
        handle.join().map_err(|_| panicked())?
    })
}

/// Returns the id by which the calling thread's namespace knows another, if it does.
fn id_of(namespace: &File) -> io::Result<Option<i32>> {
    let descriptor = u32::try_from(namespace.as_raw_fd()).map_err(io::Error::other)?;
    let mut message = NsidMessage::default();
    message.attributes.push(NsidAttribute::Fd(descriptor));
    let answers = request(Message::GetNsId(message), NLM_F_ACK)?;
    let ids = answers.iter().filter_map(|answer| match answer {
        Message::NewNsId(message) => message.attributes.iter().find_map(|a| match a {
            NsidAttribute::Id(id) => Some(*id),
            _ => None,
        }),
        _ => None,
    });
    // -1: it has none.
    Ok(ids.into_iter().find(|id| *id >= 0))
}

fn link(message: LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        up: message.header.flags.contains(LinkFlags::Up),
        ..Link::default()
    };
    let (mut peer, mut namespace) = (None, None);
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Controller(index) => link.master = Some(index),
            LinkAttribute::Link(index) => peer = Some(index),
            LinkAttribute::LinkNetNsId(id) => namespace = Some(id),
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    if let LinkInfo::Kind(kind) = info {
                        link.kind = kind.to_string();
                    }
                }
            }
            _ => {}
        }
    }
    link.peer = peer.map(|index| match namespace {
        None => Peer::Here(index),
        Some(id) => Peer::Elsewhere(id, index),
    });
    link
}

/// Returns an interface's own address: `IFA_LOCAL`, or for IPv6 `IFA_ADDRESS`.
fn address(message: &AddressMessage) -> Option<IpAddr> {
    let mut found = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => return Some(*address),
            AddressAttribute::Address(address) => found = Some(*address),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_listed_with_its_addresses() {
        let links = links().unwrap();
        let lo = links.iter().find(|link| link.name == "lo").unwrap();
        assert_eq!((lo.index, lo.kind.as_str(), lo.peer), (1, "", None));
        assert!(!lo.up || lo.addresses.contains(&IpAddr::from([127, 0, 0, 1])));
    }
}

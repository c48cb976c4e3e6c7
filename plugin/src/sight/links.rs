//! Interfaces as the kernel lists them: what each of them is, what it hangs on, and which
//! addresses it has.

mod decode;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::Instant;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP};
use netlink_packet_route::RouteNetlinkMessage as Request;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use nix::sched::{CloneFlags, setns};

use super::{Link, NamespaceKey, Peer};
use crate::netlink::{Socket, deadline};

/// How often interfaces that change between two listings are listed again.
const ATTEMPTS: u32 = 10;

/// Returns the interfaces of the calling thread's namespace.
///
/// # Errors
/// The kernel's refusal; a listing that is too long, or keeps changing.
pub fn links() -> io::Result<Vec<Link>> {
    listed(&mut Socket::open()?, deadline())
}

fn listed(socket: &mut Socket, deadline: Instant) -> io::Result<Vec<Link>> {
    for _ in 0..ATTEMPTS {
        let mut links = Vec::new();
        let mut asked = LinkMessage::default();
        // Counting the traffic of each interface would be half of the kernel's work.
        let plain = LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]);
        asked.attributes.push(plain);
        for message in socket.request_by(Request::GetLink(asked), NLM_F_DUMP, deadline)? {
            links.extend(decode::link(&message)?);
        }
        let mut addresses = Vec::new();
        let listing = Request::GetAddress(AddressMessage::default());
        for message in socket.request_by(listing, NLM_F_DUMP, deadline)? {
            addresses.extend(decode::address(&message)?);
        }
        if assign(&mut links, addresses) {
            return Ok(links);
        }
    }
    Err(io::Error::other("the interfaces change all the time"))
}

/// Gives each address to its interface. Returns whether every address has one: otherwise it
/// is newer than the listing of the interfaces.
fn assign(links: &mut [Link], addresses: Vec<(u32, IpAddr)>) -> bool {
    let places = links.iter().enumerate();
    let places: HashMap<u32, usize> = places.map(|(place, link)| (link.index, place)).collect();
    for (index, address) in addresses {
        let Some(place) = places.get(&index) else {
            return false;
        };
        links[*place].addresses.push(address);
    }
    true
}

/// Returns the interfaces of a namespace, by a file that shows it.
///
/// # Errors
/// If it cannot be opened, joined or listed. Such a failure is not an answer.
pub fn links_of(namespace: &Path) -> io::Result<Vec<Link>> {
    links_behind(&File::open(namespace)?, deadline())
}

/// As [`links_of`], of this namespace only: since a process was seen, it may have gone into
/// another one, or its pid to another process.
///
/// # Errors
/// As [`links_of`]; also if the file shows another namespace by now.
pub fn links_in(namespace: &Path, key: NamespaceKey) -> io::Result<Vec<Link>> {
    links_in_by(namespace, key, deadline())
}

/// As [`links_in`], with a deadline that several looks share.
///
/// # Errors
/// As [`links_in`]; also if the deadline has passed.
pub(super) fn links_in_by(
    namespace: &Path,
    key: NamespaceKey,
    deadline: Instant,
) -> io::Result<Vec<Link>> {
    if Instant::now() >= deadline {
        return Err(io::Error::other("the time for such namespaces was over"));
    }
    links_behind(&shown(namespace, key)?, deadline)
}

/// A view of a namespace's interfaces that can be listed repeatedly without joining the
/// namespace again. It shows the same namespace for as long as it is kept, and keeps it
/// alive.
pub struct Window {
    socket: Socket,
    key: NamespaceKey,
}

impl Window {
    /// Opens a window into this namespace, by a file that shows it.
    ///
    /// # Errors
    /// As [`links_in`].
    pub fn open(namespace: &Path, key: NamespaceKey) -> io::Result<Self> {
        let namespace = shown(namespace, key)?;
        let socket = inside(&namespace, Socket::open)?;
        Ok(Self { socket, key })
    }

    /// Returns whether this is a window into that namespace.
    pub fn shows(&self, namespace: NamespaceKey) -> bool {
        self.key == namespace
    }

    /// Returns the interfaces, without [`Peer::Host`].
    ///
    /// # Errors
    /// As [`links_in`]. The window is then of no more use.
    pub fn links(&mut self) -> io::Result<Vec<Link>> {
        listed(&mut self.socket, deadline())
    }
}

fn shown(namespace: &Path, key: NamespaceKey) -> io::Result<File> {
    let file = File::open(namespace)?;
    let metadata = file.metadata()?;
    if (metadata.dev(), metadata.ino()) != key {
        return Err(io::Error::other("it is another namespace by now"));
    }
    Ok(file)
}

fn links_behind(namespace: &File, deadline: Instant) -> io::Result<Vec<Link>> {
    let host = File::open("/proc/thread-self/ns/net")?;
    inside(namespace, || {
        let mut socket = Socket::open()?;
        // Listing gives the host its id in this namespace, if an interface here hangs on
        // the host.
        let mut links = listed(&mut socket, deadline)?;
        let host = id_of(&host, &mut socket, deadline)?;
        for link in &mut links {
            if let Some(Peer::Elsewhere(id, index)) = link.peer
                && Some(id) == host
            {
                link.peer = Some(Peer::Host(index));
            }
        }
        Ok(links)
    })
}

/// Calls `act` in a namespace.
fn inside<T: Send>(namespace: &File, act: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    // A thread joins a namespace for the rest of its life, so use a short-lived one.
    thread::scope(|scope| {
        let look = || {
            setns(namespace, CloneFlags::CLONE_NEWNET)?;
            act()
        };
        let handle = thread::Builder::new().spawn_scoped(scope, look)?;
        let panicked = || io::Error::other("the thread that looked into it panicked");
        handle.join().map_err(|_| panicked())?
    })
}

/// Returns the id by which a socket's namespace knows another, if it does.
fn id_of(namespace: &File, socket: &mut Socket, deadline: Instant) -> io::Result<Option<i32>> {
    let descriptor = u32::try_from(namespace.as_raw_fd()).map_err(io::Error::other)?;
    let mut message = NsidMessage::default();
    message.attributes.push(NsidAttribute::Fd(descriptor));
    for message in socket.request_by(Request::GetNsId(message), NLM_F_ACK, deadline)? {
        if let Some(id) = decode::namespace_id(&message)? {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use netlink_packet_core::NLM_F_CREATE;
    use netlink_packet_route::link::{InfoKind, LinkInfo};
    use nix::sched::unshare;

    use super::*;

    #[test]
    fn the_loopback_is_listed_with_its_addresses() {
        let links = links().unwrap();
        let lo = links.iter().find(|link| link.name == "lo").unwrap();
        assert_eq!((lo.index, lo.kind.as_str(), lo.peer), (1, "", None));
        assert!(!lo.up || lo.addresses.contains(&IpAddr::from([127, 0, 0, 1])));
    }

    #[test]
    fn a_window_shows_what_changes_in_the_namespace_it_was_opened_into() {
        let added = thread::spawn(|| {
            if unshare(CloneFlags::CLONE_NEWNET).is_err() {
                return None; // Without root.
            }
            let path = Path::new("/proc/thread-self/ns/net");
            let mut window = Window::open(path, crate::sight::own_namespace().unwrap()).unwrap();
            let names = |window: &mut Window| {
                let links = window.links().unwrap().into_iter();
                links.map(|link| link.name).collect::<Vec<_>>()
            };
            let before = names(&mut window);
            let mut dummy = LinkMessage::default();
            dummy.attributes = vec![
                LinkAttribute::IfName("new".to_owned()),
                LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth)]),
            ];
            let flags = NLM_F_ACK | NLM_F_CREATE;
            crate::netlink::request(Request::NewLink(dummy), flags).unwrap();
            Some((before, names(&mut window)))
        });
        if let Some((before, after)) = added.join().unwrap() {
            assert!(!before.contains(&"new".to_owned()), "{before:?}");
            assert!(after.contains(&"new".to_owned()), "{after:?}");
        }
    }

    #[test]
    fn a_namespace_is_looked_into_only_if_it_is_the_one_that_was_meant() {
        let path = Path::new("/proc/thread-self/ns/net");
        let key = crate::sight::own_namespace().unwrap();
        assert!(links_in(path, key).is_ok());
        let error = links_in(path, (key.0, key.1 + 1)).unwrap_err();
        assert_eq!(error.to_string(), "it is another namespace by now");
    }

    #[test]
    fn an_address_of_an_interface_that_is_not_listed_yet_asks_for_another_listing() {
        let link = |index| Link {
            index,
            ..Link::default()
        };
        let address = |index| (index, IpAddr::from([10, 0, 0, 5]));
        let mut listed = [link(1), link(7)];
        assert!(assign(&mut listed, vec![address(7)]));
        assert_eq!(listed[1].addresses, [address(7).1]);
        assert!(!assign(&mut [link(1)], vec![address(7)]));
    }
}

//! Reads interfaces, addresses and namespace ids from the kernel's messages
//! (rtnetlink(7)).
//!
//! The owner of a namespace can give an interface any bytes as its name; what is not
//! UTF-8 is replaced. A value of another size than the kernel's counts as missing, and
//! concerns that interface alone.

use std::io;
use std::net::IpAddr;

use nix::libc::{
    IFA_ADDRESS, IFA_LOCAL, IFF_UP, IFLA_ADDRESS, IFLA_ALT_IFNAME, IFLA_IFNAME, IFLA_INFO_KIND,
    IFLA_LINK, IFLA_LINK_NETNSID, IFLA_LINKINFO, IFLA_MASTER, IFLA_PROP_LIST, RTM_NEWADDR,
    RTM_NEWLINK, RTM_NEWNSID,
};

use crate::netlink::message::{Message, attributes};
use crate::sight::{Link, Peer};

/// `NETNSA_NSID` (linux/net_namespace.h).
const NETNSA_NSID: u16 = 1;

/// Reads an interface.
///
/// # Errors
/// If the message is malformed, as for all of these.
pub(super) fn link(message: &Message) -> io::Result<Option<Link>> {
    if message.kind != RTM_NEWLINK {
        return Ok(None);
    }
    // struct ifinfomsg: family, type, index, flags, change.
    let (head, rest) = message.parts::<16>()?;
    let flags = u32::from_ne_bytes([head[8], head[9], head[10], head[11]]);
    let mut link = Link {
        index: u32::from_ne_bytes([head[4], head[5], head[6], head[7]]),
        up: flags & IFF_UP.cast_unsigned() != 0,
        ..Link::default()
    };
    let (mut peer, mut namespace) = (None, None);
    for (kind, value) in rest {
        match kind {
            IFLA_IFNAME => link.name = text(value),
            IFLA_ADDRESS => link.hardware_address = value.try_into().ok(),
            IFLA_MASTER => link.master = number(value),
            IFLA_LINK => peer = number(value),
            IFLA_LINK_NETNSID => namespace = number(value),
            IFLA_PROP_LIST => {
                let properties = attributes(value)?.into_iter();
                let names = properties.filter(|(kind, _)| *kind == IFLA_ALT_IFNAME);
                link.other_names = names.map(|(_, value)| text(value)).collect();
            }
            IFLA_LINKINFO => {
                let mut info = attributes(value)?.into_iter();
                let kind = info.find(|(kind, _)| *kind == IFLA_INFO_KIND);
                link.kind = kind.map_or_else(String::new, |(_, value)| text(value));
            }
            _ => {}
        }
    }
    link.peer = peer.map(|index| match namespace {
        None => Peer::Here(index),
        Some(id) => Peer::Elsewhere(id.cast_signed(), index),
    });
    Ok(Some(link))
}

/// Reads an address and the index of its interface: `IFA_LOCAL`, or for IPv6
/// `IFA_ADDRESS`.
pub(super) fn address(message: &Message) -> io::Result<Option<(u32, IpAddr)>> {
    if message.kind != RTM_NEWADDR {
        return Ok(None);
    }
    // struct ifaddrmsg: family, prefix length, flags, scope, index.
    let (head, attributes) = message.parts::<8>()?;
    let index = u32::from_ne_bytes([head[4], head[5], head[6], head[7]]);
    let of_kind = |wanted| attributes.iter().find(|(kind, _)| *kind == wanted);
    let found = of_kind(IFA_LOCAL).or_else(|| of_kind(IFA_ADDRESS));
    Ok(found.and_then(|(_, value)| Some((index, ip(value)?))))
}

/// Reads the id of a namespace, if it has one.
pub(super) fn namespace_id(message: &Message) -> io::Result<Option<i32>> {
    if message.kind != RTM_NEWNSID {
        return Ok(None);
    }
    // struct rtgenmsg: family.
    let (_, attributes) = message.parts::<1>()?;
    let id = attributes.iter().find(|(kind, _)| *kind == NETNSA_NSID);
    let id = id
        .and_then(|(_, value)| number(value))
        .map(u32::cast_signed);
    // -1: it has none.
    Ok(id.filter(|id| *id >= 0))
}

fn number(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_ne_bytes)
}

fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&value[..end.unwrap_or(value.len())]).into_owned()
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(value).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from))
        .ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::netlink::message::{Reply, tests::message};

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(value.len() + 4).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn sent(kind: u16, head: &[u8], attributes: &[(u16, &[u8])]) -> Message {
        let attributes = attributes
            .iter()
            .map(|(kind, value)| attribute(*kind, value));
        let body = [head, &attributes.collect::<Vec<_>>().concat()].concat();
        let mut reply = Reply::default();
        reply.add(&message(kind, 0, &body)).unwrap();
        reply.messages.remove(0)
    }

    const IFLA_IFALIAS: u16 = 20;

    #[test]
    fn bytes_that_are_no_text_cost_nothing_but_the_text() {
        let mut head = [0; 16];
        (head[4], head[8]) = (7, 1);
        let kind = attribute(IFLA_INFO_KIND, b"veth\0");
        let other = attribute(IFLA_ALT_IFNAME, b"lan\0");
        let seen = sent(
            RTM_NEWLINK,
            &head,
            &[
                (IFLA_IFNAME, b"x\xff\0"),
                (IFLA_IFALIAS, b"\xff\xfe"),
                (IFLA_MASTER, &3_u32.to_ne_bytes()),
                (IFLA_LINK, &[1, 2]),
                (IFLA_PROP_LIST | 0x8000, &other),
                (IFLA_LINKINFO | 0x8000, &kind),
            ],
        );
        let expected = Link {
            index: 7,
            name: "x\u{fffd}".into(),
            other_names: vec!["lan".into()],
            kind: "veth".into(),
            master: Some(3),
            up: true,
            ..Link::default()
        };
        assert_eq!(link(&seen).unwrap(), Some(expected));
        assert_eq!(address(&seen).unwrap(), None);
    }

    #[test]
    fn an_address_is_the_interfaces_own() {
        let head = [2, 32, 0, 0, 9, 0, 0, 0];
        let (own, other) = ([10, 0, 0, 5], [10, 0, 0, 9]);
        let both: [(u16, &[u8]); 2] = [(IFA_ADDRESS, &other), (IFA_LOCAL, &own)];
        let seen = |attributes: &[(u16, &[u8])]| address(&sent(RTM_NEWADDR, &head, attributes));
        let index = u32::from_ne_bytes([9, 0, 0, 0]);
        assert_eq!(seen(&both).unwrap(), Some((index, own.into())));
        assert_eq!(seen(&both[..1]).unwrap(), Some((index, other.into())));
        assert_eq!(seen(&[(IFA_LOCAL, b"no")]).unwrap(), None);
    }

    #[test]
    fn a_namespace_without_an_id_has_none() {
        let seen = |id: i32| {
            let id = id.to_ne_bytes();
            namespace_id(&sent(RTM_NEWNSID, &[0; 4], &[(NETNSA_NSID, &id)])).unwrap()
        };
        assert_eq!((seen(3), seen(-1)), (Some(3), None));
    }

    proptest! {
        #[test]
        fn no_message_is_the_decoders_end(bytes: Vec<u8>) {
            for kind in [RTM_NEWLINK, RTM_NEWADDR, RTM_NEWNSID] {
                let mut reply = Reply::default();
                reply.add(&message(kind, 0, &bytes)).unwrap();
                let message = &reply.messages[0];
                let _ = (link(message), address(message), namespace_id(message));
            }
        }
    }
}

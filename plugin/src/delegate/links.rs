//! Interfaces made and removed in the calling thread's network namespace. Everywhere
//! else, interfaces are only looked at ([`crate::sight`]), except that the probes of a
//! link ([`crate::sharing::probe`]) make one in a namespace of their own.

use std::io;

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo, LinkMessage,
};

use crate::netlink::request;
use crate::rules::bridge::MARK;

/// Removes an interface; a veth's other end goes with it.
///
/// # Errors
/// The kernel's refusal.
pub fn remove_link(index: u32) -> io::Result<()> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    request(RouteNetlinkMessage::DelLink(message), NLM_F_ACK).map(drop)
}

/// Makes a bridge with berth's [`MARK`], for netavark to remove.
pub(super) fn make_bridge(name: &str) -> io::Result<()> {
    let kind = LinkInfo::Kind(InfoKind::Bridge);
    add(
        name,
        vec![kind],
        Some(LinkAttribute::Address(MARK.to_vec())),
    )
}

/// Makes a veth pair; the kernel names the other end.
pub(super) fn add_veth(name: &str) -> io::Result<()> {
    let peer = InfoVeth::Peer(LinkMessage::default());
    let data = LinkInfo::Data(InfoData::Veth(peer));
    add(name, vec![LinkInfo::Kind(InfoKind::Veth), data], None)
}

fn add(name: &str, info: Vec<LinkInfo>, more: Option<LinkAttribute>) -> io::Result<()> {
    let mut link = LinkMessage::default();
    link.attributes.extend(more);
    link.attributes.push(LinkAttribute::IfName(name.to_owned()));
    link.attributes.push(LinkAttribute::LinkInfo(info));
    let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    request(RouteNetlinkMessage::NewLink(link), flags).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removing_what_is_not_there_is_an_error() {
        let gone = remove_link(u32::from(u16::MAX)).expect_err("there is none");
        assert_eq!(gone.raw_os_error(), Some(nix::libc::ENODEV));
    }
}

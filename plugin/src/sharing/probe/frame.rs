//! The frames that ask a link who has an address, and those that tell: ARP (RFC 826, RFC 5227)
//! and neighbour discovery (RFC 4861).
//!
//! Anything on the link can write what arrives. So each frame is read within its bounds, and
//! one that is not exactly of these kinds says nothing. Checksums are not checked, because a
//! frame that never left the host has none yet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An Ethernet address.
pub(super) type Mac = [u8; 6];

/// As much of a frame as is read here.
pub(super) const ENOUGH: usize = 128;

pub(super) const ARP: u16 = 0x0806;
pub(super) const IPV6: u16 = 0x86dd;
/// Where these are in a frame.
pub(super) const KIND_AT: usize = 12;
pub(super) const NEXT_HEADER_AT: usize = ETHERNET + 6;
pub(super) const ICMP_AT: usize = ETHERNET + 40;
pub(super) const ICMPV6: u8 = 58;
pub(super) const SOLICITATION: u8 = 135;
pub(super) const ADVERTISEMENT: u8 = 136;

const ETHERNET: usize = 14;
const BROADCAST: Mac = [0xff; 6];
/// Ethernet and IPv4, with addresses of 6 and 4 bytes.
const ARP_HEAD: [u8; 6] = [0, 1, 8, 0, 6, 4];
const ARP_REQUEST: u16 = 1;
const ARP_REPLY: u16 = 2;
/// A router would have lowered it, so the frame comes from this link.
const HOPS: u8 = 255;
const SOURCE_LINK_ADDRESS: u8 = 1;
const IS_SOLICITED: u8 = 0x40;

/// The sender of our questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asker {
    pub(super) mac: Mac,
    /// Where neighbours send their answers. IPv4 needs no such address: an ARP probe has none
    /// of its sender, so that nothing takes it for a claim. In IPv6, a question without a
    /// source would be a claim, and would stop a host that is about to take the address.
    pub(super) address: Ipv6Addr,
}

/// What a frame tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// The address that its sender has, or is about to take.
    pub(super) claimed: IpAddr,
    /// To whom it is an answer, if it is one.
    pub(super) answers: Option<To>,
}

/// Whom an answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    Mac(Mac),
    Address(Ipv6Addr),
}

impl Asker {
    /// Returns the frame that asks who has an address.
    pub(super) fn question(&self, wanted: IpAddr) -> Vec<u8> {
        match wanted {
            IpAddr::V4(wanted) => self.arp(wanted),
            IpAddr::V6(wanted) => self.solicitation(wanted),
        }
    }

    /// Returns whether an answer is for this asker.
    pub(super) fn is_meant(&self, to: To) -> bool {
        match to {
            To::Mac(mac) => mac == self.mac,
            To::Address(address) => address == self.address,
        }
    }

    /// An ARP probe (RFC 5227 section 2.1.1).
    fn arp(&self, wanted: Ipv4Addr) -> Vec<u8> {
        let mut frame = ethernet(BROADCAST, self.mac, ARP);
        frame.extend(ARP_HEAD);
        frame.extend(ARP_REQUEST.to_be_bytes());
        frame.extend(self.mac);
        frame.extend(Ipv4Addr::UNSPECIFIED.octets());
        frame.extend([0; 6]);
        frame.extend(wanted.octets());
        frame
    }

    /// A neighbour solicitation (RFC 4861 section 4.3), to the address's group.
    fn solicitation(&self, wanted: Ipv6Addr) -> Vec<u8> {
        let [.., x, y, z] = wanted.octets();
        let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, x, y, z]);
        let mut message = vec![SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
        message.extend(wanted.octets());
        message.extend([SOURCE_LINK_ADDRESS, 1]);
        message.extend(self.mac);
        let sum = checksum(self.address, group, &message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());

        let mut frame = ethernet([0x33, 0x33, 0xff, x, y, z], self.mac, IPV6);
        frame.extend([0x60, 0, 0, 0, 0, 32, ICMPV6, HOPS]);
        frame.extend(self.address.octets());
        frame.extend(group.octets());
        frame.extend(message);
        frame
    }
}

fn ethernet(to: Mac, from: Mac, kind: u16) -> Vec<u8> {
    [&to[..], &from[..], &kind.to_be_bytes()[..]].concat()
}

/// The checksum of an ICMPv6 message (RFC 4443 section 2.3).
fn checksum(from: Ipv6Addr, to: Ipv6Addr, message: &[u8]) -> u16 {
    let length = u8::try_from(message.len()).unwrap_or(u8::MAX);
    let head = [&from.octets()[..], &to.octets()[..]].concat();
    let tail = [0, 0, 0, length, 0, 0, 0, ICMPV6];
    let mut sum = 0_u32;
    for bytes in [&head[..], &tail[..], message] {
        for pair in bytes.chunks(2) {
            let [high, low] = [pair[0], pair.get(1).copied().unwrap_or(0)];
            sum += u32::from(u16::from_be_bytes([high, low]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

/// Returns what a frame tells about an address; `None` if it tells nothing.
///
/// An IPv4 question without a sender's address is a probe like ours, and tells nothing.
pub(super) fn read(frame: &[u8]) -> Option<Told> {
    let told = match u16::from_be_bytes(array(frame, KIND_AT)?) {
        ARP => read_arp(frame.get(ETHERNET..)?),
        IPV6 => read_neighbour(frame.get(ETHERNET..)?),
        _ => None,
    };
    told.filter(|told| !told.claimed.is_unspecified() && !told.claimed.is_multicast())
}

fn read_arp(packet: &[u8]) -> Option<Told> {
    if !packet.starts_with(&ARP_HEAD) {
        return None;
    }
    let to = To::Mac(array(packet, 18)?);
    let told = |answers| {
        Some(Told {
            claimed: IpAddr::from(array::<4>(packet, 14)?),
            answers,
        })
    };
    match u16::from_be_bytes(array(packet, 6)?) {
        ARP_REQUEST => told(None),
        ARP_REPLY => told(Some(to)),
        _ => None,
    }
}

fn read_neighbour(packet: &[u8]) -> Option<Told> {
    let [version, ..] = *packet else { return None };
    let [next_header, hops] = array(packet, 6)?;
    if (version >> 4, next_header, hops) != (6, ICMPV6, HOPS) {
        return None;
    }
    let from = Ipv6Addr::from(array::<16>(packet, 8)?);
    let to = Ipv6Addr::from(array::<16>(packet, 24)?);
    let message = packet.get(40..)?;
    let target = Ipv6Addr::from(array::<16>(message, 8)?);
    let [kind, code, _, _, flags] = array(message, 0)?;
    match (kind, code) {
        (SOLICITATION, 0) => Some(Told {
            // Without a source, it is from a host that is about to take the target (RFC 4862
            // section 5.4.2).
            claimed: IpAddr::V6(if from.is_unspecified() { target } else { from }),
            answers: None,
        }),
        (ADVERTISEMENT, 0) => Some(Told {
            claimed: IpAddr::V6(target),
            answers: (flags & IS_SOLICITED != 0).then_some(To::Address(to)),
        }),
        _ => None,
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const US: Asker = Asker {
        mac: [2, 0, 0, 0, 0, 0x0a],
        address: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xa),
    };
    const OTHER: Mac = [2, 0, 0, 0, 0, 0x0b];

    fn bytes(hex: &str) -> Vec<u8> {
        let hex: String = hex.split_whitespace().collect();
        let pairs = (0..hex.len()).step_by(2);
        pairs
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    }

    /// Byte by byte as in RFC 5227 section 1.1 (probe) and RFC 826 (packet format).
    #[test]
    fn a_question_of_ipv4_is_an_arp_probe() {
        let frame = US.question("10.28.0.9".parse().unwrap());
        let expected = "ffffffffffff 02000000000a 0806
             0001 0800 06 04 0001 02000000000a 00000000 000000000000 0a1c0009";
        assert_eq!(frame, bytes(expected));
        assert_eq!(read(&frame), None, "a question claims nothing");
    }

    /// As in RFC 4861 section 4.3; the group as in RFC 4291 section 2.7.1.
    #[test]
    fn a_question_of_ipv6_is_a_solicitation_with_a_source() {
        let frame = US.question("2001:db8::1:800:200e:8c6c".parse().unwrap());
        let expected = "3333ff0e8c6c 02000000000a 86dd
             60000000 0020 3a ff fe80000000000000000000000000000a
             ff0200000000000000000001ff0e8c6c
             87 00 7d7d 00000000 20010db80000000000010800200e8c6c 01 01 02000000000a";
        let mut expected = bytes(expected);
        expected[ICMP_AT + 2..ICMP_AT + 4].copy_from_slice(&frame[ICMP_AT + 2..ICMP_AT + 4]);
        assert_eq!(frame, expected);
        // A receiver adds the checksum to the sum of the rest, and gets zero.
        let to = Ipv6Addr::from(array::<16>(&frame, 38).unwrap());
        assert_eq!(checksum(US.address, to, &frame[ICMP_AT..]), 0);
        // It says only that we are here.
        let told = read(&frame).unwrap();
        assert_eq!(told.claimed, IpAddr::V6(US.address));
    }

    fn arp(op: &str, from: &str, to: &str) -> Vec<u8> {
        let head = "02000000000a 02000000000b 0806 0001 0800 06 04";
        bytes(&format!("{head} {op} 02000000000b {from} {to} 0a1c0009"))
    }

    #[test]
    fn whoever_sends_arp_with_an_address_claims_it() {
        let claimed = Some("10.28.0.9".parse().unwrap());
        let (us, them) = (Some(To::Mac(US.mac)), Some(To::Mac(OTHER)));
        let table = [
            // Answers; the gratuitous one of RFC 5944 section 4.6 is not for us.
            (arp("0002", "0a1c0009", "02000000000a"), claimed, us),
            (arp("0002", "0a1c0009", "02000000000b"), claimed, them),
            // An announcement (RFC 5227 section 2.3), and an ordinary question.
            (arp("0001", "0a1c0009", "000000000000"), claimed, None),
            // A probe, an unknown operation.
            (arp("0001", "00000000", "000000000000"), None, None),
            (arp("0003", "0a1c0009", "02000000000a"), None, None),
        ];
        for (frame, claimed, answers) in table {
            let told = read(&frame);
            assert_eq!(told.map(|told| told.claimed), claimed, "{frame:x?}");
            assert_eq!(told.and_then(|told| told.answers), answers, "{frame:x?}");
        }
        assert!(US.is_meant(To::Mac(US.mac)) && !US.is_meant(To::Mac(OTHER)));
    }

    const WANTED: &str = "20010db80000000000000000000000c9";
    const HOST: &str = "fe80000000000000000000000000000b";
    const NOBODY: &str = "00000000000000000000000000000000";
    const ASKER: &str = "fe80000000000000000000000000000a";
    const ALL: &str = "ff020000000000000000000000000001";

    fn neighbour(hops: &str, (from, to): (&str, &str), message: &str, target: &str) -> Vec<u8> {
        let head = format!("02000000000a 02000000000b 86dd 60000000 0018 3a {hops}");
        bytes(&format!("{head} {from} {to} {message} {target}"))
    }

    #[test]
    fn whoever_advertises_an_address_or_asks_from_it_claims_it() {
        let (wanted, host) = ("2001:db8::c9".parse().unwrap(), "fe80::b".parse().unwrap());
        let us = Some(To::Address(US.address));
        let table = [
            // An answer, one to somebody else's question, and an unsolicited one.
            ("ff", (HOST, ASKER), "88000000 60000000", Some(wanted), us),
            ("ff", (HOST, ALL), "88000000 20000000", Some(wanted), None),
            // Somebody else's question; a detection of duplicates (RFC 4862 section 5.4.2).
            ("ff", (HOST, ALL), "87000000 00000000", Some(host), None),
            ("ff", (NOBODY, ALL), "87000000 00000000", Some(wanted), None),
            // From behind a router; with a code; an echo.
            ("fe", (HOST, ASKER), "88000000 60000000", None, None),
            ("ff", (HOST, ASKER), "88010000 60000000", None, None),
            ("ff", (HOST, ASKER), "80000000 60000000", None, None),
        ];
        for (hops, way, message, claimed, answers) in table {
            let told = read(&neighbour(hops, way, message, WANTED));
            assert_eq!(told.map(|told| told.claimed), claimed, "{way:?} {message}");
            assert_eq!(told.and_then(|told| told.answers), answers, "{way:?}");
        }
        // A host's question from the wanted address itself.
        let told = read(&neighbour("ff", (WANTED, ALL), "87000000 00000000", HOST));
        assert_eq!(told.unwrap().claimed, wanted);
    }

    #[test]
    fn what_is_cut_or_no_address_of_a_host_tells_nothing() {
        let whole = [
            arp("0002", "0a1c0009", "02000000000a"),
            neighbour("ff", (HOST, ASKER), "88000000 60000000", WANTED),
        ];
        for frame in whole {
            assert!(read(&frame).is_some());
            let needed = frame.len() - if frame[13] == 6 { 4 } else { 0 };
            for length in 0..needed {
                assert_eq!(read(&frame[..length]), None, "{length}");
            }
        }
        let target = neighbour("ff", (HOST, ASKER), "88000000 60000000", ALL);
        assert_eq!(read(&target), None);
        assert_eq!(read(&arp("0002", "e0000001", "02000000000a")), None);
    }

    proptest! {
        #[test]
        fn no_frame_is_the_readers_end(tail: Vec<u8>, arp: bool) {
            let kind = if arp { ARP } else { IPV6 };
            for head in [Vec::new(), ethernet(US.mac, OTHER, kind)] {
                read(&[head, tail.clone()].concat());
            }
        }

        /// Only the asked address counts, and only where it belongs.
        #[test]
        fn an_answer_is_read_as_it_was_written(from: [u8; 4], mac: Mac) {
            let mut frame = ethernet(mac, OTHER, ARP);
            frame.extend(ARP_HEAD);
            frame.extend([0, 2]);
            frame.extend(OTHER);
            frame.extend(from);
            frame.extend(mac);
            let address = Ipv4Addr::from(from);
            let is_one = !address.is_unspecified() && !address.is_multicast();
            let told = Told { claimed: address.into(), answers: Some(To::Mac(mac)) };
            prop_assert_eq!(read(&frame), is_one.then_some(told));
        }
    }
}

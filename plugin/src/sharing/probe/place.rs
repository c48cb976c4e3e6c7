//! A place of the link: an interface on which questions go out, and on which all answers are
//! heard.
//!
//! The socket sees what the interface sees before anything else gets it. So on a macvlan
//! parent, it also sees what is for the children.

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::libc::{
    ARPHRD_ETHER, BPF_ABS, BPF_ALU, BPF_AND, BPF_B, BPF_H, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD,
    BPF_RET, BPF_W, ETH_P_ALL, SKF_AD_OFF, SKF_AD_VLAN_TAG,
};
use nix::sys::socket::{
    ControlMessageOwned, LinkAddr, MsgFlags, bind, recvmsg, setsockopt,
    sockopt::{RcvBuf, RcvBufForce, RxqOvfl},
};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::frame::{
    self, ADVERTISEMENT, ARP, Asker, ENOUGH, ICMP_AT, ICMPV6, IPV6, KIND_AT, Mac, NEXT_HEADER_AT,
    SOLICITATION, Told,
};

/// Room for what arrives between two reads: thousands of answers.
const BUFFER: usize = 4 << 20;

/// How many frames are read at a time before it is another place's turn.
const AT_A_TIME: usize = 1024;

/// An interface with a socket on it.
#[derive(Debug)]
pub(super) struct Place {
    socket: Socket,
    index: usize,
    asker: Asker,
    /// How many frames the kernel had dropped, when it last said so.
    dropped: u32,
}

impl Place {
    /// Opens an interface in the calling thread's namespace.
    ///
    /// # Errors
    /// If there is no interface of this name, it is not Ethernet, or the kernel refuses, as
    /// it does without `CAP_NET_RAW`.
    pub(super) fn open(interface: &str) -> io::Result<Self> {
        let address = link_address(interface)?;
        let mac: Mac = address.addr().ok_or_else(not_ethernet)?;
        let all = u16::try_from(ETH_P_ALL).map_err(io::Error::other)?;
        let protocol = Protocol::from(i32::from(all.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
        socket.attach_filter(&filter())?;
        // More than the administrator's limit, if we may.
        setsockopt(&socket, RcvBufForce, &BUFFER)
            .or_else(|_| setsockopt(&socket, RcvBuf, &BUFFER))?;
        setsockopt(&socket, RxqOvfl, &1)?;
        bind(socket.as_raw_fd(), &address)?;
        let unused = fastrand::u64(..).to_be_bytes();
        let mut source = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0).octets();
        source[8..].copy_from_slice(&unused);
        Ok(Self {
            socket,
            index: address.ifindex(),
            asker: Asker {
                mac,
                address: source.into(),
            },
            dropped: 0,
        })
    }

    /// Asks who has an address.
    ///
    /// # Errors
    /// If the question did not go out.
    pub(super) fn ask(&self, wanted: IpAddr) -> io::Result<()> {
        self.socket.send(&self.asker.question(wanted)).map(drop)
    }

    /// Returns whether a frame answers a question from here.
    pub(super) fn is_answer(&self, told: Told) -> bool {
        told.answers.is_some_and(|to| self.asker.is_meant(to))
    }

    /// Passes on what has arrived, until there is nothing more or `AT_A_TIME` frames have
    /// been read. Returns whether there may be more.
    ///
    /// # Errors
    /// If something was lost, because it may have been an answer.
    pub(super) fn hear(&mut self, mut each: impl FnMut(Told)) -> io::Result<bool> {
        let mut frame = [0; ENOUGH];
        let mut control = nix::cmsg_space!(u32);
        for _ in 0..AT_A_TIME {
            let mut parts = [io::IoSliceMut::new(&mut frame)];
            let descriptor = self.socket.as_raw_fd();
            let flags = MsgFlags::MSG_DONTWAIT;
            let (length, from, dropped) =
                match recvmsg::<LinkAddr>(descriptor, &mut parts, Some(&mut control), flags) {
                    Ok(message) => {
                        let mut notes = message.cmsgs()?;
                        let dropped = notes.find_map(|note| match note {
                            ControlMessageOwned::RxqOvfl(count) => Some(count),
                            _ => None,
                        });
                        (message.bytes, message.address, dropped)
                    }
                    Err(Errno::EAGAIN) => return Ok(false),
                    Err(Errno::EINTR) => continue,
                    Err(error) => return Err(error.into()),
                };
            if dropped.is_some_and(|count| count != self.dropped) {
                self.dropped = dropped.unwrap_or_default();
                return Err(io::Error::other(
                    "frames arrived faster than berth could read them",
                ));
            }
            // Before the socket was bound, it heard all interfaces.
            let is_here = from.is_some_and(|from| from.ifindex() == self.index);
            if let Some(told) = frame.get(..length).and_then(frame::read)
                && is_here
            {
                each(told);
            }
        }
        Ok(true)
    }
}

impl AsFd for Place {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Returns the link-layer address of an interface, as [`bind`] takes it.
fn link_address(interface: &str) -> io::Result<LinkAddr> {
    let found = getifaddrs()?
        .filter(|one| one.interface_name == interface)
        .find_map(|one| one.address?.as_link_addr().copied())
        .ok_or_else(|| io::Error::other(format!("there is no interface {interface}")))?;
    if found.hatype() != ARPHRD_ETHER || found.halen() != 6 {
        return Err(not_ethernet());
    }
    Ok(found)
}

fn not_ethernet() -> io::Error {
    io::Error::other("the interface is not Ethernet")
}

/// The kernel's part of [`frame::read`], so that a busy link does not drown the few frames
/// that matter. It drops frames of a VLAN on the interface, because that is another link.
fn filter() -> [SockFilter; 13] {
    const ACCEPT: u32 = 12;
    const REFUSE: u32 = 11;
    let to = |from: u32, to: u32| u8::try_from(to - from - 1).unwrap_or(0);
    let load = |size: u32, at: u32| instruction(BPF_LD | size | BPF_ABS, (0, 0), at);
    let test = |at: u32, value: u32, yes: u32, no: u32| {
        instruction(BPF_JMP | BPF_JEQ | BPF_K, (to(at, yes), to(at, no)), value)
    };
    let at = |place: usize| u32::try_from(place).unwrap_or(0);
    let tag = (SKF_AD_OFF + SKF_AD_VLAN_TAG).cast_unsigned();
    [
        load(BPF_W, tag),
        instruction(BPF_ALU | BPF_AND | BPF_K, (0, 0), 0x0fff),
        test(2, 0, 3, REFUSE),
        load(BPF_H, at(KIND_AT)),
        test(4, ARP.into(), ACCEPT, 5),
        test(5, IPV6.into(), 6, REFUSE),
        load(BPF_B, at(NEXT_HEADER_AT)),
        test(7, ICMPV6.into(), 8, REFUSE),
        load(BPF_B, at(ICMP_AT)),
        test(9, SOLICITATION.into(), ACCEPT, 10),
        test(10, ADVERTISEMENT.into(), ACCEPT, REFUSE),
        instruction(BPF_RET | BPF_K, (0, 0), 0),
        instruction(BPF_RET | BPF_K, (0, 0), at(ENOUGH)),
    ]
}

fn instruction(code: u32, (yes, no): (u8, u8), value: u32) -> SockFilter {
    SockFilter::new(u16::try_from(code).unwrap_or(0), yes, no, value)
}

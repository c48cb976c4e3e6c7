//! Requests to the kernel's routing socket, in the network namespace of the calling thread.
//!
//! A container can fill its own namespace with any interfaces and addresses, so the answers are
//! bounded in size and time, and read as bytes: see [`message`].

pub(crate) mod message;

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, connect, recv, send,
    setsockopt, socket, sockopt::ReceiveTimeout,
};
use nix::sys::time::TimeVal;

use message::{Message, Reply};

/// How long an answer may take, all attempts together. It takes microseconds, unless something
/// holds the kernel's lock on its interfaces.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often berth asks for a listing that keeps changing while it is made.
const ATTEMPTS: u32 = 10;

/// Room for one datagram. The kernel's own are at most 32 KiB, unless one interface has a
/// thousand names.
const DATAGRAM: usize = 1 << 15;

/// Room for one datagram at the second attempt. A longer one would not be credible.
const LONGEST: usize = 1 << 17;

/// Sends one request and returns the answer. `flags` must ask for something that ends the
/// answer: `NLM_F_ACK` for a change, `NLM_F_DUMP` for a listing.
///
/// # Errors
/// The kernel's refusal; an answer that is malformed, too long or too late; a listing that
/// changed at every attempt. What such a listing lacks may still exist.
pub(crate) fn request(message: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<Message>> {
    request_by(message, flags, deadline())
}

/// Returns the time by which requests that begin now must be answered.
pub(crate) fn deadline() -> Instant {
    Instant::now() + PATIENCE
}

/// As [`request`], with a deadline that several requests share.
///
/// # Errors
/// As [`request`].
pub(crate) fn request_by(
    message: RouteNetlinkMessage,
    flags: u16,
    deadline: Instant,
) -> io::Result<Vec<Message>> {
    Socket::open()?.request_by(message, flags, deadline)
}

/// A connection to the kernel, in the network namespace in which it was opened.
pub(crate) struct Socket {
    descriptor: OwnedFd,
    datagram: Vec<u8>,
}

impl Socket {
    /// Opens a connection in the calling thread's namespace.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self {
            descriptor: connected()?,
            datagram: vec![0; DATAGRAM],
        })
    }

    /// As [`request_by`]. Drop the connection after an error, because an answer may still come.
    ///
    /// # Errors
    /// As [`request`].
    pub(crate) fn request_by(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
        deadline: Instant,
    ) -> io::Result<Vec<Message>> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        let mut request = vec![0; message.buffer_len()];
        message.serialize(&mut request);
        whole(|| {
            loop {
                send(self.descriptor.as_raw_fd(), &request, MsgFlags::empty())?;
                match receive(&self.descriptor, &mut self.datagram, deadline)? {
                    Some(reply) => return Ok(reply),
                    // The rest of the answer may still come, so this socket is replaced.
                    None => self.descriptor = connected()?,
                }
            }
        })
    }
}

fn connected() -> io::Result<OwnedFd> {
    let descriptor = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    // Once connected to the kernel, the socket accepts nothing from any other sender.
    connect(descriptor.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    Ok(descriptor)
}

/// Makes attempts until one is not torn.
fn whole(mut attempt: impl FnMut() -> io::Result<Reply>) -> io::Result<Vec<Message>> {
    for _ in 0..ATTEMPTS {
        let reply = attempt()?;
        if !reply.is_torn {
            return Ok(reply.messages);
        }
    }
    Err(io::Error::other(format!(
        "the listing changed during each of {ATTEMPTS} attempts"
    )))
}

/// Receives messages up to the last one. Returns `None` if the room was too small for a
/// datagram; it is then large enough for the next time.
///
/// # Errors
/// If the last message does not arrive before the deadline, no matter what arrives before it.
fn receive(
    socket: &OwnedFd,
    datagram: &mut Vec<u8>,
    deadline: Instant,
) -> io::Result<Option<Reply>> {
    let mut reply = Reply::default();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // Zero would mean to wait for ever.
        let seconds = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
        let left = TimeVal::new(seconds, i64::from(left.subsec_micros()).max(1));
        setsockopt(socket, ReceiveTimeout, &left)?;
        let length = match recv(socket.as_raw_fd(), datagram, MsgFlags::MSG_TRUNC) {
            Err(Errno::EINTR) => continue,
            Err(Errno::EAGAIN) => return Err(io::ErrorKind::TimedOut.into()),
            other => other?,
        };
        match datagram.get(..length) {
            Some(whole) if reply.add(whole)? => return Ok(Some(reply)),
            Some(_) => {}
            None if datagram.len() < LONGEST => {
                datagram.resize(LONGEST, 0);
                return Ok(None);
            }
            None => return Err(io::Error::other("the kernel's answer is too long")),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::thread;

    use netlink_packet_core::NLM_F_DUMP;
    use netlink_packet_route::link::LinkMessage;
    use nix::sys::socket::{socketpair, sockopt::SndBuf};

    use super::*;

    /// Each datagram arrives in time, but there is always another one.
    #[test]
    fn an_answer_that_trickles_in_is_given_up_at_the_deadline() {
        let (one, other) = socketpair(
            AddressFamily::Unix,
            SockType::Datagram,
            None,
            SockFlag::SOCK_CLOEXEC,
        )
        .unwrap();
        let part = message::tests::message(20, 0, b"body");
        let patience = Duration::from_millis(200);
        let start = Instant::now();
        thread::scope(|scope| {
            scope.spawn(move || {
                while start.elapsed() < 20 * patience
                    && send(other.as_raw_fd(), &part, MsgFlags::empty()).is_ok()
                {
                    thread::sleep(Duration::from_millis(5));
                }
            });
            let mut room = vec![0; DATAGRAM];
            let error = receive(&one, &mut room, start + patience).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert!((patience..10 * patience).contains(&start.elapsed()));
            drop(one);
        });
        // An attempt after the deadline does not even begin to wait.
        let listing = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let error = request_by(listing, NLM_F_DUMP, start).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_datagram_without_room_is_asked_for_again_up_to_the_longest() {
        let (one, other) = socketpair(
            AddressFamily::Unix,
            SockType::Datagram,
            None,
            SockFlag::SOCK_CLOEXEC,
        )
        .unwrap();
        setsockopt(&other, SndBuf, &(4 * LONGEST)).unwrap();
        let mut room = vec![0; DATAGRAM];
        let mut receive = |length: usize| {
            let link = message::tests::message(20, 0, &vec![7; length - 16]);
            send(other.as_raw_fd(), &link, MsgFlags::empty()).unwrap();
            let done = message::tests::message(3, 0, &[0; 4]);
            send(other.as_raw_fd(), &done, MsgFlags::empty()).unwrap();
            let received = receive(&one, &mut room, deadline());
            if !matches!(received, Ok(Some(_))) {
                // The end of the listing is still in the socket.
                recv(one.as_raw_fd(), &mut [0; 64], MsgFlags::empty()).unwrap();
            }
            received
        };
        assert!(receive(DATAGRAM).unwrap().is_some());
        assert!(receive(DATAGRAM + 4).unwrap().is_none());
        assert!(receive(LONGEST).unwrap().is_some());
        let error = receive(LONGEST + 4).unwrap_err();
        assert_eq!(error.to_string(), "the kernel's answer is too long");
    }

    #[test]
    fn a_listing_that_changed_is_asked_for_again_and_in_the_end_an_error() {
        let mut attempts = 0;
        let torn = |is_torn| {
            let mut reply = Reply::default();
            reply.is_torn = is_torn;
            reply
        };
        let listed = whole(|| {
            attempts += 1;
            Ok(torn(attempts < 3))
        });
        assert!(listed.unwrap().is_empty());
        assert_eq!(attempts, 3);
        let error = whole(|| Ok(torn(true))).unwrap_err().to_string();
        assert_eq!(error, "the listing changed during each of 10 attempts");
    }
}

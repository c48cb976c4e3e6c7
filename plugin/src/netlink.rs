//! Requests to the kernel's routing socket, in the network namespace of the
//! calling thread.

use std::io;

use netlink_packet_core::{
    NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// Sends one request and returns what is answered. `flags` must ask for an end:
/// `NLM_F_ACK` for a change, `NLM_F_DUMP` for a listing.
///
/// # Errors
/// The kernel's refusal, or an answer that cannot be understood.
pub(crate) fn request(
    message: RouteNetlinkMessage,
    flags: u16,
) -> io::Result<Vec<RouteNetlinkMessage>> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
    message.finalize();
    let mut buffer = vec![0; message.buffer_len()];
    message.serialize(&mut buffer);

    let socket = Socket::new(NETLINK_ROUTE)?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&buffer, 0)?;
    let mut answers = Vec::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        if read(&datagram, &mut answers)? {
            return Ok(answers);
        }
    }
}

/// Reads the messages of one datagram. Returns whether they were the last ones.
fn read<M>(datagram: &[u8], answers: &mut Vec<M>) -> io::Result<bool>
where
    M: NetlinkDeserializable + NetlinkSerializable + std::fmt::Debug,
{
    let mut rest = datagram;
    while !rest.is_empty() {
        let message = NetlinkMessage::<M>::deserialize(rest).map_err(io::Error::other)?;
        // Each message is padded to four bytes; its length is not.
        let length = usize::try_from(message.header.length).unwrap_or(usize::MAX);
        let padded = length.max(16).saturating_add(3) & !3;
        rest = rest.get(padded..).unwrap_or_default();
        match message.payload {
            NetlinkPayload::InnerMessage(inner) => answers.push(inner),
            NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
            NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => return Ok(true),
            _ => {}
        }
    }
    Ok(false)
}

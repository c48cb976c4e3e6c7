//! The answers of the kernel's routing socket, parsed only as far as we need them (netlink(7),
//! rtnetlink(7)).
//!
//! Names and aliases may be any bytes, so they are kept as bytes. A datagram whose lengths do
//! not add up is an error, because what it lacks may still exist.

use std::io;

use netlink_packet_core::{
    NLA_HEADER_SIZE, NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR, NLMSG_OVERRUN, NlasIterator,
};

const HEADER: usize = 16;
/// Types below this one are netlink's own.
const FIRST_KIND: u16 = 16;
/// Room for some 10,000 interfaces or 200,000 addresses.
const LIMIT: usize = 16 << 20;

/// One message of the routing socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Its type, `RTM_…`.
    pub(crate) kind: u16,
    body: Vec<u8>,
}

impl Message {
    /// Returns the fixed head, and the attributes that follow it with their numbers.
    ///
    /// # Errors
    /// If the message is shorter than its head, or an attribute is longer than the rest.
    pub(crate) fn parts<const N: usize>(&self) -> io::Result<([u8; N], Vec<Attribute<'_>>)> {
        let (head, rest) = self.body.split_first_chunk().ok_or_else(cut)?;
        let rest = self.body.get(N.next_multiple_of(4)..).unwrap_or(&rest[..0]);
        Ok((*head, attributes(rest)?))
    }
}

/// The number and value of an attribute.
pub(crate) type Attribute<'a> = (u16, &'a [u8]);

/// Returns the attributes in these bytes.
///
/// # Errors
/// If an attribute is longer than the rest.
pub(crate) fn attributes(bytes: &[u8]) -> io::Result<Vec<Attribute<'_>>> {
    NlasIterator::new(bytes)
        .map(|attribute| {
            let attribute = attribute.map_err(|_| cut())?;
            let (kind, length) = (attribute.kind(), usize::from(attribute.length()));
            let value = attribute.into_inner().get(NLA_HEADER_SIZE..length);
            Ok((kind, value.ok_or_else(cut)?))
        })
        .collect()
}

/// The answer so far.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    /// The messages.
    pub(crate) messages: Vec<Message>,
    /// Whether the listing changed while it was made, so that some may be missing.
    pub(crate) is_torn: bool,
    bytes: usize,
}

impl Reply {
    /// Adds the messages of one datagram. Returns whether it had the last one.
    ///
    /// # Errors
    /// The kernel's refusal, or if the datagram is malformed or one too many.
    pub(crate) fn add(&mut self, datagram: &[u8]) -> io::Result<bool> {
        self.bytes += datagram.len();
        if self.bytes > LIMIT {
            let text = format!("the listing is longer than {} MiB", LIMIT >> 20);
            return Err(io::Error::other(text));
        }
        let mut rest = datagram;
        while !rest.is_empty() {
            let head: &[u8; HEADER] = rest.first_chunk().ok_or_else(cut)?;
            let length = u32::from_ne_bytes([head[0], head[1], head[2], head[3]]);
            let kind = u16::from_ne_bytes([head[4], head[5]]);
            let flags = u16::from_ne_bytes([head[6], head[7]]);
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let body = rest.get(HEADER..length).ok_or_else(cut)?;
            self.is_torn |= flags & NLM_F_DUMP_INTR != 0;
            match kind {
                // Both begin with an error number; if it is zero, all is well.
                NLMSG_ERROR | NLMSG_DONE => {
                    let code = match body.first_chunk() {
                        Some(code) => i32::from_ne_bytes(*code),
                        None if kind == NLMSG_DONE => 0,
                        None => return Err(cut()),
                    };
                    return match code {
                        0 => Ok(true),
                        code => Err(io::Error::from_raw_os_error(code.saturating_abs())),
                    };
                }
                NLMSG_OVERRUN => return Err(io::Error::other("the kernel has lost messages")),
                FIRST_KIND.. => self.messages.push(Message {
                    kind,
                    body: body.to_owned(),
                }),
                _ => {}
            }
            // Each message is padded to four bytes, but its length does not count the padding.
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(false)
    }
}

fn cut() -> io::Error {
    io::Error::other("the kernel's answer is malformed")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A message as the kernel writes it, padding included.
    pub(crate) fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER + body.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn read(datagram: &[u8]) -> io::Result<(Reply, bool)> {
        let mut reply = Reply::default();
        reply.add(datagram).map(|is_last| (reply, is_last))
    }

    #[test]
    fn a_listing_that_changed_is_torn_whichever_message_says_so() {
        let done = message(NLMSG_DONE, 0, &[0; 4]);
        let part = |flags| [message(20, flags, b"body"), done.clone()].concat();
        let (whole, is_last) = read(&part(2)).unwrap();
        assert!(is_last && !whole.is_torn && whole.messages.len() == 1);
        assert!(read(&part(2 | NLM_F_DUMP_INTR)).unwrap().0.is_torn);
        let at_the_end = message(NLMSG_DONE, 2 | NLM_F_DUMP_INTR, &[0; 4]);
        assert!(read(&at_the_end).unwrap().0.is_torn);
    }

    #[test]
    fn an_error_is_one_also_at_the_end_of_a_listing() {
        let refusal = (-1_i32).to_ne_bytes();
        for kind in [NLMSG_ERROR, NLMSG_DONE] {
            let error = read(&message(kind, 0, &refusal)).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(1));
        }
        assert!(read(&message(NLMSG_ERROR, 0, &[0; 4])).unwrap().1);
        assert!(read(&message(NLMSG_OVERRUN, 0, &[])).is_err());
        assert!(!read(&message(1, 0, &[])).unwrap().1, "a no-op");
    }

    #[test]
    fn what_is_cut_is_an_error_and_not_an_end() {
        let good = message(20, 0, b"bodybody");
        assert_eq!(read(&good).unwrap().0.messages[0].body, b"bodybody");
        for length in 1..good.len() {
            assert!(read(&good[..length]).is_err(), "{length}");
        }
        let endless = [8_u32.to_ne_bytes().as_slice(), &[0; 12]].concat();
        assert!(read(&endless).is_err(), "shorter than its own header");
        let attribute = [9, 0, 3, 0, b'x'];
        assert!(attributes(&attribute).is_err());
    }

    #[test]
    fn an_answer_without_end_is_given_up() {
        let mut reply = Reply::default();
        let datagram = message(20, 0, &[0; 32768]);
        let error = (0..1000).find_map(|_| reply.add(&datagram).err()).unwrap();
        assert_eq!(error.to_string(), "the listing is longer than 16 MiB");
    }

    proptest! {
        #[test]
        fn no_datagram_is_the_readers_end(bytes: Vec<u8>, kind: u16, flags: u16) {
            let framed = message(kind, flags, &bytes);
            for datagram in [bytes, framed] {
                let Ok((reply, _)) = read(&datagram) else { continue };
                let kept: usize = reply.messages.iter().map(|m| m.body.len() + HEADER).sum();
                prop_assert!(kept <= datagram.len());
                for message in reply.messages {
                    let _ = message.parts::<1>();
                    let _ = message.parts::<16>();
                }
            }
        }

        #[test]
        fn attributes_come_back_as_they_were(values: Vec<(u16, Vec<u8>)>) {
            let mut bytes = Vec::new();
            for (kind, value) in &values {
                let length = u16::try_from(value.len() + 4).unwrap();
                bytes.extend(length.to_ne_bytes());
                bytes.extend((kind & 0x3fff).to_ne_bytes());
                bytes.extend(value);
                bytes.resize(bytes.len().next_multiple_of(4), 0);
            }
            let found = attributes(&bytes).unwrap();
            let found: Vec<_> = found.iter().map(|(kind, value)| (*kind, value.to_vec())).collect();
            let expected: Vec<_> = values.iter().map(|(k, v)| (k & 0x3fff, v.clone())).collect();
            prop_assert_eq!(found, expected);
        }
    }
}

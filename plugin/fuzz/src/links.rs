//! Of berth's module `links`, the decoder.

#[path = "../../src/sight/links/decode.rs"]
mod decode;

use crate::netlink::message::Message;

/// Reads a message of a datagram of this size as each of what it can be.
pub fn read(message: &Message, size: usize) {
    if let Ok(Some(link)) = decode::link(message) {
        // What is no text takes three bytes for one.
        assert!(link.name.len() + link.kind.len() <= 3 * size);
        assert!(link.addresses.is_empty());
    }
    let _ = decode::address(message);
    let _ = decode::namespace_id(message);
}

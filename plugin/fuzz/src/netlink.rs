//! Fuzzes the decoding of netlink: whatever a datagram says, it is taken apart without a
//! panic, in bounded memory and time, and nothing comes out that was not in it.
#![no_main]

mod guard;
#[allow(dead_code, reason = "only what the decoder names is used")]
mod rules;

#[allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "only the decoder is used"
)]
#[path = "room_netlink.rs"]
mod netlink;
#[path = "room_links.rs"]
mod sight;

use libfuzzer_sys::fuzz_target;
use netlink::message::{Message, Reply};
use nix::libc::{RTM_NEWADDR, RTM_NEWLINK, RTM_NEWNSID};

fuzz_target!(|input: &[u8]| {
    guard::watched(input, |input| {
        // As it comes, and as the body of each message that is understood.
        decode(input);
        for kind in [RTM_NEWLINK, RTM_NEWADDR, RTM_NEWNSID] {
            let length = u32::try_from(16 + input.len()).unwrap_or(u32::MAX);
            let head = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &[0; 10]].concat();
            let mut datagram = [&head, input].concat();
            datagram.resize(datagram.len().next_multiple_of(4), 0);
            assert_eq!(decode(&datagram), 1, "one message");
        }
    });
});

fn decode(datagram: &[u8]) -> usize {
    let mut reply = Reply::default();
    let _ = reply.add(datagram);
    assert!(reply.messages.len() <= datagram.len() / 16);
    let messages: &[Message] = &reply.messages;
    for message in messages {
        sight::links::read(message, datagram.len());
    }
    messages.len()
}

//! Of berth's room `netlink`, what takes an answer apart.

#[path = "../../src/netlink/message.rs"]
pub mod message;

//! Of berth's room `sight`, what reads interfaces and addresses.

pub use crate::rules::evidence::{Link, Peer};

#[path = "links.rs"]
pub mod links;

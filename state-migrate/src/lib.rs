//! The address leases of Podman's own allocation: the file `ipam.db`, what it says,
//! which of its entries are true, and the moves from it to berth and back.
//!
//! [`bolt`] knows the file's format but not its meaning; [`ipam`] knows the meaning but no
//! file. Decisions are made without I/O, and then carried out.

pub mod bolt;
pub mod commands;
pub mod file;
pub mod ipam;

mod adopt;
mod backup;
mod edits;
mod error;
mod evidence;
mod flaw;
mod inspection;
mod judgement;
mod look;
mod moves;
mod network_file;
mod networks;
mod rollback;
mod sanitise;
mod selection;
mod site;
mod verdict;

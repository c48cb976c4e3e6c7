//! The address leases of Podman's own allocation: the file `ipam.db`, what it says,
//! how much of it is true, and the way from it to berth and back.
//!
//! [`bolt`] knows the file's format and no meaning; [`ipam`] knows the meaning and no
//! file. What is to be done is decided without I/O, and then carried out.

pub mod adopt;
pub mod backup;
pub mod bolt;
pub mod commands;
pub mod evidence;
pub mod file;
pub mod finding;
pub mod inspection;
pub mod ipam;
pub mod judgement;
pub mod look;
pub mod migration;
pub mod network_file;
pub mod networks;
pub mod plan;
pub mod rollback;
pub mod sanitise;
pub mod selection;
pub mod verdict;

//! What keeps the store and the host in order beside the containers' own starts and
//! stops: collection, the doctor, adoption of a
//! whole host's networks, and rebuilding a damaged store.

pub mod collect;
pub mod doctor;
pub mod host_wide;
pub mod rebuild;

//! The configuration of a new network: what is missing is filled in, what cannot
//! work is refused. No I/O: the host's facts come in as values.

mod subnet_pools;

pub use subnet_pools::{SubnetPool, SubnetPoolError, SubnetPools};

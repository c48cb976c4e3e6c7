//! The front ends: each turns what its caller says into calls of the library,
//! and the result into what its caller expects. They decide nothing.

pub mod operator;
pub mod plugin;

//! A real Podman in namespaces of its own, and what tests need to work with it.
//!
//! A [`Lab`] is a Debian root with Podman, netavark and aardvark-dns. It starts in a fraction
//! of a second, and is private to one test. [`Lab::user`] is the same lab as an ordinary user
//! sees it. [`Cmd`] runs commands in it and records them, [`podman`] has Podman's commands,
//! [`kernel`] reads what the lab's kernel shows, and [`outage`] makes Podman, netavark or the
//! plugin die at a chosen moment.
//!
//! Nothing here touches the host: see `integration/lab/start`.

pub mod bbolt;
mod benchmark;
mod bystander;
pub mod campaign;
mod clean;
mod command;
mod compose;
pub mod crash;
mod driver;
pub mod etcd;
pub mod ipam_db;
pub mod kernel;
mod lab;
pub mod lan;
mod leases;
mod migrate;
pub mod neighbour;
pub mod outage;
mod pings;
pub mod podman;
pub mod processes;
mod recorder;
mod rootless;
mod seed;
pub mod session;
pub mod shared;
pub mod storm;
pub mod syscalls;
pub mod tally;
pub mod torture;
pub mod upgrade;
pub mod versions;
mod wait;
pub mod web;

pub use benchmark::{Benchmark, median};
pub use bystander::BYSTANDERS_ADDRESS;
pub use command::{Cmd, Outcome};
pub use driver::Driver;
pub use kernel::ip;
pub use lab::{Lab, debian_file, executable};
pub use lan::Lan;
pub use leases::{HeldAddress, Leases, Place};
pub use migrate::{Slot, spoil};
pub use podman::{Container, Network};
pub use seed::{new_seed, seed};
pub use wait::wait_until;

/// Turns functions that take a [`Driver`] into a `#[test]` for each driver.
///
/// If a test also passes with Podman's own bridge driver, it demands nothing of berth that
/// Podman does not do.
#[macro_export]
macro_rules! with_each_driver {
    ($($test:ident),+ $(,)?) => {
        $crate::with_driver!(bridge, Bridge, $($test),+);
        $crate::with_driver!(berth, Berth, $($test),+);
        $crate::with_driver!(host_wide, HostWide, $($test),+);
    };
}

/// Turns functions that take a [`Driver`] into a `#[test]` for one driver.
#[macro_export]
macro_rules! with_driver {
    ($module:ident, $driver:ident, $($test:ident),+ $(,)?) => {
        mod $module {
            $(
                #[test]
                fn $test() {
                    super::$test($crate::Driver::$driver);
                }
            )+
        }
    };
}

/// Turns a function that takes an [`outage::Death`] into a module of this name with a `#[test]`
/// for each death.
#[macro_export]
macro_rules! after_each_death {
    ($module:ident, $function:ident) => {
        mod $module {
            use $crate::outage::Death;

            #[test]
            fn after_podman_is_killed_before_netavark_runs() {
                super::$function(Death::PodmanBeforeNetavark);
            }

            #[test]
            fn after_podman_is_killed_after_netavark() {
                super::$function(Death::PodmanAfterNetavark);
            }

            #[test]
            fn after_the_plugin_is_killed_before_plumbing() {
                super::$function(Death::PluginBeforePlumbing);
            }

            #[test]
            fn after_the_plugin_is_killed_after_plumbing() {
                super::$function(Death::PluginAfterPlumbing);
            }

            #[test]
            fn after_netavark_is_killed_above_the_plugin() {
                super::$function(Death::NetavarkBeforePlumbing);
            }

            #[test]
            fn after_everybody_is_killed() {
                super::$function(Death::EverybodyAfterPlumbing);
            }
        }
    };
}

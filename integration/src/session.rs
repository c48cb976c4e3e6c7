//! A network as an operator sees it: many containers, one of them dead, one static and
//! stopped, and an address that was taken back.

use crate::{Driver, Lab, Network};

/// The address that the stopped one had, and will have again.
pub const STOPPED: &str = "10.50.0.20";
/// The address that the dead one still has.
pub const GHOST: &str = "10.50.0.30";
/// The address that a dead one had, before a collection took it back and the container
/// was started again.
pub const ONCE_LOST: &str = "10.50.0.10";

impl Lab {
    /// Makes the network `web` with this many containers, four at least: `proxy`, static,
    /// which was dead once; `db`, static and stopped; `ghost`, static and dead; and `app1`,
    /// `app2`, …
    #[track_caller]
    pub fn busy_network(&self, containers: usize) -> Network {
        let options = [
            "--subnet=10.50.0.0/24",
            "--opt=ipam_exclude=10.50.0.240-10.50.0.254",
        ];
        let network = self.network(Driver::Berth, "web", &options);
        let fixed = |name: &str, address: &str| self.container(name, &["web"]).ip(address);
        fixed("proxy", ONCE_LOST).start();
        self.kill_with_conmon("proxy");
        self.cmd("berth").arg("gc").ok();
        self.remove_at_last("proxy");
        let proxy = fixed("proxy", ONCE_LOST);
        proxy.option("--publish", "8080:80").start();
        fixed("db", STOPPED).start();
        self.podman(["stop", "--time=0", "db"]).ok();
        fixed("ghost", GHOST).start();
        self.kill_with_conmon("ghost");
        for number in 1..=containers - 3 {
            self.container(&format!("app{number}"), &["web"]).start();
        }
        network
    }
}

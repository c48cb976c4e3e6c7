//! A network as operators meet it: many containers, of which one is dead and one static and
//! stopped, and an address that was reclaimed once.

use crate::{Driver, Lab, Network};

/// The address that the stopped container had, and will have again.
pub const STOPPED: &str = "10.50.0.20";
/// The address that the dead container still has.
pub const GHOST: &str = "10.50.0.30";
/// The address of a container that died, lost it to a collection, and was started again.
pub const ONCE_LOST: &str = "10.50.0.10";

impl Lab {
    /// Makes the network `web` with this many containers, at least four: `proxy`, static,
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

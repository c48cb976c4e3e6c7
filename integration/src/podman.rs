//! Podman's command line, and what Podman says about containers and networks.

use std::net::IpAddr;

use serde_json::Value;

use crate::{Cmd, Driver, Lab};

/// The image in every lab: busybox with all its applets, and `/www/index.html`.
pub const IMAGE: &str = "lab";

/// A network, as it was right after its creation.
#[derive(Clone, Debug)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Its interface on the host's side.
    pub interface: String,
    /// Its subnets, such as `10.77.0.0/24`.
    pub subnets: Vec<String>,
}

/// A container, as it was right after its start.
#[derive(Clone, Debug)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its full id.
    pub id: String,
}

/// A container to be run.
#[must_use = "nothing runs before `start`, `fails` or `cmd`"]
pub struct Run<'lab> {
    lab: &'lab Lab,
    name: String,
    options: Vec<String>,
    command: Vec<String>,
    env: Vec<(String, String)>,
}

impl Lab {
    /// Returns a podman command.
    pub fn podman<S: AsRef<str>>(&self, args: impl IntoIterator<Item = S>) -> Cmd<'_> {
        self.cmd("podman").args(args)
    }

    /// Creates a network and returns it as Podman made it.
    ///
    /// # Panics
    /// If that fails.
    #[track_caller]
    pub fn network(&self, driver: Driver, name: &str, options: &[&str]) -> Network {
        if driver == Driver::HostWide {
            self.host_wide();
        }
        let network = self.foreign_network(&driver.to_string(), name, options);
        if driver == Driver::HostWide {
            // The next collection would do the same.
            self.migrate(["adopt", "--yes", name]).ok();
        }
        network
    }

    /// As [`network`](Self::network), with any driver that Podman finds.
    ///
    /// # Panics
    /// If that fails.
    #[track_caller]
    pub fn foreign_network(&self, driver: &str, name: &str, options: &[&str]) -> Network {
        self.podman(["network", "create", "--driver", driver])
            .args(options)
            .arg(name)
            .ok();
        self.inspect_network(name)
    }

    /// Puts berth in front of netavark, for all users, and moves root's networks to it.
    #[track_caller]
    pub fn host_wide(&self) {
        let root = self.seen_by(None);
        root.cmd("berth").args(["host-wide", "on", "--yes"]).ok();
    }

    /// Returns what Podman says about a network.
    ///
    /// # Panics
    /// If there is no network of that name.
    #[track_caller]
    pub fn inspect_network(&self, name: &str) -> Network {
        let all = self.json(["network", "inspect", name]);
        let network = &all[0];
        let text = |key: &str| network[key].as_str().unwrap_or_default().to_owned();
        let subnets = network["subnets"].as_array().cloned().unwrap_or_default();
        Network {
            name: text("name"),
            id: text("id"),
            interface: text("network_interface"),
            subnets: subnets
                .iter()
                .filter_map(|subnet| subnet["subnet"].as_str().map(str::to_owned))
                .collect(),
        }
    }

    /// Returns a container of the lab's image on these networks, to be run.
    pub fn container(&self, name: &str, networks: &[&str]) -> Run<'_> {
        let run = Run {
            lab: self,
            name: name.to_owned(),
            options: Vec::new(),
            command: Vec::new(),
            env: Vec::new(),
        };
        networks
            .iter()
            .fold(run, |run, network| run.option("--network", network))
    }

    /// Removes a container, whatever its state.
    ///
    /// # Panics
    /// If that fails.
    #[track_caller]
    pub fn remove(&self, name: &str) {
        self.podman(["rm", "--force", "--time=0", name]).ok();
    }

    /// Removes a container that was killed. Podman's first answer is then an error; it removes
    /// the container when asked again.
    ///
    /// # Panics
    /// If that takes more than three attempts.
    #[track_caller]
    pub fn remove_at_last(&self, name: &str) {
        // By its whole id: once the container is gone, Podman takes its name for the beginning of
        // an id.
        let filter = format!("name=^{name}$");
        let ps = ["ps", "--all", "--no-trunc", "--format={{.ID}}", "--filter"];
        let id = self.podman(ps).arg(filter).ok();
        if id.is_empty() {
            return;
        }
        let remove = || self.podman(["rm", "--force", "--time=0", &id]);
        for _ in 0..2 {
            if remove().run().status.success() {
                return;
            }
        }
        remove().ok();
    }

    /// Returns podman's answer as JSON.
    ///
    /// # Panics
    /// If it fails, or does not answer in JSON.
    #[track_caller]
    pub fn json<S: AsRef<str>>(&self, args: impl IntoIterator<Item = S>) -> Value {
        let text = self.podman(args).ok();
        serde_json::from_str(&text).unwrap_or_else(|err| panic!("{err} in `{text}`"))
    }

    /// Returns the addresses Podman reports for a container on a network, IPv4 first.
    #[track_caller]
    pub fn reported(&self, container: &str, network: &str) -> Vec<IpAddr> {
        let all = self.json(["inspect", container]);
        let settings = &all[0]["NetworkSettings"]["Networks"][network];
        ["IPAddress", "GlobalIPv6Address"]
            .iter()
            .filter_map(|key| settings[key].as_str()?.parse().ok())
            .collect()
    }
}

impl<'lab> Run<'lab> {
    /// Adds an option and its value.
    pub fn option(mut self, option: &str, value: impl AsRef<str>) -> Self {
        self.options.push(option.to_owned());
        self.options.push(value.as_ref().to_owned());
        self
    }

    /// Asks for an IPv4 address.
    pub fn ip(self, address: &str) -> Self {
        self.option("--ip", address)
    }

    /// Asks for an IPv6 address.
    pub fn ip6(self, address: &str) -> Self {
        self.option("--ip6", address)
    }

    /// Runs this command in it. The default is to sleep for ever.
    pub fn command(mut self, command: &[&str]) -> Self {
        self.command = command.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Sets an environment variable for podman, and so for netavark and the plugin.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Returns the lab it is to run in.
    pub fn lab(&self) -> &'lab Lab {
        self.lab
    }

    /// Returns the command that runs it.
    pub fn cmd(self) -> Cmd<'lab> {
        let mut cmd = self.lab.cmd("podman");
        for (name, value) in &self.env {
            cmd = cmd.env(name, value);
        }
        cmd.args(["run", "--detach", "--name", &self.name])
            .args(self.options)
            .arg(IMAGE)
            .args(self.command)
    }

    /// Runs it.
    ///
    /// # Panics
    /// If that fails.
    #[track_caller]
    pub fn start(self) -> Container {
        let name = self.name.clone();
        let id = self.cmd().ok();
        Container { name, id }
    }

    /// Runs it, and expects a failure with this message.
    ///
    /// # Panics
    /// If it succeeds or says something else.
    #[track_caller]
    pub fn fails(self, message: &str) -> crate::Outcome {
        self.cmd().fails(message)
    }
}

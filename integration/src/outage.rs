//! Deaths at a chosen moment.
//!
//! Podman finds netavark in its helper directories, the plugin finds it in
//! `BERTH_NETAVARK`: a script in its place decides who dies, and when.

use crate::{Lab, podman::Run};

const DIRECTORY: &str = "/opt/outage";

/// Who dies when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// Podman, between its allocation and netavark's first step: the outage this
    /// project exists for.
    PodmanBeforeSetup,
    /// Podman, once netavark has set everything up and before it can say so.
    PodmanAfterSetup,
}

impl Death {
    fn script(self, netavark: &str) -> String {
        let verb = format!(
            r#"#!/bin/bash
# In place of netavark: kills the podman that called it.
verb=
for word in "$@"; do
  case $word in setup | teardown) verb=$word ;; esac
done
[ "$verb" = setup ] || exec {netavark} "$@"
"#
        );
        let death = match self {
            Self::PodmanBeforeSetup => "kill -9 $PPID\n".to_owned(),
            Self::PodmanAfterSetup => format!("{netavark} \"$@\" >/dev/null\nkill -9 $PPID\n"),
        };
        verb + &death
    }
}

impl Lab {
    /// Returns the path of the real netavark.
    #[track_caller]
    pub fn netavark(&self) -> String {
        self.podman(["info", "--format", "{{.Host.NetworkBackendInfo.Path}}"])
            .ok()
    }
}

impl Run<'_> {
    /// Runs it with this death on the way.
    ///
    /// # Panics
    /// If podman survives.
    #[track_caller]
    pub fn dies(self, death: Death) {
        let lab = self.lab();
        let netavark = lab.netavark();
        lab.write_executable(&format!("{DIRECTORY}/netavark"), &death.script(&netavark));
        let conf = format!("{DIRECTORY}/containers.conf");
        let helpers =
            "/usr/local/libexec/podman /usr/local/lib/podman /usr/libexec/podman /usr/lib/podman";
        let directories: Vec<_> = [DIRECTORY]
            .into_iter()
            .chain(helpers.split(' '))
            .map(|directory| format!("\"{directory}\""))
            .collect();
        lab.write(
            &conf,
            &format!(
                "[engine]\nhelper_binaries_dir = [{}]\n",
                directories.join(", ")
            ),
        );
        let outcome = self.env("CONTAINERS_CONF_OVERRIDE", &conf).cmd().run();
        assert_eq!(
            outcome.status.code(),
            Some(128 + 9),
            "podman must be killed:\n{outcome}"
        );
    }
}

//! Deaths at a chosen moment.
//!
//! Podman finds netavark in its helper directories, and the plugin in
//! `BERTH_NETAVARK`: a script in its place decides who dies, and when.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use crate::{Lab, Outcome, podman::Run, wait_until};

const DIRECTORY: &str = "/opt/outage";
const BOUND: Duration = Duration::from_secs(10);
const CONF: &str = "/opt/outage/containers.conf";

/// Who dies during a setup, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// Podman, after its own allocation and before netavark's first step: the
    /// outage this project exists for.
    PodmanBeforeNetavark,
    /// Podman, when netavark has set everything up and before it can say so: the
    /// interface, the rules and the name are there, and nobody is.
    PodmanAfterNetavark,
    /// The plugin, with its lease durable and nothing plumbed.
    PluginBeforePlumbing,
    /// The plugin, with everything plumbed and the lease not yet bound.
    PluginAfterPlumbing,
    /// Podman, netavark and the plugin, as when a whole service is killed, with
    /// everything plumbed.
    EverybodyAfterPlumbing,
}

impl Death {
    /// Whether the killer takes netavark's place for Podman, or for the plugin.
    fn in_podmans_place(self) -> bool {
        match self {
            Self::PodmanBeforeNetavark | Self::PodmanAfterNetavark => true,
            Self::PluginBeforePlumbing
            | Self::PluginAfterPlumbing
            | Self::EverybodyAfterPlumbing => false,
        }
    }

    /// Returns the killer. It lets every verb but `setup` pass.
    fn script(self, netavark: &str) -> String {
        let setup = format!("{netavark} \"$@\" >/dev/null");
        let steps = match self {
            Self::PodmanBeforeNetavark | Self::PluginBeforePlumbing => {
                vec!["kill -9 $PPID".to_owned()]
            }
            Self::PodmanAfterNetavark | Self::PluginAfterPlumbing => {
                vec![setup, "kill -9 $PPID".to_owned()]
            }
            Self::EverybodyAfterPlumbing => vec![
                "parent() { sed -n 's/^PPid:\\t//p' \"/proc/$1/status\"; }".to_owned(),
                "netavark=$(parent $PPID); podman=$(parent $netavark)".to_owned(),
                setup,
                // From the top, so that nobody is left to see the others die.
                "kill -9 $podman $netavark $PPID".to_owned(),
            ],
        };
        format!(
            r#"#!/bin/bash
# In netavark's place.
case " $* " in *" setup "*) ;; *) exec {netavark} "$@" ;; esac
{}
"#,
            steps.join("\n")
        )
    }
}

/// Returns the setting that lets podman search a directory before those that
/// netavark is in.
pub(crate) fn helpers(directory: &str) -> String {
    let directories = [
        directory,
        "/usr/local/libexec/podman",
        "/usr/local/lib/podman",
        "/usr/libexec/podman",
        "/usr/lib/podman",
    ];
    format!("helper_binaries_dir = {directories:?}")
}

impl Lab {
    /// Returns the path of the real netavark.
    #[track_caller]
    pub fn netavark(&self) -> String {
        self.podman(["info", "--format", "{{.Host.NetworkBackendInfo.Path}}"])
            .ok()
    }

    /// Puts a script in netavark's place, for podman commands that have
    /// `CONTAINERS_CONF_OVERRIDE` set to the path it returns.
    #[track_caller]
    pub fn replace_netavark(&self, script: &str) -> &'static str {
        self.write_executable(&format!("{DIRECTORY}/netavark"), script);
        let conf = format!("[engine]\n{}\n", helpers(DIRECTORY));
        self.write(CONF, &conf);
        CONF
    }

    /// Ends conmon and the container with SIGKILL, so that nobody cleans up, and
    /// waits for their end.
    #[track_caller]
    pub fn kill_with_conmon(&self, container: &str) {
        let format = "{{.State.ConmonPid}} {{.State.Pid}}";
        let pids = self.podman(["inspect", "--format", format, container]).ok();
        self.sh(&format!("kill -9 {pids}"));
        wait_until("the end of conmon and container", BOUND, || {
            // Once reaped: a zombie still answers to a signal.
            let alive = self.sh(&format!("ps -o pid= -p {} || true", pids.replace(' ', ",")));
            alive.is_empty().then_some(())
        });
    }
}

impl Run<'_> {
    /// Runs it, with this death on the way.
    ///
    /// # Panics
    /// If nobody dies.
    #[track_caller]
    pub fn dies(self, death: Death) -> Outcome {
        let lab = self.lab();
        let script = death.script(&lab.netavark());
        let run = if death.in_podmans_place() {
            let conf = lab.replace_netavark(&script);
            self.env("CONTAINERS_CONF_OVERRIDE", conf)
        } else {
            let killer = format!("{DIRECTORY}/killer");
            lab.write_executable(&killer, &script);
            self.env("BERTH_NETAVARK", &killer)
        };
        let outcome = run.cmd().run();
        assert!(!outcome.status.success(), "somebody must die:\n{outcome}");
        let killed = outcome.status.signal() == Some(9);
        let podman_dies = match death {
            Death::PodmanBeforeNetavark
            | Death::PodmanAfterNetavark
            | Death::EverybodyAfterPlumbing => true,
            Death::PluginBeforePlumbing | Death::PluginAfterPlumbing => false,
        };
        assert_eq!(killed, podman_dies, "podman is killed:\n{outcome}");
        outcome
    }
}

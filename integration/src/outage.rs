//! Kills Podman, netavark or the plugin at a chosen moment.
//!
//! Podman finds netavark in its helper directories, and the plugin finds it in
//! `BERTH_NETAVARK`. A script in netavark's place decides which process dies, and when.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use crate::{Lab, Outcome, podman::Run, wait_until};

const DIRECTORY: &str = "/opt/outage";
const BOUND: Duration = Duration::from_secs(10);
const KILLER: &str = "/opt/outage/killer";
const CONF: &str = "/opt/outage/containers.conf";

/// What dies during a setup, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// Podman, after its own allocation and before netavark's first step: the outage for
    /// which this project exists.
    PodmanBeforeNetavark,
    /// Podman, after netavark has set everything up and before it can report that: the
    /// interface, the rules and the DNS name exist, but no container.
    PodmanAfterNetavark,
    /// The plugin, when its lease is durable and nothing is plumbed.
    PluginBeforePlumbing,
    /// The plugin, when everything is plumbed and the lease is not yet bound.
    PluginAfterPlumbing,
    /// netavark, while the plugin that it called carries on.
    NetavarkBeforePlumbing,
    /// Podman, netavark and the plugin, as when a whole service is killed, when
    /// everything is plumbed.
    EverybodyAfterPlumbing,
}

impl Death {
    /// Returns whether the killer takes netavark's place for Podman, not for the plugin.
    fn in_podmans_place(self) -> bool {
        match self {
            Self::PodmanBeforeNetavark | Self::PodmanAfterNetavark => true,
            Self::PluginBeforePlumbing
            | Self::PluginAfterPlumbing
            | Self::NetavarkBeforePlumbing
            | Self::EverybodyAfterPlumbing => false,
        }
    }

    /// Returns whether podman dies.
    fn of_podman(self) -> bool {
        match self {
            Self::PodmanBeforeNetavark
            | Self::PodmanAfterNetavark
            | Self::EverybodyAfterPlumbing => true,
            Self::PluginBeforePlumbing
            | Self::PluginAfterPlumbing
            | Self::NetavarkBeforePlumbing => false,
        }
    }

    /// Returns the killer's script, which lets every verb but `setup` pass. berth starts its
    /// netavark before it has leased anything, so the script waits for the request first, as
    /// netavark does.
    fn script(self, netavark: &str) -> String {
        const PARENT: &str = r#"parent() { sed -n 's/^PPid:\t//p' "/proc/$1/status"; }
netavark=$(parent $PPID); podman=$(parent "$netavark")"#;
        let setup = format!("{netavark} \"$@\" <<<\"$request\"");
        let quietly = format!("{setup} >/dev/null");
        let steps = match self {
            Self::PodmanBeforeNetavark | Self::PluginBeforePlumbing => vec!["kill -9 $PPID"],
            Self::PodmanAfterNetavark | Self::PluginAfterPlumbing => {
                vec![&quietly, "kill -9 $PPID"]
            }
            Self::NetavarkBeforePlumbing => vec![PARENT, "kill -9 $netavark", &setup],
            Self::EverybodyAfterPlumbing => {
                // Podman first, so that it does not see the others die.
                vec![PARENT, &quietly, "kill -9 $podman $netavark $PPID"]
            }
        };
        format!(
            r#"#!/bin/bash
# In netavark's place.
case " $* " in *" setup "*) ;; *) exec {netavark} "$@" ;; esac
request=$(cat)
{}
"#,
            steps.join("\n")
        )
    }
}

/// Returns the setting that makes podman search this directory before those in which
/// netavark is.
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

    /// Puts a script in netavark's place for the plugin, in every podman of this lab. At the
    /// first teardown it kills the plugin, before anything is taken down.
    #[track_caller]
    pub fn kill_plugin_at_teardown(&self) {
        let script = format!(
            r#"#!/bin/bash
# In netavark's place for the plugin.
request=$(cat)
case " $* " in
*" teardown "*) if mkdir {DIRECTORY}/killed; then kill -9 $PPID; exit 1; fi ;;
esac
exec {} "$@" <<<"$request"
"#,
            self.netavark()
        );
        self.write_executable(KILLER, &script);
        let conf = "/etc/containers/containers.conf.d/50-outage.conf";
        self.write(
            conf,
            &format!("[engine]\nenv = [\"BERTH_NETAVARK={KILLER}\"]\n"),
        );
    }

    /// Returns whether the script of [`Lab::kill_plugin_at_teardown`] has killed.
    #[track_caller]
    pub fn plugin_was_killed(&self) -> bool {
        self.names(DIRECTORY).iter().any(|name| name == "killed")
    }

    /// Removes the namespace files without a process. Podman makes such a file before it calls
    /// netavark, so the plugin never hears of some deaths.
    #[track_caller]
    pub fn remove_empty_namespaces(&self) {
        for name in self.empty_namespaces() {
            let path = format!("{}/{name}", self.netns_dir());
            // A podman that was killed early has made the file but mounted nothing on it yet.
            // rm fails if something is still mounted.
            let script = r#"umount --quiet "$1" || true; rm --force "$1""#;
            let bash = self.in_user_namespace("bash");
            bash.args(["-euc", script, "bash", &path]).ok();
        }
    }

    /// Kills conmon and the container with SIGKILL, so that nothing cleans up, and waits
    /// for their end.
    #[track_caller]
    pub fn kill_with_conmon(&self, container: &str) {
        let format = "{{.State.ConmonPid}} {{.State.Pid}}";
        let pids = self.podman(["inspect", "--format", format, container]).ok();
        self.in_user_namespace("kill")
            .arg("-9")
            .args(pids.split(' '))
            .ok();
        wait_until("the end of conmon and container", BOUND, || {
            // `kill -0` would also find a zombie.
            let alive = self.sh(&format!("ps -o pid= -p {} || true", pids.replace(' ', ",")));
            alive.is_empty().then_some(())
        });
    }
}

impl Run<'_> {
    /// Runs it, and makes this death happen on the way.
    ///
    /// # Panics
    /// If nothing dies.
    #[track_caller]
    pub fn dies(self, death: Death) -> Outcome {
        let lab = self.lab();
        let script = death.script(&lab.netavark());
        let run = if death.in_podmans_place() {
            let conf = lab.replace_netavark(&script);
            self.env("CONTAINERS_CONF_OVERRIDE", conf)
        } else {
            lab.write_executable(KILLER, &script);
            self.env("BERTH_NETAVARK", KILLER)
        };
        let outcome = run.cmd().run();
        assert!(!outcome.status.success(), "somebody must die:\n{outcome}");
        let killed = outcome.status.signal() == Some(9);
        assert_eq!(killed, death.of_podman(), "podman is killed:\n{outcome}");
        outcome
    }
}

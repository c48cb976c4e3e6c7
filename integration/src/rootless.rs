//! A lab as seen by an ordinary user who runs Podman without root.
//!
//! The user's Podman lives in a user namespace and a mount namespace of its own. Its bridges are
//! in a network namespace behind pasta, and its containers in the user's home. It has nothing to
//! do with root's Podman of the same lab.

use crate::{Cmd, Lab};

const UID: u32 = 7001;
const OTHER_UID: u32 = 7002;

/// Prepares what the user's Podman needs. pasta gives the interface in its namespace the name
/// and the addresses of the one with the default route. The devices are made afresh, because
/// those of `init` are the host's own, modes included. The home is a tmpfs, because an overlay
/// cannot be mounted on an overlay.
const PREPARE: &str = r#"
name=$1 uid=$2 first=$3
echo "$name:x:$uid:$uid::/home/$name:/bin/bash" >>/etc/passwd
echo "$name:x:$uid:" >>/etc/group
for file in /etc/subuid /etc/subgid; do echo "$name:$first:65536" >>"$file"; done
for device in net/tun:200 fuse:229; do
  path=/dev/${device%:*}
  if mountpoint --quiet "$path"; then
    umount "$path"
    rm "$path"
    mknod --mode=666 "$path" c 10 "${device#*:}"
  fi
done
mount --make-rshared /
if ! ip link show uplink >/dev/null 2>&1; then
  ip link add uplink type veth peer name beyond
  ip address add 192.0.2.2/24 dev uplink
  ip link set uplink up
  ip link set beyond up
  ip route add default via 192.0.2.1
fi
mkdir -p "/home/$name" "/run/user/$uid"
for dir in "/home/$name" "/run/user/$uid"; do
  mount -t tmpfs -o "mode=700,uid=$uid,gid=$uid" "$name" "$dir"
done
if ! [ -e /run/lab-image.tar ]; then podman save --quiet --output /run/lab-image.tar lab; fi
chmod 644 /run/lab-image.tar
"#;

/// An ordinary user of a lab.
#[derive(Clone, Debug)]
pub(crate) struct User {
    uid: u32,
    environment: [String; 5],
}

impl User {
    fn new(name: &str, uid: u32) -> Self {
        let environment = [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
            format!("HOME=/home/{name}"),
            "LANG=C.UTF-8".to_owned(),
            format!("USER={name}"),
            format!("XDG_RUNTIME_DIR=/run/user/{uid}"),
        ];
        Self { uid, environment }
    }
}

impl Lab {
    /// Returns this lab as an ordinary user sees it, with subordinate ids, a runtime
    /// directory and the lab's image. Call it once.
    #[track_caller]
    pub fn user(&self) -> Self {
        self.prepare_user("sailor", UID, "1000000")
    }

    /// Returns this lab as another user sees it. Call it once.
    #[track_caller]
    pub fn other_user(&self) -> Self {
        self.prepare_user("mate", OTHER_UID, "2000000")
    }

    /// Returns this lab as root sees it.
    #[must_use]
    pub fn seen_by_root(&self) -> Self {
        self.seen_by(None)
    }

    #[track_caller]
    fn prepare_user(&self, name: &str, uid: u32, first: &str) -> Self {
        let root = self.seen_by(None);
        root.cmd("bash")
            .args(["-euc", PREPARE, "bash", name, &uid.to_string(), first])
            .ok();
        let user = self.seen_by(Some(User::new(name, uid)));
        user.podman(["load", "--quiet", "--input", "/run/lab-image.tar"])
            .ok();
        user
    }

    /// Returns a command to be run where this user's bridges are: in the lab itself for root,
    /// else in Podman's rootless network namespace.
    pub fn beside_bridges(&self, program: &str) -> Cmd<'_> {
        match self.who() {
            None => self.cmd(program),
            Some(_) => self.podman(["unshare", "--rootless-netns", program]),
        }
    }

    /// Returns a command to be run in the user and mount namespaces of this user's Podman; for
    /// root, in the lab itself.
    pub fn in_user_namespace(&self, program: &str) -> Cmd<'_> {
        match self.who() {
            None => self.cmd(program),
            Some(_) => self.podman(["unshare", program]),
        }
    }

    /// Returns the directory in which this user's netavark keeps its state.
    pub fn run_dir(&self) -> String {
        match self.who() {
            None => "/run/containers/networks".to_owned(),
            Some(user) => format!("/run/user/{}/containers/networks", user.uid),
        }
    }

    /// Returns where this user's Podman keeps its namespace files.
    pub fn netns_dir(&self) -> String {
        match self.who() {
            None => "/run/netns".to_owned(),
            Some(user) => format!("/run/user/{}/netns", user.uid),
        }
    }

    /// Returns the words that, put before a command, make it run as this user.
    pub(crate) fn identity(&self) -> Vec<String> {
        let Some(User { uid, .. }) = self.who() else {
            return Vec::new();
        };
        let ids = [format!("--reuid={uid}"), format!("--regid={uid}")];
        let setpriv = ["setpriv".to_owned()].into_iter().chain(ids);
        setpriv.chain(["--clear-groups".to_owned()]).collect()
    }

    /// Returns the environment of every command.
    pub(crate) fn environment(&self) -> Vec<String> {
        match self.who() {
            None => vec![
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
                "HOME=/root".to_owned(),
                "LANG=C.UTF-8".to_owned(),
            ],
            Some(user) => user.environment.to_vec(),
        }
    }
}

//! How far we see: which processes could be in a container of ours although `/proc`
//! does not show their namespace.
//!
//! Rootless Podman runs us in its user namespace. There we have every capability over
//! the processes of that namespace and of those below it, and all containers are in
//! these. So we can read them, whichever user they run as (seen on 6.18: `--user
//! nobody`, `--userns=auto` and `keep-id`, programs that are not dumpable). For all
//! other processes, the user's own shell included, `/proc/PID/ns/net` fails with
//! `EACCES`.
//!
//! Entering a container's network namespace takes `CAP_SYS_ADMIN` over the user
//! namespace it was made in (setns(2)). Of all processes outside, only root's have it,
//! and what root does in there does not make the container live. Whether a process is
//! in a user namespace of this user shows in its `/proc/PID/uid_map`, which any process
//! may read: an id that we do not have shows as 4294967295.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::proc_text::mounts;
use crate::text;

/// What a process whose namespace is unreadable may be to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stranger {
    /// It may be in any container of ours.
    Suspect,
    /// It is in another user namespace with ids of ours: it is in a sandbox, or has
    /// been running since before Podman's user namespace was made anew. It cannot be in
    /// a network namespace whose file our mount namespace shows, because mount and user
    /// namespace are made, and joined, together.
    Sibling,
    /// It cannot be in a container of ours.
    Outsider,
}

/// What our user namespace lets us see.
#[derive(Clone, Debug, Default)]
pub(super) struct Sight {
    /// Our own map, if we are not in the initial user namespace.
    confined_to: Option<String>,
    capabilities: u64,
}

impl Sight {
    /// Returns what this process can see. What cannot be read counts as not seen.
    pub(super) fn of_this_process() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let capabilities = status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"))
            .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        let map = fs::read_to_string("/proc/self/uid_map").ok();
        let is_partial = |map: &String| {
            let mut ids = map.split_whitespace();
            ids.next().is_some() && !ids.any(|id| id == "4294967295")
        };
        Self {
            confined_to: map.filter(is_partial),
            capabilities: capabilities.unwrap_or_default(),
        }
    }

    /// Returns whether a network namespace that we may not join cannot be a
    /// container's: containers' namespaces are made in our user namespace, or below it.
    pub(super) fn excludes_unjoinable(&self) -> bool {
        const CAP_SYS_ADMIN: u64 = 1 << 21;
        self.confined_to.is_some() && self.capabilities & CAP_SYS_ADMIN != 0
    }

    /// Returns what a process whose namespace is unreadable is to us.
    pub(super) fn stranger(&self, pid: i32) -> Stranger {
        // At most 340 lines (user_namespaces(7)).
        let map = super::read_proc(&format!("/proc/{pid}/uid_map"), 1 << 16);
        match self.stranger_with(&String::from_utf8_lossy(&map.unwrap_or_default())) {
            Stranger::Sibling if is_secretive(pid) => Stranger::Suspect,
            stranger => stranger,
        }
    }

    /// Returns what a process is to us that `/proc` does not show at all (proc(5),
    /// `hidepid`), because we may not trace it.
    pub(super) fn hidden(&self) -> Stranger {
        match self.ours() {
            Some(_) => Stranger::Sibling,
            None => Stranger::Suspect,
        }
    }

    /// Returns why `/proc` may not show some processes, if that is so.
    pub(super) fn blind_spot(&self) -> Option<String> {
        let sees_all = self.confined_to.is_none() && self.may_trace();
        if sees_all {
            return None;
        }
        match super::own_mounts() {
            Ok(mounts) => hidepid(&mounts),
            Err(error) => Some(format!("how /proc is mounted: {error}")),
        }
    }

    fn stranger_with(&self, map: &str) -> Stranger {
        let Some(own) = self.ours() else {
            return Stranger::Suspect;
        };
        let mut ids = map.lines().map(|line| line.split_whitespace().nth(1));
        if map.trim().is_empty() || map == own {
            Stranger::Suspect
        } else if ids.all(|id| id == Some("4294967295")) {
            Stranger::Outsider
        } else {
            Stranger::Sibling
        }
    }

    /// Returns our map, if everything in our user namespace is readable.
    fn ours(&self) -> Option<&str> {
        self.confined_to.as_deref().filter(|_| self.may_trace())
    }

    fn may_trace(&self) -> bool {
        const CAP_SYS_PTRACE: u64 = 1 << 19;
        self.capabilities & CAP_SYS_PTRACE != 0
    }
}

/// Returns whether `/proc` does not show all processes, by our mounts, and why.
fn hidepid(mountinfo: &[u8]) -> Option<String> {
    let proc = mounts(mountinfo).filter(|mount| mount.point == b"/proc");
    let mut options = proc.last()?.options.split(|byte| *byte == b',');
    let value = options.find_map(|option| option.strip_prefix(b"hidepid="))?;
    let value = text::foreign(&String::from_utf8_lossy(value));
    let hides = !["0", "off"].contains(&value.as_str());
    hides.then(|| format!("/proc is mounted with hidepid={value}"))
}

/// Returns whether a process may be in a user namespace below ours and yet be
/// unreadable: its program may be executed by others but not read, so its files belong
/// to the initial user namespace, and it runs as another user than ours. (Sandboxes run
/// as ours.)
fn is_secretive(pid: i32) -> bool {
    const OVERFLOW: u32 = 65534;
    let owner = |path: String| fs::symlink_metadata(path).map(|file| file.uid());
    // The directory belongs to the effective user, the files to whoever may read them.
    let user = owner(format!("/proc/{pid}"));
    let reader = owner(format!("/proc/{pid}/status"));
    !matches!(user, Ok(0)) && !reader.is_ok_and(|reader| reader != OVERFLOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "         0       1000          1\n         1     100000      65536\n";
    const ALL: u64 = u64::MAX;

    #[track_caller]
    fn check(sight: &Sight, map: &str, expected: Stranger) {
        assert_eq!(sight.stranger_with(map), expected, "{map:?}");
    }

    fn confined(capabilities: u64) -> Sight {
        Sight {
            confined_to: Some(OWN.to_owned()),
            capabilities,
        }
    }

    #[test]
    fn only_a_process_without_any_id_of_ours_is_an_outsider() {
        let rootless = confined(ALL);
        check(&rootless, "0 4294967295 4294967295\n", Stranger::Outsider);
        check(
            &rootless,
            "0 4294967295 1\n1 4294967295 65536\n",
            Stranger::Outsider,
        );
        check(&rootless, "0 0 1\n1 1 65536\n", Stranger::Sibling);
        check(&rootless, "1000 0 1\n", Stranger::Sibling);
        check(&rootless, "0 4294967295 9\n9 1 1\n", Stranger::Sibling);
    }

    #[test]
    fn one_that_may_be_in_our_own_user_namespace_is_suspect() {
        let rootless = confined(ALL);
        check(&rootless, OWN, Stranger::Suspect);
        check(&rootless, "", Stranger::Suspect);
    }

    #[test]
    fn the_last_mount_of_proc_says_whether_it_hides_processes() {
        let check = |mounts: &[u8], expected: Option<&str>| {
            let expected = expected.map(|value| format!("/proc is mounted with hidepid={value}"));
            assert_eq!(hidepid(mounts), expected, "{}", mounts.escape_ascii());
        };
        check(b"", None);
        check(b"1 0 0:1 / /proc rw - proc proc rw\n", None);
        check(b"1 0 0:1 / /proc rw - proc proc rw,hidepid=off\n", None);
        // Any user can have a directory named like this, and something mounted on it.
        let hides = b"1 0 0:1 / /proc rw - proc proc rw,gid=7,hidepid=2\n\
            2 1 0:2 / /home/u/\xff rw - fuse u rw\n";
        check(hides, Some("2"));
        let again = [&hides[..], b"3 1 0:3 / /proc rw - proc proc rw\n"].concat();
        check(&again, None);
    }

    #[test]
    fn everybody_is_suspect_to_root_and_to_whoever_may_not_trace() {
        let map = "0 4294967295 4294967295\n";
        check(&Sight::default(), map, Stranger::Suspect);
        check(&confined(ALL & !(1 << 19)), map, Stranger::Suspect);
        assert_eq!(confined(0).hidden(), Stranger::Suspect);
        assert_eq!(confined(ALL).hidden(), Stranger::Sibling);
    }
}

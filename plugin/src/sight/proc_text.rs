//! Reads what `/proc` says about one process from the bytes of its files.

/// Returns the arguments in `cmdline`, empty ones included: conmon calls podman with
/// `--network-config-dir ''`. Returns none if the last one has no end: then the process has
/// overwritten them.
pub(super) fn arguments(cmdline: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(cmdline);
    let Some(text) = text.strip_suffix('\0') else {
        return Vec::new();
    };
    text.split('\0').map(str::to_owned).collect()
}

/// Returns the effective user in `status`.
pub(super) fn effective_user(status: &[u8]) -> Option<u32> {
    let status = String::from_utf8_lossy(status);
    let mut lines = status.lines();
    let ids = lines.find_map(|line| line.strip_prefix("Uid:"))?;
    ids.split_whitespace().nth(1)?.parse().ok()
}

/// A mount. Its texts are as `mountinfo` has them: a blank, tab, newline, backslash or `#` is
/// escaped, and any other byte is itself, whether it is text or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mount<'a> {
    /// The device, as `major:minor`.
    pub(super) device: &'a [u8],
    /// Which part of the device is mounted.
    pub(super) root: &'a [u8],
    /// Where it is mounted.
    pub(super) point: &'a [u8],
    /// The options of the file system, with commas between them.
    pub(super) options: &'a [u8],
}

/// Returns the mounts in `mountinfo` (proc(5)). A line that does not look like a mount is left
/// out.
pub(super) fn mounts(mountinfo: &[u8]) -> impl Iterator<Item = Mount<'_>> {
    let lines = mountinfo.split(|byte| *byte == b'\n');
    lines.filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ').skip(2);
        let (device, root, point) = (fields.next()?, fields.next()?, fields.next()?);
        // The mount's own options and any number of tags; then the type, the source and these.
        fields.find(|field| *field == b"-")?;
        let options = fields.nth(2)?;
        Some(Mount {
            device,
            root,
            point,
            options,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_with_a_byte_that_is_no_text_hides_no_other() {
        let text =
            b"22 1 0:20 / / rw,relatime shared:1 master:2 - overlay overlay rw,lowerdir=/a\n\
            23 22 0:21 / /tmp/\xff\\040- rw - tmpfs  rw\n\
            nonsense\n\
            24 22 0:22 / /proc rw shared:3 - proc proc rw,hidepid=invisible\n";
        let found: Vec<_> = mounts(text).collect();
        let points: Vec<_> = found.iter().map(|mount| mount.point).collect();
        assert_eq!(points, [&b"/"[..], b"/tmp/\xff\\040-", b"/proc"]);
        assert_eq!(found[1].options, b"rw");
        let last = Mount {
            device: b"0:22",
            root: b"/",
            point: b"/proc",
            options: b"rw,hidepid=invisible",
        };
        assert_eq!(found[2], last);
    }

    #[test]
    fn arguments_end_with_a_zero_each() {
        assert_eq!(arguments(b"a\0\0b\0"), ["a", "", "b"]);
        assert_eq!(arguments(b""), [""; 0]);
        assert_eq!(arguments(b"sshd: root@pts/0"), [""; 0]);
    }

    #[test]
    fn the_effective_user_comes_second() {
        let status = b"Name:\tUid:\nUid:\t1000\t0\t7\t8\n";
        assert_eq!(effective_user(status), Some(0));
        assert_eq!(effective_user(b"Uid:\t1\n"), None);
    }
}

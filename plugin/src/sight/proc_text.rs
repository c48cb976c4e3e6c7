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

#[cfg(test)]
mod tests {
    use super::*;

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

//! The system calls at which a program can be killed, or which can fail.
//!
//! strace counts the calls of each thread by their names, and injects at the k-th call of a
//! name in whichever thread reaches it first. So there are two series of points: every call of
//! the first thread, with only that thread traced; and, with all threads traced, every call of
//! another thread that the first thread does not reach earlier.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What is done to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Injury {
    /// The process is killed when it makes the call, which is not carried out.
    Kill,
    /// The call fails with this error and is not carried out.
    Fail(&'static str),
    /// This call and all later ones of its name fail with this error.
    FailFromThenOn(&'static str),
}

/// One call, and what is done to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// Whether all threads are traced, or only the first.
    pub all_threads: bool,
    /// The call's name.
    pub name: String,
    /// Which call of this name, counted from 1 in each thread.
    pub number: u32,
    /// What is done to it.
    pub injury: Injury,
    /// Whether the call is made before `main`, by the dynamic linker.
    pub is_loader: bool,
}

/// What strace recorded of one run: which thread made which call, in order.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    calls: Vec<(u32, String)>,
}

/// The calls that a full disk refuses.
const WRITE: [&str; 13] = [
    "write",
    "pwrite64",
    "copy_file_range",
    "ftruncate",
    "fallocate",
    "fsync",
    "fdatasync",
    "sync_file_range",
    "mkdir",
    "rename",
    "openat",
    "memfd_create",
    "unshare",
];

/// The calls that a failing disk refuses, according to their manual pages. `close` is left out:
/// strace does not carry out what it lets fail, so the file would stay open, and a reader of a pipe
/// would wait for its end. Linux closes the file even if it reports an error (close(2), Notes).
const TOUCH: [&str; 27] = [
    "access",
    "openat",
    "read",
    "pread64",
    "write",
    "pwrite64",
    "readlink",
    "readlinkat",
    "statx",
    "fstat",
    "newfstatat",
    "getdents64",
    "copy_file_range",
    "ftruncate",
    "fallocate",
    "fsync",
    "fdatasync",
    "fchmod",
    "fchown",
    "flock",
    "sync_file_range",
    "mkdir",
    "rename",
    "renameat2",
    "unlink",
    "unlinkat",
    "execve",
];

/// The calls that change something that outlives the process, or that start or end another
/// process.
const CHANGE: [&str; 32] = [
    "write",
    "writev",
    "pwrite64",
    "sendto",
    "sendmsg",
    "connect",
    "copy_file_range",
    "ftruncate",
    "fallocate",
    "fsync",
    "fdatasync",
    "mkdir",
    "mkdirat",
    "rmdir",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "symlinkat",
    "unlink",
    "unlinkat",
    "mount",
    "umount2",
    "setns",
    "unshare",
    "flock",
    "fcntl",
    "kill",
    "clone",
    "clone3",
    "exit_group",
];

/// The calls that fail when the limit on processes is reached.
const FORK: [&str; 4] = ["clone", "clone3", "fork", "vfork"];

impl Recording {
    /// Reads what `strace -f -o FILE` has written.
    pub fn parse(text: &str) -> Self {
        let call = |line: &str| {
            let (thread, rest) = line.split_once(' ')?;
            let (name, _) = rest.trim_start().split_once('(')?;
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let is_call = !name.is_empty() && name.chars().all(is_name);
            is_call.then(|| Some((thread.parse().ok()?, name.to_owned())))?
        };
        Self {
            calls: text.lines().filter_map(call).collect(),
        }
    }

    /// Returns how many calls were made.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Returns whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Returns every call that strace can pick out, to kill the process there.
    ///
    /// A call of another thread is left out if a call of the same name and number was made
    /// before it, because strace would injure that one.
    pub fn kills(&self) -> Vec<Point> {
        let Some((first, _)) = self.calls.first() else {
            return Vec::new();
        };
        let loaded = self.end_of_loader(*first);
        let (mut counts, mut seen) = (BTreeMap::new(), BTreeSet::new());
        let (mut own, mut others) = (Vec::new(), Vec::new());
        for (position, (thread, name)) in self.calls.iter().enumerate() {
            let count = counts.entry((thread, name)).or_insert(0);
            *count += 1;
            let is_new = seen.insert((name, *count));
            let point = Point {
                all_threads: thread != first,
                name: name.clone(),
                number: *count,
                injury: Injury::Kill,
                is_loader: position < loaded,
            };
            // The first execve is strace's own.
            match (thread == first, name.as_str()) {
                (true, "execve") => {}
                (true, _) => own.push(point),
                (false, _) if is_new => others.push(point),
                (false, _) => {}
            }
        }
        own.append(&mut others);
        own
    }

    /// Returns the points of [`Recording::kills`] whose calls change something.
    pub fn changes(&self) -> Vec<Point> {
        let mut points = self.kills();
        points.retain(|point| CHANGE.contains(&point.name.as_str()));
        points
    }

    /// Returns every call that strace can pick out and that can fail, with each error that it
    /// can fail with: for a full disk, a failing disk, and too many processes.
    pub fn failures(&self) -> Vec<Point> {
        let kills = self.kills();
        let with = |injury: Injury, names: &'static [&'static str]| {
            kills
                .iter()
                .filter(|point| names.contains(&point.name.as_str()))
                .map(move |point| Point {
                    injury,
                    ..point.clone()
                })
        };
        with(Injury::Fail("ENOSPC"), &WRITE)
            .chain(with(Injury::Fail("EIO"), &TOUCH))
            .chain(with(Injury::Fail("EAGAIN"), &FORK))
            .chain(with(Injury::FailFromThenOn("EAGAIN"), &FORK))
            .collect()
    }

    /// Returns where the dynamic linker's calls end: at the first call of Rust's own startup
    /// (`std::sys::pal::unix::init`).
    fn end_of_loader(&self, first: u32) -> usize {
        let poll = |(thread, name): &(u32, String)| *thread == first && name == "poll";
        self.calls.iter().position(poll).unwrap_or(0)
    }
}

impl Point {
    /// Returns whether this is a failing read, as while sled 0.34.7 opens: sled may take the
    /// failure for the end of its log, and erase what follows. On a tmpfs, no read fails.
    pub fn may_break_store(&self) -> bool {
        self.injury == Injury::Fail("EIO") && ["read", "pread64"].contains(&self.name.as_str())
    }

    /// Returns the strace options that do it.
    pub fn strace_options(&self) -> String {
        let threads = if self.all_threads {
            "-f -b execve "
        } else {
            ""
        };
        let Self { name, number, .. } = self;
        let injury = match self.injury {
            Injury::Kill => format!("signal=KILL:when={number}"),
            Injury::Fail(error) => format!("error={error}:when={number}"),
            Injury::FailFromThenOn(error) => format!("error={error}:when={number}+"),
        };
        format!("{threads}-e trace={name} -e inject={name}:{injury}")
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let threads = if self.all_threads { "any" } else { "first" };
        match self.injury {
            Injury::Kill => f.write_str("killed at ")?,
            Injury::Fail(error) => write!(f, "{error} at ")?,
            Injury::FailFromThenOn(error) => write!(f, "{error} from then on at ")?,
        }
        write!(f, "{} {} of {threads} thread", self.name, self.number)
    }
}

/// Returns `count` elements, spread evenly.
pub fn spread<T: Clone>(all: &[T], count: usize, random: &mut fastrand::Rng) -> Vec<T> {
    if count >= all.len() {
        return all.to_vec();
    }
    let start = |number: usize| number * all.len() / count;
    (0..count)
        .map(|number| all[random.usize(start(number)..start(number + 1))].clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = r#"7   execve("/x", ["x"], 0x7 /* 8 vars */) = 0
7   read(3, "ELF", 832) = 832
7   poll([{fd=0}], 3, 0) = 0
7   read(0, "{", 8 <unfinished ...>
8   read(5, "", 8) = 0
7   <... read resumed>) = 1
8   write(5, "a", 1) = 1
8   read(5, "", 8) = 0
8   read(5, "", 8) = 0
9   write(5, "b", 1) = 1
7   --- SIGCHLD {si_signo=SIGCHLD} ---
7   exit_group(0) = ?
7   +++ exited with 0 +++
"#;

    fn names(points: &[Point]) -> Vec<String> {
        points.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_call_that_strace_can_pick_out_is_a_point() {
        let kills = Recording::parse(TRACE).kills();
        let expected = [
            "killed at read 1 of first thread",
            "killed at poll 1 of first thread",
            "killed at read 2 of first thread",
            "killed at exit_group 1 of first thread",
            // The other thread's first and second read come after those of the first thread.
            "killed at write 1 of any thread",
            "killed at read 3 of any thread",
        ];
        assert_eq!(names(&kills), expected);
        let loader: Vec<_> = kills.iter().map(|point| point.is_loader).collect();
        assert_eq!(loader, [true, false, false, false, false, false]);
    }

    #[test]
    fn of_others_only_the_calls_that_change_something_are_points() {
        let changes = Recording::parse(TRACE).changes();
        let expected = [
            "killed at exit_group 1 of first thread",
            "killed at write 1 of any thread",
        ];
        assert_eq!(names(&changes), expected);
    }

    #[test]
    fn calls_fail_with_what_they_can_fail_with() {
        let failures = Recording::parse(TRACE).failures();
        let expected = [
            "ENOSPC at write 1 of any thread",
            "EIO at read 1 of first thread",
            "EIO at read 2 of first thread",
            "EIO at write 1 of any thread",
            "EIO at read 3 of any thread",
        ];
        assert_eq!(names(&failures), expected);
    }

    #[test]
    fn strace_is_told_the_same() {
        let kills = Recording::parse(TRACE).kills();
        assert_eq!(
            kills[0].strace_options(),
            "-e trace=read -e inject=read:signal=KILL:when=1"
        );
        assert_eq!(
            kills[5].strace_options(),
            "-f -b execve -e trace=read -e inject=read:signal=KILL:when=3"
        );
    }

    #[test]
    fn a_sample_is_spread_over_all() {
        let kills = Recording::parse(TRACE).kills();
        let mut random = fastrand::Rng::with_seed(1);
        let sample = spread(&kills, 3, &mut random);
        for (number, point) in sample.iter().enumerate() {
            assert!(kills[2 * number..2 * number + 2].contains(point));
        }
        assert_eq!(spread(&kills, 9, &mut random), kills);
    }
}

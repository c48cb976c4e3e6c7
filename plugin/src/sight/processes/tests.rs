//! What a scan finds, with programs that do what a process may do.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use berth_share::poll;

use super::*;
use crate::sight::process;

/// A program in C, for what Rust cannot do without `unsafe`. It runs, says `ready`,
/// and ends with this value.
struct Program {
    child: Child,
    _directory: tempfile::TempDir,
}

impl Program {
    fn run(name: &str, source: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (code, program) = (directory.path().join("x.c"), directory.path().join(name));
        fs::write(&code, source).unwrap();
        let mut cc = Command::new("cc");
        let made = cc
            .args(["-pthread", "-o"])
            .arg(&program)
            .arg(&code)
            .status();
        assert!(made.unwrap().success(), "cc compiles it");
        let mut child = Command::new(&program)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "ready");
        Self {
            child,
            _directory: directory,
        }
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    fn facts(&self) -> (Vec<ProcessFact>, Option<String>) {
        let all = Processes::all();
        let mut facts = all.facts;
        let is_its = |fact: &ProcessFact| {
            let task = format!("/proc/{}/task/{}", self.pid(), fact.process.pid);
            Path::new(&task).exists()
        };
        facts.retain(is_its);
        (facts, all.unreadable)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Its arguments are a gigabyte of zeros that nobody has written: each of them
/// would be a string.
const BOMB: &str = r#"
#include <stdio.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <linux/prctl.h>
static uint64_t field(const char *stat, int wanted) {
    const char *at = strrchr(stat, ')') + 2;
    uint64_t value = 0;
    for (int n = 3; n < wanted; n++) at = strchr(at, ' ') + 1;
    sscanf(at, "%lu", &value);
    return value;
}
int main(void) {
    char stat[4096] = {0};
    FILE *file = fopen("/proc/self/stat", "r");
    fread(stat, 1, sizeof stat - 1, file);
    uint64_t size = 1UL << 30;
    char *map = mmap(0, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct prctl_mm_map mm = {
        .start_code = field(stat, 26), .end_code = field(stat, 27),
        .start_data = field(stat, 45), .end_data = field(stat, 46),
        .start_brk = field(stat, 47), .brk = (uint64_t)sbrk(0),
        .start_stack = field(stat, 28),
        .arg_start = (uint64_t)map, .arg_end = (uint64_t)map + size,
        .env_start = field(stat, 50), .env_end = field(stat, 51), .exe_fd = -1,
    };
    if (prctl(PR_SET_MM, PR_SET_MM_MAP, &mm, sizeof mm, 0)) perror("prctl");
    puts("ready");
    fflush(stdout);
    for (;;) pause();
}"#;

#[test]
fn endless_arguments_are_a_doubt_and_cost_nothing() {
    let bomb = Program::run("podman", BOMB);
    let (facts, doubt) = bomb.facts();
    assert_eq!((facts.len(), facts[0].name.as_str()), (1, "podman"));
    assert_eq!(facts[0].arguments, [""; 0]);
    let pid = bomb.pid();
    let expected = format!("arguments of process {pid} (podman): longer than 1024 KiB");
    assert_eq!(doubt, Some(expected));
    assert_eq!(process(pid).unwrap().arguments, [""; 0]);
    let bystander = Program::run("bystander", BOMB);
    drop(bomb);
    let doubt = bystander.facts().1.unwrap_or_default();
    assert!(
        !doubt.contains("arguments"),
        "nobody asks for them: {doubt}"
    );
}

const LEADERLESS: &str = r#"
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static void *rest(void *unused) {
    sleep(1);
    puts("ready");
    fflush(stdout);
    for (;;) pause();
}
int main(void) {
    pthread_t thread;
    pthread_create(&thread, 0, rest, 0);
    pthread_exit(0);
}"#;

#[test]
fn a_process_whose_first_thread_has_ended_lives_where_its_threads_do() {
    let program = Program::run("leaderless", LEADERLESS);
    let (facts, _) = program.facts();
    let own = crate::sight::own_namespace().unwrap();
    let namespaces: Vec<_> = facts.iter().map(|fact| fact.namespace).collect();
    assert_eq!(namespaces, [Some(own), None]);
    let path = facts[0].namespace_path();
    assert!(fs::metadata(path).is_ok(), "it can be opened");
}

#[test]
fn our_own_netavark_is_left_out_and_others_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("netavark");
    fs::copy("/bin/sleep", &program).unwrap();
    let mut own = Command::new(&program).arg("99").spawn().unwrap();
    let script = format!("{} 99 & echo $!; wait", program.display());
    let mut shell = Command::new("sh")
        .args(["-c", &script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(shell.stdout.take().unwrap()).lines();
    let other: i32 = lines.next().unwrap().unwrap().parse().unwrap();
    let pids = [i32::try_from(own.id()).unwrap(), other];
    let among =
        |facts: Vec<ProcessFact>| pids.map(|pid| facts.iter().any(|fact| fact.process.pid == pid));
    let named = || processes_named(&["netavark"]);
    // In the middle of its exec, it has another name.
    let is_there = || among(named())[1].then_some(());
    poll(Duration::from_secs(20), Duration::from_millis(1), is_there);
    let seen = [among(named()), among(Processes::all().facts)];
    for pid in [other, pids[0]] {
        let pid = nix::unistd::Pid::from_raw(pid);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    }
    own.wait().and_then(|_| shell.wait()).unwrap();
    assert_eq!(seen, [[false, true]; 2]);
}

//! SIGKILL at random moments of commits: the file has the content that was committed
//! last, or the one that was about to be committed, whole.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use berth_migrate::bolt::{Bucket, Item, commit, image, read};

const FILE: &str = "BERTH_KILL_FILE";
const KILLS: u64 = 60;

/// The content after this many commits, each of a different length.
fn content(number: u64) -> Bucket {
    let keys = 100 + number * 37 % 400;
    let value = number
        .to_string()
        .repeat(1 + usize::try_from(number % 50).unwrap());
    let key = |key: u64| format!("{key:064}").into_bytes();
    let items = (0..keys).map(|n| (key(n), Item::Value(value.clone().into_bytes())));
    Bucket {
        sequence: number,
        items: BTreeMap::from_iter(items),
    }
}

fn number(file: &Path) -> u64 {
    let root = read(&fs::read(file).unwrap()).unwrap();
    assert!(
        root == content(root.sequence),
        "commit {} is not whole",
        root.sequence
    );
    root.sequence
}

/// The process that is killed: it commits, and says so, for ever.
#[test]
fn committer() {
    let Some(path) = env::var_os(FILE) else {
        return;
    };
    let file = File::options().read(true).write(true).open(&path).unwrap();
    for next in number(Path::new(&path)) + 1.. {
        commit(&file, &content(next)).unwrap();
        writeln!(std::io::stdout(), "\ncommitted {next}").unwrap();
    }
}

#[test]
fn a_killed_commit_leaves_the_old_content_or_the_new() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ipam.db");
    fs::write(&path, image(&content(0))).unwrap();
    let mut last = 0;
    let mut done = 0;
    for kill in 0..KILLS {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "committer", "--nocapture"])
            .env(FILE, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = || loop {
            let line = lines.next()?.unwrap();
            if let Some(number) = line.strip_prefix("committed ") {
                return number.parse::<u64>().ok();
            }
        };
        last = said().unwrap();
        thread::sleep(Duration::from_micros(kill * 7919 % 20_000));
        child.kill().unwrap();
        child.wait().unwrap();
        while let Some(number) = said() {
            last = number;
        }
        let found = number(&path);
        assert!(
            found == last || found == last + 1,
            "{found} after {last} was committed"
        );
        done += u64::from(found != last);
    }
    eprintln!("{last} commits, {KILLS} kills; {done} hit after the meta page was written");
}

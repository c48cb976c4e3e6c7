//! Runs the executable on two thousand damaged `ipam.db` files: each is an error that says where,
//! or is read correctly. `--salvage` says what it skipped.
//!
//! What is correct if one byte of a file has changed? bbolt keeps no checksums of data.
//! So bbolt itself must read the same from the damaged file. What it reads must be what the file
//! held before the damage, or before its last commit (if the last meta page was hit), or differ
//! from that only in the key, value or sequence that was hit.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use berth_integration::ipam_db::{PODMANS, fixture};
use berth_integration::{Lab, bbolt, seed};
use berth_migrate::bolt::{self, Bucket, Item};
use berth_migrate::ipam::dump::dump;
use fastrand::Rng;
use serde_json::Value;

const FILES: usize = 2000;
/// How many files are in the lab at once; the lab is in memory.
const BATCH: usize = 100;
/// More time than any file takes, even in a debug build under load.
const SECONDS: u32 = 10;

const ODD: [&str; 4] = [
    "odd/1k-array",
    "odd/1k-deep",
    "odd/4k-hashmap",
    "odd/64k-array",
];

/// A file before the damage.
struct Original {
    name: &'static str,
    bytes: Vec<u8>,
    /// Where its last page in use ends.
    used: usize,
    /// What it holds now, and what it held before the last commit.
    contents: Vec<Bucket>,
}

impl Original {
    fn new(name: &'static str) -> Self {
        let bytes = fixture(name);
        let now = bolt::read(&bytes).expect("it is sound");
        let number = |at: usize, length: usize| {
            let bytes = bytes[at..at + length].iter().rev();
            bytes.fold(0, |number, byte| number << 8 | usize::from(*byte))
        };
        let page_size = number(16 + 8, 4);
        let pages = number(16 + 40, 8).max(number(page_size + 16 + 40, 8));
        let used = pages * page_size;
        // bbolt overwrites pages of the commit before, so that may be incomplete.
        let without = |meta: usize| {
            let mut bytes = bytes.clone();
            bytes[meta + 16] ^= 1;
            bolt::read(&bytes).ok()
        };
        let contents = [Some(now), without(0), without(page_size)];
        Self {
            name,
            used,
            bytes,
            contents: contents.into_iter().flatten().collect(),
        }
    }
}

#[derive(Debug)]
enum Damage {
    /// Changes one byte: its position and new value.
    Byte(usize, u8),
    /// Cuts the file off at this position.
    Cut(usize),
}

impl Damage {
    fn random(original: &Original, random: &mut Rng) -> Self {
        let bytes = &original.bytes;
        let at = random.usize(0..original.used);
        if random.u8(0..5) == 0 {
            return Self::Cut(at);
        }
        // Half of the hits are where they hurt: in the head of a page, or in its first
        // elements.
        let at = match random.bool() {
            true => at - at % 1024 + random.usize(0..200),
            false => at,
        };
        Self::Byte(at, bytes[at] ^ random.u8(1..))
    }

    fn apply(&self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        match *self {
            Self::Byte(at, value) => bytes[at] = value,
            Self::Cut(at) => bytes.truncate(at),
        }
        bytes
    }
}

/// What a command did with a file.
struct Ran {
    code: String,
    out: String,
    err: String,
}

impl Ran {
    fn of(file: &Path, command: &str) -> Self {
        let read = |what: &str| {
            let path = file.with_extension(format!("{command}.{what}"));
            fs::read_to_string(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
        };
        Self {
            code: read("code").trim().to_owned(),
            out: read("out"),
            err: read("err"),
        }
    }

    /// Asserts that it failed with an error in one line that names the page.
    #[track_caller]
    fn assert_refused(&self, what: &str) {
        assert_eq!(self.code, "1", "{what}: {}", self.err);
        assert_eq!(self.out, "", "{what}");
        assert_eq!(self.err.lines().count(), 1, "{what}: {}", self.err);
        let said = self.err.starts_with("Error: ") && self.err.contains(" is damaged: page ");
        assert!(said, "{what}: {}", self.err);
    }
}

const RUN: &str = r#"
cd /tmp/damaged
run() {
  local name=$1 command=$2 status=0
  shift 2
  timeout "$SECONDS_EACH" berth-migrate "$@" "$name.db" >"$name.$command.out" 2>"$name.$command.err" ||
    status=$?
  echo "$status" >"$name.$command.code"
}
for file in *.db; do
  run "${file%.db}" dump dump
  run "${file%.db}" salvage dump --salvage
  run "${file%.db}" inspect inspect
done
"#;

#[test]
fn a_damaged_file_is_an_error_or_read_correctly() {
    let seed = seed();
    let mut random = Rng::with_seed(seed);
    let names = PODMANS.into_iter().chain(ODD);
    let originals: Vec<_> = names.map(Original::new).collect();
    let lab = Lab::start().unrecorded();
    let directory = PathBuf::from(format!("/proc/{}/root/tmp/damaged", lab.init()));
    let mut tally = BTreeMap::<_, usize>::new();
    for batch in 0..FILES / BATCH {
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).expect("there is room");
        let cases: Vec<_> = (0..BATCH)
            .map(|_| {
                let large = random.u8(0..20) == 0;
                let small = originals
                    .iter()
                    .filter(|original| original.bytes.len() < 1 << 20);
                let small: Vec<_> = small.collect();
                let any = &originals[random.usize(0..originals.len())];
                let original = if large {
                    any
                } else {
                    small[random.usize(0..small.len())]
                };
                (original, Damage::random(original, &mut random))
            })
            .collect();
        for (number, (original, damage)) in cases.iter().enumerate() {
            let file = directory.join(format!("{number}.db"));
            fs::write(file, damage.apply(&original.bytes)).expect("there is room");
        }
        let run = lab.cmd("bash").args(["-euc", RUN]);
        run.env("SECONDS_EACH", &SECONDS.to_string()).ok();
        for (number, (original, damage)) in cases.iter().enumerate() {
            let what = format!(
                "seed {seed}, file {batch}/{number}: {} {damage:?}",
                original.name
            );
            let found = judge(
                &directory.join(format!("{number}.db")),
                original,
                damage,
                &what,
            );
            *tally.entry(found).or_default() += 1;
        }
    }
    eprintln!("{tally:?}");
    assert_eq!(tally.values().sum::<usize>(), FILES);
    // If all files were refused, or none, this would not test anything.
    assert!(tally.len() > 3, "{tally:?}");
}

/// Checks what the command made of one file, and names the result.
#[track_caller]
fn judge(file: &Path, original: &Original, damage: &Damage, what: &str) -> &'static str {
    let [dumped, salvaged, inspected] =
        ["dump", "salvage", "inspect"].map(|command| Ran::of(file, command));
    let now = &original.contents[0];
    match dumped.code.as_str() {
        "0" => {
            assert_eq!(dumped.err, "", "{what}");
            let printed: Value = serde_json::from_str(&dumped.out).expect("it is JSON");
            let bytes = fs::read(file).expect("it is there");
            let content = match bytes.is_empty() {
                true => Bucket::default(),
                false => bolt::read(&bytes).expect("it was read"),
            };
            let content_json = serde_json::to_value(dump(&content)).expect("it is JSON");
            assert!(
                printed == content_json,
                "{what}: printed is not what was read"
            );
            assert!(
                ["0", "1"].contains(&inspected.code.as_str()),
                "{what}: {}",
                inspected.err
            );
            assert_eq!(salvaged.out, dumped.out, "{what}");
            if bytes.is_empty() {
                return "empty, as a new file";
            }
            let judged = bbolt::dump(file).unwrap_or_else(|err| panic!("{what}: bbolt: {err}"));
            assert!(printed == judged, "{what}: bbolt reads something else");
            if content == *now {
                "read as it was"
            } else if original.contents.contains(&content) {
                "read as before the last commit"
            } else {
                let one = original
                    .contents
                    .iter()
                    .any(|old| one_change(old, &content));
                let byte = matches!(damage, Damage::Byte(..));
                assert!(one && byte, "{what}: more has changed than what was hit");
                "read, except the byte"
            }
        }
        _ => {
            dumped.assert_refused(what);
            inspected.assert_refused(what);
            if salvaged.out.is_empty() {
                salvaged.assert_refused(what);
                return "refused, nothing to salvage";
            }
            assert_eq!(salvaged.code, "1", "{what}");
            let _: Value = serde_json::from_str(&salvaged.out).expect("it is JSON");
            let mut lines = salvaged.err.lines();
            assert!(
                lines.all(|line| line.starts_with("skipped: page ")),
                "{what}: {}",
                salvaged.err
            );
            assert_ne!(salvaged.err, "", "{what}");
            "refused, and salvaged"
        }
    }
}

/// Returns whether two buckets differ only in one key, one value or one sequence.
fn one_change(one: &Bucket, other: &Bucket) -> bool {
    let differing = |one: &Bucket, other: &Bucket| -> Vec<(Vec<u8>, Item)> {
        let items = one
            .items
            .iter()
            .filter(|(key, item)| other.items.get(*key) != Some(item));
        items
            .map(|(key, item)| (key.clone(), item.clone()))
            .collect()
    };
    let gone = differing(one, other);
    let come = differing(other, one);
    match (
        one.sequence == other.sequence,
        gone.as_slice(),
        come.as_slice(),
    ) {
        (false, [], []) => true,
        (true, [(key, old)], [(other, new)]) if key == other => match (old, new) {
            (Item::Bucket(old), Item::Bucket(new)) => one_change(old, new),
            _ => true,
        },
        (true, [(key, old)], [(other, new)]) => {
            old == new || is_cut_elsewhere(key, old, other, new)
        }
        _ => false,
    }
}

/// Returns whether two items have the same bytes but divide them differently into key and value:
/// only its sizes say where the last item of a page ends.
fn is_cut_elsewhere(key: &[u8], old: &Item, other: &[u8], new: &Item) -> bool {
    let (Item::Value(old), Item::Value(new)) = (old, new) else {
        return false;
    };
    let (old, new) = ([key, old].concat(), [other, new].concat());
    old.starts_with(&new) || new.starts_with(&old)
}

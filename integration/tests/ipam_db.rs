//! bbolt itself and the real Podman judge the file `ipam.db` as berth-migrate reads and writes it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use berth_integration::ipam_db::{PODMANS, addresses, content, fixture};
use berth_integration::{Lab, bbolt, seed};
use berth_migrate::bolt::{Bucket, Item, commit, image};
use berth_migrate::ipam::dump::dump;
use fastrand::Rng;
use tempfile::TempDir;

/// Returns files that Podman made, and files that bbolt made with every page size and every kind
/// of free list.
fn files(directory: &TempDir, seed: u64) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for name in PODMANS {
        let path = directory.path().join(name);
        fs::write(&path, fixture(name)).expect("it can be written");
        files.push(path);
    }
    for page_size in [1024, 2048, 4096, 5000, 16_384, 65_536] {
        for freelist in ["array", "hashmap", "none"] {
            let path = directory.path().join(format!("{page_size}-{freelist}"));
            let options = format!(
                "-page-size {page_size} -freelist {freelist} -seed {seed} -deep 4 -commits 12"
            );
            bbolt::churn(&path, &words(&options));
            files.push(path);
        }
    }
    files
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn read(path: &Path) -> Bucket {
    content(&fs::read(path).expect("it can be read"))
}

fn replace(path: &Path, root: &Bucket) {
    let file = File::options().read(true).write(true).open(path);
    commit(&file.expect("it is there"), root).expect("it can be changed");
}

/// Asserts that bbolt finds nothing wrong with the file, and reads the same from it as we do.
#[track_caller]
fn assert_sound(path: &Path, root: &Bucket) {
    let found = bbolt::check(path);
    assert!(found.is_empty(), "{}: {found}", path.display());
    let said = bbolt::dump(path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
    let ours = serde_json::to_value(dump(root)).expect("it is JSON");
    assert!(
        said == ours,
        "{}: bbolt reads something else",
        path.display()
    );
    assert!(
        read(path) == *root,
        "{}: we read something else",
        path.display()
    );
}

/// Changes a bucket at random: keys and buckets come and go, values grow.
fn edit(bucket: &mut Bucket, random: &mut Rng, depth: usize) {
    let keys: Vec<_> = bucket.items.keys().cloned().collect();
    for key in keys {
        match random.u8(0..20) {
            0 => drop(bucket.items.remove(&key)),
            1 | 2 if depth < 4 => {
                if let Some(Item::Bucket(within)) = bucket.items.get_mut(&key) {
                    edit(within, random, depth + 1);
                }
            }
            _ => {}
        }
    }
    for _ in 0..random.usize(0..8) {
        let key = (0..random.usize(1..70)).map(|_| random.u8(..)).collect();
        let length = match random.u8(0..30) {
            0 => random.usize(0..50_000),
            1 => 0,
            _ => random.usize(0..100),
        };
        let item = match random.u8(0..10) {
            // A network's own buckets stay, so that a dump still recognises their shape.
            0 if depth < 4 => Item::Bucket(Bucket {
                sequence: random.u64(0..3),
                items: BTreeMap::new(),
            }),
            _ if depth == 0 => continue,
            _ => Item::Value((0..length).map(|_| random.u8(..)).collect()),
        };
        bucket.items.insert(key, item);
    }
}

#[test]
fn bbolt_agrees_with_what_is_read_and_written() {
    let directory = TempDir::new().expect("there is room");
    let seed = seed();
    let mut random = Rng::with_seed(seed);
    let mut edits = 0;
    for path in files(&directory, seed) {
        let mut root = read(&path);
        assert_sound(&path, &root);
        for _ in 0..12 {
            replace(&path, &root);
            assert_sound(&path, &root);
            edit(&mut root, &mut random, 0);
            edits += 1;
        }
        let new = path.with_extension("new");
        fs::write(&new, image(&root)).expect("there is room");
        assert_sound(&new, &root);
    }
    assert!(edits > 200, "{edits} edits");
}

#[test]
fn bbolt_can_work_with_files_that_berth_migrate_wrote() {
    let directory = TempDir::new().expect("there is room");
    let seed = seed();
    let mut random = Rng::with_seed(seed);
    for (number, path) in files(&directory, seed).into_iter().enumerate() {
        for round in 0..3 {
            let mut root = read(&path);
            edit(&mut root, &mut random, 0);
            replace(&path, &root);
            let freelist = ["array", "hashmap", "none"][(number + round) % 3];
            let seed = random.u32(..);
            let options = format!("-seed {seed} -freelist {freelist} -commits 15 -puts 40");
            bbolt::churn(&path, &words(&options));
            assert_sound(&path, &read(&path));
        }
    }
}

/// Creates the networks of a file, as Podman does, and returns their names.
///
/// Podman counts a name as used if an id begins with it, and one id in sixteen begins
/// with `b`. If that happens, all networks are created again, with other ids.
fn create_networks(lab: &Lab, root: &Bucket) -> Vec<String> {
    let networks = root.items.iter().filter_map(|(name, item)| match item {
        Item::Bucket(network) => Some((name.clone(), network)),
        Item::Value(_) => None,
    });
    let create: Vec<_> = networks
        .map(|(name, network)| {
            let name = String::from_utf8(name).expect("it is a name");
            let subnets = network.items.keys().filter(|key| *key != b"ids");
            let mut create = words("network create");
            for subnet in subnets {
                let subnet = String::from_utf8(subnet.clone()).expect("it is a subnet");
                create.extend(["--subnet".to_owned(), subnet]);
            }
            create.push(name.clone());
            (name, create)
        })
        .collect();
    for _ in 0..50 {
        let collides = create.iter().any(|(_, create)| {
            let created = lab.podman(create).run();
            let used = created.stderr.contains("already used");
            assert!(created.status.success() || used, "{created}");
            used
        });
        if !collides {
            return create.into_iter().map(|(name, _)| name).collect();
        }
        lab.podman(["network", "prune", "--force"]).ok();
    }
    panic!("the names always collide with ids");
}

/// Makes the real Podman lease an address on every network and give it back. Asserts that all
/// other leases stay as they are, and that both readers count the same.
#[track_caller]
fn podman_goes_on(lab: &Lab, networks: &[String]) {
    let path = lab.ipam_db();
    for network in networks {
        let before = read(&path);
        let held = addresses(&before, network);
        let name = format!("on-{network}");
        let id = lab.container(&name, &[network]).start().id;
        let during = read(&path);
        assert_sound(&path, &during);
        let mut expected = held.clone();
        let reported = lab.reported(&name, network);
        assert!(!reported.is_empty(), "{name} has no address");
        for address in reported {
            let taken = expected.insert(address, id.clone());
            assert_eq!(taken, None, "{address} was leased before");
        }
        assert_eq!(addresses(&during, network), expected);
        lab.remove(&name);
        let after = read(&path);
        assert_sound(&path, &after);
        assert_eq!(addresses(&after, network), held);
        for other in networks.iter().filter(|other| *other != network) {
            assert_eq!(addresses(&after, other), addresses(&before, other));
        }
    }
}

fn put(lab: &Lab, bytes: &[u8]) {
    lab.cmd("mkdir").args(["-p", lab.run_dir().as_str()]).ok();
    fs::write(lab.ipam_db(), bytes).expect("there is room");
}

#[test]
fn podman_can_work_with_files_that_berth_migrate_wrote() {
    for name in PODMANS {
        let lab = Lab::start();
        let root = content(&fixture(name));
        let networks = create_networks(&lab, &root);
        // Once committed in place, and once made afresh.
        put(&lab, &fixture(name));
        replace(&lab.ipam_db(), &root);
        podman_goes_on(&lab, &networks);
        put(&lab, &image(&root));
        podman_goes_on(&lab, &networks);
    }
}

#[test]
fn podman_can_work_with_every_sanitised_file() {
    for name in PODMANS {
        let lab = Lab::start();
        let root = content(&fixture(name));
        let networks = create_networks(&lab, &root);
        put(&lab, &fixture(name));
        // A container runs on the last network, among all the dead ones.
        let (last, others) = networks.split_last().expect("it has a network");
        let survivor = lab.container("survivor", &[last]).start();
        let kept = lab.reported("survivor", last);
        lab.cmd("berth-migrate").args(["sanitise"]).ok();
        let sanitised = read(&lab.ipam_db());
        assert_sound(&lab.ipam_db(), &sanitised);
        let held = kept
            .into_iter()
            .map(|address| (address, survivor.id.clone()));
        assert_eq!(addresses(&sanitised, last), held.collect());
        for other in others {
            assert_eq!(
                addresses(&sanitised, other),
                BTreeMap::new(),
                "{name}: {other}"
            );
            assert_eq!(
                cursors(&sanitised, other),
                cursors(&root, other),
                "{name}: {other}"
            );
        }
        podman_goes_on(&lab, &networks);
        lab.remove("survivor");
        assert_eq!(lab.allocated(last), [] as [std::net::IpAddr; 0]);
    }
}

/// The last address that was leased on each subnet.
fn cursors(root: &Bucket, network: &str) -> Vec<Item> {
    let Some(Item::Bucket(network)) = root.items.get(network.as_bytes()) else {
        return Vec::new();
    };
    let subnets = network.items.values().filter_map(|item| match item {
        Item::Bucket(subnet) => subnet.items.get(b"lastIP".as_slice()).cloned(),
        Item::Value(_) => None,
    });
    subnets.collect()
}

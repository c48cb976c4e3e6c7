//! A command is killed at one of its system calls, or one of these is refused: a sample of the
//! points that `make torture` goes through one by one.

use berth::store::EngineKind;
use berth_integration::campaign::Campaign;
use berth_integration::crash::{Site, Verb};
use berth_integration::seed;

/// Injures a sample of the points, and asserts that everything was recovered.
#[track_caller]
fn everything_is_recovered(verbs: &[Verb], sample: usize) {
    everything_is_recovered_with(EngineKind::default(), verbs, sample);
}

/// As [`everything_is_recovered`], with lease stores of this engine.
#[track_caller]
fn everything_is_recovered_with(engine: EngineKind, verbs: &[Verb], sample: usize) {
    let mut random = fastrand::Rng::with_seed(seed());
    let campaign = Campaign::record(engine, verbs).sample(sample, &mut random);
    let report = campaign.run();
    eprintln!("{report}");
    assert!(report.failures.is_empty(), "{}", report.failures.join("\n"));
    let reached: usize = report.rows.iter().map(|row| row.reached).sum();
    assert!(2 * reached > sample, "strace injured next to nothing");
}

// Each sample takes about two minutes.

#[test]
fn everything_is_recovered_from_a_death_at_any_system_call() {
    everything_is_recovered(&Verb::PLUGIN, 100);
}

#[test]
fn everything_is_recovered_from_a_death_at_a_system_call_of_sleds() {
    everything_is_recovered_with(EngineKind::Sled, &Verb::PLUGIN, 24);
}

/// etcd keeps running: no claim is left without its lease, and no lease without its claim.
#[test]
fn everything_is_recovered_from_a_death_at_any_system_call_on_a_network_in_a_share() {
    everything_is_recovered(&Verb::SHARED, 40);
}

/// The container is on two networks. Whichever of podman, berth and netavark dies, one
/// collection leaves nothing of the container on either.
#[test]
fn everything_is_recovered_from_a_death_of_anybody_in_a_call_that_passes_berth() {
    everything_is_recovered(&Verb::HOST_WIDE, 40);
}

/// Each point moves a network to berth and back.
#[test]
fn networks_are_moved_whole_or_not_at_all_by_a_command_that_dies_at_any_system_call() {
    everything_is_recovered(&Verb::MIGRATION, 36);
}

#[test]
fn a_death_at_any_system_call_leaves_the_old_ipam_db_or_the_new_and_the_next_run_finishes() {
    everything_is_recovered(&[Verb::Sanitise], 40);
}

#[test]
fn everything_is_recovered_once_a_full_run_directory_has_room_again() {
    let mut site = Site::start_with_small_run_directory(Verb::Setup);
    let mut refused = 0;
    for verb in Verb::PLUGIN {
        let outcome = site.run_with_full_directory(verb);
        // A release may find room in the store itself.
        if !outcome.status.success() {
            let said = outcome.stderr.contains("No space left on device");
            assert!(said, "{outcome}");
            refused += 1;
        }
    }
    assert!(refused >= 2, "the directory was not full");
}

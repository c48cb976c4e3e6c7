//! berth killed at any of its system calls, or refused any of them: a sample of
//! the points that `make torture` goes through one by one.

use berth_integration::campaign::Campaign;
use berth_integration::crash::{Site, Verb};
use berth_integration::seed;

/// What fits into two minutes.
const SAMPLE: usize = 100;

/// The same of moving networks, where all is moved there and back each time.
const MIGRATION_SAMPLE: usize = 36;

#[test]
fn everything_is_recovered_from_a_death_at_any_system_call() {
    let mut random = fastrand::Rng::with_seed(seed());
    let campaign = Campaign::record(&Verb::PLUGIN).sample(SAMPLE, &mut random);
    let report = campaign.run();
    eprintln!("{report}");
    assert!(report.failures.is_empty(), "{}", report.failures.join("\n"));
    let reached: usize = report.rows.iter().map(|row| row.reached).sum();
    assert!(2 * reached > SAMPLE, "strace injured next to nothing");
}

#[test]
fn everything_is_recovered_once_a_full_run_directory_has_room_again() {
    let mut site = Site::start_with_small_run_directory(Verb::Setup);
    for verb in Verb::PLUGIN {
        let outcome = site.run_with_full_directory(verb);
        let said = outcome.stderr.contains("No space left on device");
        assert!(said && !outcome.status.success(), "{outcome}");
    }
}

#[test]
fn networks_are_moved_whole_or_not_at_all_by_a_command_that_dies_at_any_system_call() {
    let mut random = fastrand::Rng::with_seed(seed());
    let campaign = Campaign::record(&Verb::MIGRATION).sample(MIGRATION_SAMPLE, &mut random);
    let report = campaign.run();
    eprintln!("{report}");
    assert!(report.failures.is_empty(), "{}", report.failures.join("\n"));
    let reached: usize = report.rows.iter().map(|row| row.reached).sum();
    assert!(
        2 * reached > MIGRATION_SAMPLE,
        "strace injured next to nothing"
    );
}

//! Collection: everything that dead containers hold is taken back, whether or not
//! anybody asks for it.
//!
//! A look takes Podman's network lock and then the store's, the order in which
//! Podman itself reaches us; so no setup or teardown is under way. It adopts what
//! the store does not know of, judges every tenant, and finds what no lease speaks
//! of. A second look, a grace later, confirms it; what both found is cleared away
//! under the second's locks, a few seconds' work at a time.

mod background;
mod clear;
mod look;
mod plan;
mod report;

use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};

use thiserror::Error;

pub use background::{is_due, start};
pub use plan::{Findings, Plan};
pub use report::{Party, Report};

use crate::delegate;
use crate::lifecycle::LOCK_PATIENCE;
use crate::lifecycle::adopt::AdoptError;
use crate::lifecycle::reclaim;
use crate::podman::{NetworkLock, NetworkLockError, Podman};
use crate::rules::lease::{Moment, Tenancy};
use crate::rules::verdict::STARTER_GRACE;
use crate::sight::survey::{self, Leftover, SurveyError};
use crate::sight::{self, ClockError};
use crate::store::{Collection, LockFile, Store, StoreError};

/// How long the locks are kept for clearing away before others get their turn.
const TURN: Duration = Duration::from_secs(5);

/// How many failures the store remembers.
const REMEMBERED: usize = 20;

/// Failure of a collection as a whole. What was done before is done.
#[derive(Debug, Error)]
pub enum CollectError {
    /// Podman's lock.
    #[error(transparent)]
    Networks(#[from] NetworkLockError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The host.
    #[error(transparent)]
    Survey(#[from] SurveyError),
    /// The time or boot could not be told.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// There is no network of that name or id.
    #[error("berth knows no network {0:?}; `podman network ls` lists those of driver berth")]
    NoNetwork(String),
}

impl From<AdoptError> for CollectError {
    fn from(error: AdoptError) -> Self {
        match error {
            AdoptError::Survey(error) => error.into(),
            AdoptError::Store(error) => error.into(),
        }
    }
}

/// How to collect.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Only say what would be done; nothing is changed.
    pub dry_run: bool,
    /// Trust one look.
    pub now: bool,
    /// Only this network, by name or id.
    pub network: Option<String>,
}

/// Takes back and clears away what the dead hold. On return all of it is durable,
/// and the store remembers when this was and what was done.
///
/// # Errors
/// If a lock is not to be had, the store cannot be read, or the host cannot be
/// looked at. What could not be done for one container is in the report.
pub fn collect(podman: &Podman, wish: &Wish) -> Result<Report, CollectError> {
    let began = Instant::now();
    let mut collector = Collector {
        podman,
        wish,
        began,
        report: Report {
            dry_run: wish.dry_run,
            ..Report::default()
        },
        earlier: None,
        tried: HashSet::new(),
        tried_leftovers: Vec::new(),
    };
    let configured = survey::configured(&podman.network_config_dir)?;
    if !configured.is_empty() || Store::exists(&podman.state_directory) {
        loop {
            match collector.turn()? {
                Next::Done => break,
                Next::LookAgain => thread::sleep(STARTER_GRACE),
                Next::Turn => {}
            }
        }
    }
    collector.report.took_ms = milliseconds(began.elapsed());
    Ok(collector.report)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How a turn with the locks ends.
enum Next {
    /// Nothing is left to do.
    Done,
    /// What was found must be found again.
    LookAgain,
    /// There is more to clear away, but others get their turn first.
    Turn,
}

/// A collection under way.
struct Collector<'a> {
    podman: &'a Podman,
    wish: &'a Wish,
    began: Instant,
    report: Report,
    /// What the first of two looks has found.
    earlier: Option<Findings>,
    /// Those tried already, with success or not.
    tried: HashSet<Tenancy>,
    tried_leftovers: Vec<Leftover>,
}

impl Collector<'_> {
    /// Takes the locks, looks, and does what two looks agree on.
    fn turn(&mut self) -> Result<Next, CollectError> {
        let podman = self.podman;
        let _networks = NetworkLock::acquire(&podman.lock, LOCK_PATIENCE)?;
        let boot_id = sight::boot_id()?;
        let now = sight::now()?;
        let mut lock = LockFile::open(&podman.state_directory)?;
        let guard = lock.acquire(LOCK_PATIENCE, "collection of what dead containers hold")?;
        if guard.follows_a_kill() {
            delegate::await_orphans(&podman.caller.delegation);
        }
        let store = Store::open(&podman.state_directory, guard, &boot_id, now)?;

        self.report.looks = self.report.looks.max(1);
        let findings = self.look(&store, &boot_id, now)?;
        let plan = match &self.earlier {
            None if self.wish.now || findings.suspects().is_empty() => findings.plan(),
            None => {
                self.earlier = Some(findings);
                return Ok(Next::LookAgain);
            }
            Some(earlier) => {
                self.report.looks = 2;
                findings.plan_again(earlier)
            }
        };
        let plan = self.narrowed(plan);
        if self.wish.dry_run {
            self.announce(&plan);
            return Ok(Next::Done);
        }
        if !self.execute(&store, &plan, now)? {
            return Ok(Next::Turn);
        }
        self.record(&store, findings, now)?;
        Ok(Next::Done)
    }

    /// Returns what of a plan is wished for and has not been tried yet.
    fn narrowed(&self, mut plan: Plan) -> Plan {
        plan.reclaim
            .retain(|(tenant, _)| !self.tried.contains(&tenant.tenancy));
        plan.clear
            .retain(|leftover| !self.tried_leftovers.contains(leftover));
        if let Some(wanted) = &self.wish.network {
            plan.reclaim.retain(|(tenant, _)| {
                tenant.network_name.as_str() == wanted
                    || tenant.tenancy.network_id.as_str() == wanted
            });
            plan.clear.retain(|leftover| {
                leftover
                    .network()
                    .is_some_and(|network| network.answers_to(wanted))
            });
        }
        plan
    }

    /// Reports a plan without doing anything.
    fn announce(&mut self, plan: &Plan) {
        let parties = plan.reclaim.iter();
        self.report.reclaimed = parties.map(|(t, cause)| Party::new(t, cause)).collect();
        self.report.cleared = plan.clear.iter().map(ToString::to_string).collect();
    }

    /// Does what is planned. Returns whether that was all: after a while it stops,
    /// with the rest still to be found by the next look.
    fn execute(
        &mut self,
        store: &Store<'_>,
        plan: &Plan,
        now: Moment,
    ) -> Result<bool, CollectError> {
        let caller = &self.podman.caller;
        let until = Instant::now() + TURN;
        // netavark removes a network's chains together with its last interface, and
        // cannot while another container's rules are in them: those go first.
        let (records, others): (Vec<_>, Vec<_>) = plan
            .clear
            .iter()
            .partition(|leftover| matches!(leftover, Leftover::Record { .. }));
        if !self.clear(&records, until) {
            return Ok(false);
        }
        for (tenant, cause) in &plan.reclaim {
            if Instant::now() >= until {
                return Ok(false);
            }
            self.tried.insert(tenant.tenancy.clone());
            match reclaim::reclaim(store, &caller.netavark, tenant, now) {
                Ok(()) => self.report.reclaimed.push(Party::new(tenant, cause)),
                Err(error) => self.report.failures.push(crate::chain(&error)),
            }
        }
        Ok(self.clear(&others, until))
    }

    /// Clears away what no lease speaks of, and returns whether that was all.
    fn clear(&mut self, leftovers: &[&Leftover], until: Instant) -> bool {
        for leftover in leftovers {
            if Instant::now() >= until {
                return false;
            }
            self.tried_leftovers.push((*leftover).clone());
            match clear::clear(leftover, &self.podman.caller) {
                Ok(()) => self.report.cleared.push(leftover.to_string()),
                Err(reason) => {
                    let failure = format!("failed to clear away {leftover}: {reason}");
                    self.report.failures.push(failure);
                }
            }
        }
        true
    }

    /// Notes in the store what was done, and forgets networks that are gone.
    fn record(
        &self,
        store: &Store<'_>,
        findings: Findings,
        now: Moment,
    ) -> Result<(), CollectError> {
        let report = &self.report;
        let failures = report.failures.iter().take(REMEMBERED);
        let mut transaction = store.begin();
        for network in transaction.networks()? {
            let is_known = findings.configured.contains(network.as_str());
            if !is_known && transaction.is_idle(&network, now)? {
                transaction.forget_network(&network)?;
            }
        }
        transaction.set_collection(Collection {
            at: sight::now()?,
            took_ms: milliseconds(self.began.elapsed()),
            reclaimed: report.reclaimed.len(),
            cleared: report.cleared.len(),
            failures: failures.cloned().collect(),
            empty: findings.empty,
        });
        Ok(transaction.commit(now)?)
    }
}

//! Collection: takes back everything that dead containers hold, whether or not another
//! container asks for it.
//!
//! A look takes Podman's network lock and then the store's, the order in which Podman
//! itself reaches us, so no setup or teardown is under way. It adopts what the store
//! does not know of, judges every tenant, and finds what no lease mentions. A second
//! look, after a grace period, confirms this. What both found is cleared away under the
//! second look's locks, a few seconds' work at a time.

mod background;
mod clear;
mod look;
mod plan;
mod report;
mod shares;

use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};

use thiserror::Error;

pub use background::start;
pub use plan::{Findings, Plan};
pub use report::{Party, Report};

use super::NoNetwork;
use crate::delegate::{self, Reach};
use crate::lifecycle::session::{Session, SessionError, note, with_session};
use crate::podman::{NetworkLockError, Podman};
use crate::rules::history::{Line, Work};
use crate::rules::lease::{Moment, Tenancy};
use crate::rules::verdict::STARTER_GRACE;
use crate::sharing;
use crate::sight;
use crate::sight::survey::Leftover;
use crate::store::{Collection, Store, StoreError};

/// How long clearing away keeps the locks before others get their turn.
const TURN: Duration = Duration::from_secs(5);

/// How many failures the store remembers.
const REMEMBERED: usize = 20;

/// Why a collection as a whole failed. What was done before stays done.
#[derive(Debug, Error)]
pub enum CollectError {
    #[error(transparent)]
    NetworkLock(#[from] NetworkLockError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    NoNetwork(#[from] NoNetwork),
}

impl From<StoreError> for CollectError {
    fn from(error: StoreError) -> Self {
        SessionError::from(error).into()
    }
}

/// How to collect.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Only report what would be done; nothing is changed.
    pub dry_run: bool,
    /// Trust a single look.
    pub now: bool,
    pub network: Option<String>,
}

/// Takes back and clears away what the dead hold. On return all of it is durable, and
/// the store remembers when this happened and what was done.
///
/// # Errors
/// If a lock is not free in time, the store cannot be read, or the host cannot be
/// looked at. Whatever fails for a single container is in the report.
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
        noted: None,
        tried: HashSet::new(),
        tried_leftovers: Vec::new(),
    };
    let done = collector.run();
    let mut report = collector.report;
    report.took_ms = milliseconds(began.elapsed());
    if !wish.dry_run {
        let failures = report.failures.iter().cloned();
        let failures = failures.chain(done.as_ref().err().map(|error| crate::chain(error)));
        note_failures(podman, failures);
    }
    done.map(|()| report)
}

/// Notes in the history what could not be done.
fn note_failures(podman: &Podman, failures: impl Iterator<Item = String>) {
    let at = sight::now().unwrap_or_default().wall_ms;
    let lines = failures.map(|reason| Line::failed(Work::Collection, at, &reason));
    note(podman, &lines.collect::<Vec<_>>());
}

/// Returns the failures that the store remembers.
fn remembered(failures: &[String]) -> Vec<String> {
    failures.iter().take(REMEMBERED).cloned().collect()
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How a turn with the locks ends.
enum Next {
    Done,
    /// What was found must be confirmed by another look.
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
    /// The time under which the store remembers this collection.
    noted: Option<Moment>,
    /// The tenancies tried already, with success or not.
    tried: HashSet<Tenancy>,
    tried_leftovers: Vec<Leftover>,
}

impl Collector<'_> {
    /// Takes turns until all is done.
    fn run(&mut self) -> Result<(), CollectError> {
        let networks = self.podman.networks().map_err(SessionError::from)?;
        let is_bare = networks.is_empty() && sharing::configured(self.podman).is_empty();
        if is_bare && !Store::exists(&self.podman.state_directory) {
            return Ok(());
        }
        loop {
            match self.turn()? {
                Next::Done => {
                    let before = self.report.failures.len();
                    // G4
                    self.reconcile_shares();
                    if self.report.failures.len() > before {
                        self.note_shares();
                    }
                    return Ok(());
                }
                Next::LookAgain => thread::sleep(STARTER_GRACE),
                Next::Turn => {}
            }
        }
    }

    /// Takes the locks, looks, and does what two looks agree on.
    fn turn(&mut self) -> Result<Next, CollectError> {
        let podman = self.podman;
        let _networks = podman.lock_networks(podman.settings.lock_wait())?;
        with_session(
            podman,
            "collection of what dead containers hold",
            |session| self.work(session),
        )
    }

    fn work(&mut self, session: &Session<'_>) -> Result<Next, CollectError> {
        self.report.looks = self.report.looks.max(1);
        let findings = self.look(session)?;
        if self.earlier.is_none() && !self.wish.now && findings.has_suspects() {
            self.earlier = Some(findings);
            return Ok(Next::LookAgain);
        }
        let plan = match &self.earlier {
            None => findings.plan(),
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
        if !self.execute(session, &plan) {
            return Ok(Next::Turn);
        }
        self.put_names_right(session);
        self.record(session, &findings)?;
        Ok(Next::Done)
    }

    /// Returns the part of a plan that is wished for and has not been tried yet.
    fn narrowed<'f>(&self, mut plan: Plan<'f>) -> Plan<'f> {
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
    fn announce(&mut self, plan: &Plan<'_>) {
        let parties = plan.reclaim.iter();
        self.report.reclaimed = parties.map(|(t, cause)| Party::new(t, cause)).collect();
        self.report.cleared = plan.clear.iter().map(ToString::to_string).collect();
    }

    /// Does what is planned. Returns whether that was all: after a while it stops, and
    /// leaves the rest for the next look to find.
    fn execute(&mut self, session: &Session<'_>, plan: &Plan<'_>) -> bool {
        let until = Instant::now() + TURN;
        // netavark removes a network's bridge and chains together with its last interface, and
        // cannot do so while a port is left on the bridge or another container's rules are in
        // the chains: so those go first.
        let (first, last): (Vec<_>, Vec<_>) = plan.clear.iter().copied().partition(|leftover| {
            matches!(leftover, Leftover::Veth { .. } | Leftover::Record { .. })
        });
        if !self.clear(&first, until) {
            return false;
        }
        for (at, (tenant, cause)) in plan.reclaim.iter().enumerate() {
            if Instant::now() >= until {
                return false;
            }
            self.tried.insert(tenant.tenancy.clone());
            let later = plan.reclaim[at + 1..].iter();
            let later = later.map(|(other, _)| other.tenancy.network_id.as_str());
            let reach = Reach::of(tenant.tenancy.network_id.as_str(), later);
            // G2
            match session.reclaim(tenant, reach, &cause.to_string()) {
                Ok(()) => self.report.reclaimed.push(Party::new(tenant, cause)),
                Err(error) => self.report.failures.push(crate::chain(&error)),
            }
        }
        self.clear(&last, until)
    }

    /// Clears away what no lease mentions, and returns whether that was all.
    fn clear(&mut self, leftovers: &[&Leftover], until: Instant) -> bool {
        for (at, leftover) in leftovers.iter().enumerate() {
            if Instant::now() >= until {
                return false;
            }
            self.tried_leftovers.push((*leftover).clone());
            let later = leftovers[at + 1..]
                .iter()
                .filter_map(|other| other.network());
            let later = later.map(|network| network.id.as_str());
            let reach = leftover
                .network()
                .map_or(Reach::Network, |own| Reach::of(&own.id, later));
            match clear::clear(leftover, reach, self.podman) {
                Ok(()) => self.report.cleared.push(leftover.to_string()),
                Err(reason) => {
                    let failure = format!("failed to clear away {leftover}: {reason}");
                    self.report.failures.push(failure);
                }
            }
        }
        true
    }

    /// Has the names of our networks served at the addresses their containers ask.
    fn put_names_right(&mut self, session: &Session<'_>) {
        let run_directory = &session.podman.delegation.config;
        for network in session.podman.networks().unwrap_or_default() {
            let name = &network.name;
            match delegate::put_servers_right(run_directory, &network, true) {
                Ok(false) => {}
                Ok(true) => {
                    let right = format!("wrong name server addresses of network {name}");
                    self.report.cleared.push(right);
                }
                Err(error) => {
                    let failure = format!("names on network {name}: {error}");
                    self.report.failures.push(failure);
                }
            }
        }
    }

    /// Notes in the store what was done, and forgets networks that are gone.
    fn record(&mut self, session: &Session<'_>, findings: &Findings) -> Result<(), CollectError> {
        let report = &self.report;
        let at = sight::now().map_err(SessionError::from)?;
        let mut transaction = session.store.begin();
        for network in transaction.networks()? {
            let is_known = findings.configured.contains(network.as_str());
            if !is_known && transaction.is_idle(&network, session.now)? {
                transaction.forget_network(&network)?;
            }
        }
        transaction.set_collection(Collection {
            at,
            took_ms: milliseconds(self.began.elapsed()),
            reclaimed: report.reclaimed.len(),
            cleared: report.cleared.len(),
            failures: remembered(&report.failures),
            empty: findings.empty.clone(),
        });
        // G3
        transaction.commit(session.now)?;
        self.noted = Some(at);
        session.trim_history();
        Ok(())
    }
}

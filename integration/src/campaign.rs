//! Tries many injuries, one after the other, in two labs at once.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use berth::store::EngineKind;

use crate::crash::{Hit, Site, Verb};
use crate::syscalls::{Injury, Point, spread};

/// How many labs there are at once.
const LABS: usize = 2;

/// After how many points the progress is printed.
const STEP: usize = 100;

/// What to injure.
#[derive(Clone, Debug, Default)]
pub struct Campaign {
    /// The engine of the lease stores.
    engine: EngineKind,
    /// How many calls of each verb were recorded.
    pub recorded: Vec<(Verb, usize)>,
    /// Each injury, and the verb it is for.
    pub points: Vec<(Verb, Point)>,
}

/// What came of a campaign.
#[derive(Debug, Default)]
pub struct Report {
    /// How many points each verb and kind had, and how many were reached.
    pub rows: Vec<Row>,
    /// Where something was not recovered, and why.
    pub failures: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// One verb and one kind of injury.
#[derive(Clone, Debug)]
pub struct Row {
    /// The verb.
    pub verb: Verb,
    /// The kind.
    pub kind: &'static str,
    /// How many points were tried.
    pub tried: usize,
    /// At how many points the call was made and injured.
    pub reached: usize,
    /// After how many points the store had to be rebuilt.
    pub rebuilt: usize,
    /// After how many points not everything was recovered.
    pub failed: usize,
}

impl Campaign {
    /// Records a run of each verb, with lease stores of this engine, and plans every possible
    /// injury.
    ///
    /// # Panics
    /// If a run without injury leaves something behind.
    #[track_caller]
    pub fn record(engine: EngineKind, verbs: &[Verb]) -> Self {
        let mut campaign = Self {
            engine,
            ..Self::default()
        };
        let mut current = None;
        for &verb in verbs {
            let recording = site_for(&mut current, verb, engine).record(verb);
            campaign.recorded.push((verb, recording.len()));
            let points = if verb.is_ours() {
                [recording.kills(), recording.failures()].concat()
            } else {
                recording.changes()
            };
            campaign
                .points
                .extend(points.into_iter().map(|point| (verb, point)));
        }
        campaign
    }

    /// Keeps only a sample of `count` points, spread evenly over all.
    #[must_use]
    pub fn sample(mut self, count: usize, random: &mut fastrand::Rng) -> Self {
        self.points = spread(&self.points, count, random);
        self
    }

    /// Injures at every point.
    pub fn run(&self) -> Report {
        let start = Instant::now();
        let queue = Mutex::new(self.points.iter().collect::<VecDeque<_>>());
        let done = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..LABS {
                scope.spawn(|| work(self.engine, &queue, &done));
            }
        });
        let done = done.into_inner().unwrap_or_default();
        Report::of(&done, start.elapsed())
    }
}

type Done = (Verb, Point, Result<Hit, String>);

/// Takes points from the queue until it is empty. Abandons a lab in which something was not
/// recovered.
fn work(engine: EngineKind, queue: &Mutex<VecDeque<&(Verb, Point)>>, done: &Mutex<Vec<Done>>) {
    let mut current = None;
    let finish = |(verb, point): &(Verb, Point), result| {
        if let Ok(mut done) = done.lock() {
            done.push((*verb, point.clone(), result));
            if done.len().is_multiple_of(STEP) {
                eprintln!("{} points done", done.len());
            }
        }
    };
    loop {
        let run = catch_unwind(AssertUnwindSafe(|| {
            let mut site = None;
            loop {
                current = queue.lock().ok().and_then(|mut queue| queue.pop_front());
                let Some(task) = current else { return };
                let site = site_for(&mut site, task.0, engine);
                finish(task, Ok(site.injure(task.0, &task.1)));
            }
        }));
        let Err(panic) = run else { return };
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        match current.take() {
            Some(task) => finish(task, Err(text.unwrap_or("it panicked").to_owned())),
            // No lab can be started, so nothing else would work either.
            None => std::panic::resume_unwind(panic),
        }
    }
}

/// Returns the current site, or a new one if it does not serve the verb.
fn site_for(current: &mut Option<Site>, verb: Verb, engine: EngineKind) -> &mut Site {
    let site = current.take().filter(|site| site.serves(verb));
    current.insert(site.unwrap_or_else(|| Site::start(verb, engine)))
}

impl Report {
    fn of(done: &[Done], took: Duration) -> Self {
        let mut report = Self {
            took,
            ..Self::default()
        };
        for (verb, point, result) in done {
            let kind = kind(point.injury);
            let is_own = |row: &&mut Row| (row.verb, row.kind) == (*verb, kind);
            if report.rows.iter_mut().find(is_own).is_none() {
                report.rows.push(Row {
                    verb: *verb,
                    kind,
                    tried: 0,
                    reached: 0,
                    rebuilt: 0,
                    failed: 0,
                });
            }
            let row = report.rows.iter_mut().find(is_own);
            let row = row.expect("it was pushed above");
            row.tried += 1;
            match result {
                Ok(Hit::Yes) => row.reached += 1,
                Ok(Hit::NotReached) => {}
                Ok(Hit::Rebuilt) => {
                    row.reached += 1;
                    row.rebuilt += 1;
                }
                Err(reason) => {
                    row.failed += 1;
                    let text = format!("{}: {point}: {reason}", verb.name());
                    report.failures.push(text);
                }
            }
        }
        report.rows.sort_by_key(|row| (row.verb, row.kind));
        report
    }
}

fn kind(injury: Injury) -> &'static str {
    match injury {
        Injury::Kill => "SIGKILL",
        Injury::Fail(error) => error,
        Injury::FailFromThenOn("EAGAIN") => "EAGAIN from then on",
        Injury::FailFromThenOn(error) => error,
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<17} {:<20} {:>6} {:>8} {:>8} {:>14}",
            "verb", "injury", "calls", "reached", "rebuilt", "not recovered"
        )?;
        for row in &self.rows {
            let Row {
                verb,
                kind,
                tried,
                reached,
                rebuilt,
                failed,
            } = row;
            let verb = verb.name();
            writeln!(
                f,
                "{verb:<17} {kind:<20} {tried:>6} {reached:>8} {rebuilt:>8} {failed:>14}"
            )?;
        }
        write!(f, "in {} s", self.took.as_secs())
    }
}

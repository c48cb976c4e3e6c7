//! The registry implemented with etcd: three to five endpoints, any of which may be down.
//!
//! Everything runs on the calling thread, and only while it waits for an answer. A call goes from
//! endpoint to endpoint, each with its own timeout, until one answers for a quorum or the total
//! time is over. So a request may be carried out twice, which does no harm (I3). If the time runs
//! out, the [`Breaker`] makes other commands fail at once.

mod connection;
mod endpoint;
mod messages;
mod tls;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use prost::Message;
use rustls::ClientConfig;
use thiserror::Error;
use tokio::runtime::{self, Runtime};

pub use endpoint::Endpoint;
pub use tls::Certificates;

use crate::files::Breaker;
use crate::registry::{Found, LeaseId, Outcome, Read, Registry, RegistryError, Transaction};
use connection::{CallError, Connection};
use messages::{LeaseGrantRequest, LeaseGrantResponse, TxnRequest, TxnResponse, reading};

/// The pause after every endpoint has failed.
const PAUSE: Duration = Duration::from_millis(50);

/// How long to wait for each thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// For one endpoint's connection.
    pub connect: Duration,
    /// For one endpoint's answer.
    pub attempt: Duration,
    /// For everything that one command asks.
    pub total: Duration,
    /// How long other commands fail at once after that.
    pub breaker: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            connect: Duration::from_millis(500),
            attempt: Duration::from_secs(1),
            total: Duration::from_secs(4),
            breaker: Duration::from_secs(10),
        }
    }
}

/// Failure to make a client.
#[derive(Debug, Error)]
pub enum EtcdError {
    #[error("{0:?} is not an endpoint of etcd: write https://HOST:PORT")]
    Endpoint(String),
    #[error("no endpoint of etcd is configured")]
    NoEndpoint,
    #[error("{0} is a secure endpoint: a CA, a certificate and a key are needed")]
    NoCertificate(Endpoint),
    #[error("{} cannot be used: {reason}", .path.display())]
    Certificate { path: PathBuf, reason: String },
    #[error("failed to prepare for talking to etcd: {0}")]
    Runtime(#[source] std::io::Error),
}

/// A client of etcd.
pub struct Etcd {
    endpoints: Vec<Endpoint>,
    tls: Option<Arc<ClientConfig>>,
    times: Times,
    /// The time after which etcd counts as unreachable, even if not every endpoint was asked.
    patience: Duration,
    breaker: Option<Breaker>,
    /// The endpoint to ask first, and the connection to it.
    at: usize,
    connection: Option<Connection>,
    /// When this command's time is over; the time begins with its first request.
    deadline: Option<Instant>,
    runtime: Runtime,
}

impl Etcd {
    /// Makes a client that asks endpoint number `first` first. Sends nothing yet.
    ///
    /// # Errors
    /// If a certificate cannot be read, or is missing for a secure endpoint.
    pub fn new(
        endpoints: Vec<Endpoint>,
        certificates: Option<&Certificates>,
        times: Times,
        breaker: Option<Breaker>,
        first: usize,
    ) -> Result<Self, EtcdError> {
        if endpoints.is_empty() {
            return Err(EtcdError::NoEndpoint);
        }
        if certificates.is_none()
            && let Some(secure) = endpoints.iter().find(|one| one.secure)
        {
            return Err(EtcdError::NoCertificate(secure.clone()));
        }
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        Ok(Self {
            at: first % endpoints.len(),
            endpoints,
            tls: certificates.map(Certificates::load).transpose()?,
            patience: times.total,
            times,
            breaker,
            connection: None,
            deadline: None,
            runtime: runtime.map_err(EtcdError::Runtime)?,
        })
    }

    /// Starts the time afresh, for a step that must not pay for those before it. Everything the
    /// step asks takes at most `total`.
    pub fn begin(&mut self, total: Duration) {
        self.times.total = total;
        self.deadline = None;
    }

    fn call<A: Message + Default>(
        &mut self,
        method: &str,
        question: &impl Message,
    ) -> Result<A, RegistryError> {
        if let Some(breaker) = &self.breaker
            && self.deadline.is_none()
            && let Some(left) = breaker.is_open_for()
        {
            return Err(RegistryError::Unreachable(format!(
                "etcd did not answer a moment ago, and berth asks it again in {} s",
                left.as_secs() + 1
            )));
        }
        let total = self.times.total;
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + total);
        let mut failures: Vec<(usize, String)> = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            match self.attempt(method, question, left) {
                Ok(answer) => {
                    if let Some(breaker) = &mut self.breaker {
                        breaker.close();
                    }
                    return Ok(answer);
                }
                Err(CallError::Refused(reason)) => return Err(RegistryError::Refused(reason)),
                Err(CallError::Elsewhere(reason)) => {
                    failures.retain(|(at, _)| *at != self.at);
                    failures.push((self.at, reason));
                    self.connection = None;
                    self.at = (self.at + 1) % self.endpoints.len();
                    if failures.len() == self.endpoints.len() {
                        thread::sleep(PAUSE.min(left));
                    }
                }
            }
        }
        // A removal has little time, and one silent node says nothing about the others.
        let is_gone = failures.len() == self.endpoints.len() || total >= self.patience;
        if let Some(breaker) = self.breaker.as_mut().filter(|_| is_gone) {
            breaker.open(self.times.breaker);
        }
        let told = failures
            .iter()
            .map(|(at, why)| format!("{}: {why}", self.endpoints[*at]));
        Err(RegistryError::Unreachable(format!(
            "no quorum of etcd has answered within {} ms ({})",
            total.as_millis(),
            told.collect::<Vec<_>>().join("; ")
        )))
    }

    /// Asks the present endpoint, and connects to it first if need be.
    fn attempt<A: Message + Default>(
        &mut self,
        method: &str,
        question: &impl Message,
        left: Duration,
    ) -> Result<A, CallError> {
        let endpoint = &self.endpoints[self.at];
        let tls = self.tls.clone().filter(|_| endpoint.secure);
        let connection = &mut self.connection;
        let (connect, attempt) = (self.times.connect.min(left), self.times.attempt.min(left));
        self.runtime.block_on(async {
            let open = match connection.take() {
                Some(open) => open,
                None => Connection::open(endpoint, tls, connect).await?,
            };
            connection
                .insert(open)
                .call(method, question, attempt)
                .await
        })
    }

    fn transact(&mut self, question: &TxnRequest) -> Result<TxnResponse, RegistryError> {
        self.call("etcdserverpb.KV/Txn", question)
    }
}

impl Registry for Etcd {
    fn commit(&mut self, transaction: &Transaction) -> Result<Outcome, RegistryError> {
        let answer = self.transact(&TxnRequest::from(transaction))?;
        Ok(if answer.succeeded {
            Outcome::Done
        } else {
            Outcome::Refused(answer.responses.into_iter().map(Found::from).collect())
        })
    }

    fn read(&mut self, reads: &[Read]) -> Result<Vec<Found>, RegistryError> {
        let answer = self.transact(&reading(reads))?;
        Ok(answer.responses.into_iter().map(Found::from).collect())
    }

    fn grant(&mut self, ttl: Duration) -> Result<LeaseId, RegistryError> {
        let ttl = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
        let question = LeaseGrantRequest { ttl };
        let answer: LeaseGrantResponse = self.call("etcdserverpb.Lease/LeaseGrant", &question)?;
        Ok(answer.id)
    }
}

//! Tracker of the primary among the hosts of `database_url`, to which all connections of this process lead.
//!
//! Invariants: all connections in use lead to one server, the current primary. It is replaced only by a
//! primary of the same cluster with a timeline that is not lower, so a replaced primary is never used again.
//! Each replacement begins a generation, and a connection of an earlier generation is no longer used. A
//! generation begins with a commit ([`commit_barrier`]), so a server that cannot commit, such as a replaced
//! primary without its synchronous standby, begins none. After a connection was lost, the hosts are asked
//! anew before one is opened: a primary that answers but cannot commit loses to a promoted standby. Every
//! wait here has a bound, [`CONNECT_TIMEOUT`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use super::server_role::{ServerIdentity, ServerRole, commit_barrier, identify_server};
use super::{CONNECT_TIMEOUT, is_silence, with_timeout};

/// Time for a host to answer. Shorter than [`CONNECT_TIMEOUT`], so that one silent host of a list does not
/// use up the time of the others.
const HOST_TIMEOUT: Duration = Duration::from_millis(2_500);
/// Time to wait for the other hosts after one reported that it is a primary: a replaced primary may answer
/// faster than its replacement.
const RIVAL_TIMEOUT: Duration = Duration::from_millis(500);
/// Hosts that are opened in one call, at most, when the server changes in between.
const OPENS_MAX: usize = 2;

/// One host of the list.
pub(super) struct DatabaseHost {
    /// Host and port, for reports.
    pub(super) name: String,
    /// Options for connecting to it.
    pub(super) options: PgConnectOptions,
}

/// Tracker of the current primary, shared by all connections. Cheap to clone.
#[derive(Clone)]
pub(super) struct PrimaryTracker(Arc<TrackerShared>);

struct TrackerShared {
    hosts: Vec<DatabaseHost>,
    state: Mutex<TrackerState>,
    /// Number of the current generation; zero before the first.
    generation: AtomicU64,
    /// Number of elections that have ended.
    elections: AtomicU64,
    electing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct TrackerState {
    current: Option<CurrentPrimary>,
    /// `true` when a connection was lost since the hosts were last asked.
    doubted: bool,
}

/// The server in use.
#[derive(Debug, Clone)]
pub(super) struct CurrentPrimary {
    host: usize,
    identity: ServerIdentity,
    generation: u64,
}

impl PrimaryTracker {
    pub(super) fn new(hosts: Vec<DatabaseHost>) -> Self {
        Self(Arc::new(TrackerShared {
            hosts,
            state: Mutex::default(),
            generation: AtomicU64::new(0),
            elections: AtomicU64::new(0),
            electing: tokio::sync::Mutex::default(),
        }))
    }

    /// Returns `true` when connections of this generation may be used.
    pub(super) fn is_current(&self, generation: u64) -> bool {
        self.0.generation.load(Ordering::Acquire) == generation
    }

    /// Returns `true` when a connection was lost since the hosts were last asked.
    pub(super) fn is_doubted(&self) -> bool {
        self.lock_state().doubted
    }

    /// Records that a connection of this generation was lost.
    pub(super) fn doubt_generation(&self, generation: u64) {
        if self.is_current(generation) {
            self.lock_state().doubted = true;
        }
    }

    /// Returns `true` when this is the identity of the current primary.
    pub(super) fn is_identity(&self, role: &ServerRole) -> bool {
        let state = self.lock_state();
        matches!((role, &state.current), (ServerRole::Primary(seen), Some(current)) if *seen == current.identity)
    }

    /// Opens a connection to the current primary, and returns it with its generation. `shape` adds settings of
    /// the session.
    pub(super) async fn connect_primary(
        &self,
        shape: fn(PgConnectOptions) -> PgConnectOptions,
    ) -> Result<(PgConnection, u64), sqlx::Error> {
        // Boxed: it is rare, and large where every statement would carry it.
        let connected = with_timeout(CONNECT_TIMEOUT, Box::pin(self.open_current(shape))).await;
        if connected.as_ref().is_err_and(|error| !is_full(error)) {
            self.doubt_generation(self.0.generation.load(Ordering::Acquire));
        }
        connected
    }

    async fn open_current(
        &self,
        shape: fn(PgConnectOptions) -> PgConnectOptions,
    ) -> Result<(PgConnection, u64), sqlx::Error> {
        let mut opens = 0;
        loop {
            let current = self.current_primary().await?;
            opens += 1;
            match self.open_host(current.host, &current.identity, shape).await {
                Err(error) if opens < OPENS_MAX && !is_silence(&error) && !is_full(&error) => {
                    self.doubt_generation(current.generation);
                }
                opened => return Ok((opened?, current.generation)),
            }
        }
    }

    async fn open_host(
        &self,
        host: usize,
        identity: &ServerIdentity,
        shape: fn(PgConnectOptions) -> PgConnectOptions,
    ) -> Result<PgConnection, sqlx::Error> {
        let host = self.0.hosts.get(host).ok_or_else(|| no_primary("the list of hosts is empty"))?;
        let (connection, role) = open_host(shape(host.options.clone())).await?;
        if matches!(role, ServerRole::Primary(found) if found == *identity) {
            return Ok(connection);
        }
        close_rival(connection).await;
        Err(no_primary("another server answers at this address than before"))
    }

    /// Returns the current primary; asks the hosts when there is none, or when a connection was lost.
    pub(super) async fn current_primary(&self) -> Result<CurrentPrimary, sqlx::Error> {
        match self.trusted() {
            Some(current) => Ok(current),
            // Boxed, as in `connect_primary`.
            None => with_timeout(CONNECT_TIMEOUT, Box::pin(self.elect_in_turn())).await,
        }
    }

    /// Asks the hosts; callers that arrive meanwhile share the outcome.
    async fn elect_in_turn(&self) -> Result<CurrentPrimary, sqlx::Error> {
        let ended = self.0.elections.load(Ordering::Acquire);
        let _turn = self.0.electing.lock().await;
        if self.0.elections.load(Ordering::Acquire) != ended {
            // Another caller's election ended while this one waited: its outcome is as good.
            return self.trusted().ok_or_else(|| no_primary("no host of database_url is a usable primary"));
        }
        let elected = self.elect_primary().await;
        self.0.elections.fetch_add(1, Ordering::AcqRel);
        elected
    }

    fn trusted(&self) -> Option<CurrentPrimary> {
        let state = self.lock_state();
        state.current.clone().filter(|_| !state.doubted)
    }

    fn lock_state(&self) -> MutexGuard<'_, TrackerState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks all hosts, and makes the best primary the current one.
    async fn elect_primary(&self) -> Result<CurrentPrimary, sqlx::Error> {
        let current = self.lock_state().current.clone();
        let mut candidates = Vec::new();
        let mut failures = Vec::new();
        for (host, probed) in self.probe_hosts().await {
            match probed {
                Ok(ServerRole::Primary(identity)) => match find_objection(current.as_ref(), &identity) {
                    None => candidates.push((host, identity)),
                    Some(reason) => failures.push((host, no_primary(reason))),
                },
                Ok(ServerRole::Standby) => failures.push((host, no_primary("it is a standby"))),
                Ok(ServerRole::ReadOnly) => failures.push((host, no_primary("it is read-only"))),
                Err(error) => failures.push((host, error)),
            }
        }
        let Some((host, identity)) = best_candidate(current.as_ref(), candidates) else {
            return self.keep_full_server(current, &failures).ok_or_else(|| self.refusal_error(failures));
        };
        if current.is_none_or(|current| current.identity != identity) {
            self.confirm_primary(host, &identity).await?;
        }
        Ok(self.adopt_primary(host, identity))
    }

    /// Checks that a server can commit, and that all rows that it shows are as durable as its commits.
    async fn confirm_primary(&self, host: usize, identity: &ServerIdentity) -> Result<(), sqlx::Error> {
        let mut connection = self.open_host(host, identity, std::convert::identity).await?;
        with_timeout(HOST_TIMEOUT, commit_barrier(&mut connection)).await?;
        close_rival(connection).await;
        Ok(())
    }

    /// Returns the answers of the hosts, once all have answered, or a primary was found and the others are
    /// late.
    async fn probe_hosts(&self) -> Vec<(usize, Result<ServerRole, sqlx::Error>)> {
        let probe = async |(number, host): (usize, &DatabaseHost)| {
            let probed = async {
                let (connection, role) = open_host(host.options.clone()).await?;
                close_rival(connection).await;
                Ok(role)
            };
            (number, probed.await)
        };
        let mut probes: FuturesUnordered<_> = self.0.hosts.iter().enumerate().map(probe).collect();
        let mut answers = Vec::new();
        let mut found = None;
        loop {
            let next = match found {
                None => probes.next().await,
                Some(since) => {
                    tokio::time::timeout_at(since + RIVAL_TIMEOUT, probes.next()).await.unwrap_or_default()
                }
            };
            let Some(answer) = next else { return answers };
            if found.is_none() && matches!(answer.1, Ok(ServerRole::Primary(_))) {
                found = Some(tokio::time::Instant::now());
            }
            answers.push(answer);
        }
    }

    /// Makes a server the current one. Begins a generation unless it was the current one before.
    fn adopt_primary(&self, host: usize, identity: ServerIdentity) -> CurrentPrimary {
        let mut state = self.lock_state();
        state.doubted = false;
        let last = state.current.take();
        let is_same = last.as_ref().is_some_and(|last| last.identity == identity);
        let generation = self.0.generation.load(Ordering::Acquire) + u64::from(!is_same);
        if let Some(last) = &last
            && !is_same
        {
            let host = self.0.hosts.get(host).map_or("?", |host| host.name.as_str());
            let (from, to) = (last.identity.timeline, identity.timeline);
            tracing::warn!(
                host,
                timeline = to,
                last_timeline = from,
                "another PostgreSQL server is the primary now"
            );
        }
        let current = CurrentPrimary { host, identity, generation };
        state.current = Some(current.clone());
        self.0.generation.store(generation, Ordering::Release);
        current
    }

    /// Keeps a server without a free connection: it is alive, and its open connections are good.
    fn keep_full_server(
        &self,
        current: Option<CurrentPrimary>,
        failures: &[(usize, sqlx::Error)],
    ) -> Option<CurrentPrimary> {
        let current = current?;
        let is_full = failures.iter().any(|(host, error)| *host == current.host && is_full(error));
        if !is_full {
            return None;
        }
        self.lock_state().doubted = false;
        Some(current)
    }

    /// Returns the reason for which no host can be used: its own error for a single host, else a line about
    /// all.
    fn refusal_error(&self, mut failures: Vec<(usize, sqlx::Error)>) -> sqlx::Error {
        if self.0.hosts.len() == 1
            && let Some((_, error)) = failures.pop()
        {
            return error;
        }
        let silent = failures.iter().any(|(_, error)| is_silence(error));
        let kind = if silent { std::io::ErrorKind::TimedOut } else { std::io::ErrorKind::NotConnected };
        failures.sort_by_key(|(host, _)| *host);
        let line = |(host, error): &(usize, sqlx::Error)| {
            let name = self.0.hosts.get(*host).map_or("?", |host| host.name.as_str());
            format!("{name}: {error}")
        };
        let lines: Vec<String> = failures.iter().map(line).collect();
        sqlx::Error::Io(std::io::Error::new(kind, format!("no primary found ({})", lines.join("; "))))
    }
}

/// Returns the reason for which a primary must not replace the current one.
fn find_objection(current: Option<&CurrentPrimary>, identity: &ServerIdentity) -> Option<&'static str> {
    let last = &current?.identity;
    if identity.system != last.system {
        Some("it is another database cluster than at the start; restart kabar if that is meant")
    } else if identity.timeline < last.timeline {
        Some("it is a primary that was replaced by another one")
    } else {
        None
    }
}

/// Returns the candidate with the highest timeline; among equals the current server, then the first of the
/// list.
fn best_candidate(
    current: Option<&CurrentPrimary>,
    mut candidates: Vec<(usize, ServerIdentity)>,
) -> Option<(usize, ServerIdentity)> {
    let is_current = |identity: &ServerIdentity| current.is_some_and(|it| it.identity == *identity);
    candidates.sort_by_key(|(host, it)| (std::cmp::Reverse(it.timeline), !is_current(it), *host));
    candidates.into_iter().next()
}

async fn open_host(options: PgConnectOptions) -> Result<(PgConnection, ServerRole), sqlx::Error> {
    let open = async {
        let mut connection = options.connect().await?;
        let role = identify_server(&mut connection).await?;
        Ok((connection, role))
    };
    with_timeout(HOST_TIMEOUT, open).await
}

async fn close_rival(connection: PgConnection) {
    // A server that does not answer is not waited for; its end of the connection closes with this one.
    let _gone = with_timeout(RIVAL_TIMEOUT, connection.close()).await;
}

fn no_primary(reason: &'static str) -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::NotConnected, reason))
}

/// Returns `true` when a server has no free connection (SQLSTATE 53300, `too_many_connections`).
fn is_full(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|state| state == "53300")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(system: &str, timeline: i64, started: &str) -> ServerIdentity {
        ServerIdentity { system: system.to_owned(), timeline, started: started.to_owned() }
    }

    fn current(identity: ServerIdentity) -> CurrentPrimary {
        CurrentPrimary { host: 0, identity, generation: 1 }
    }

    #[test]
    fn only_the_same_cluster_on_no_lower_timeline_replaces_the_current_primary() {
        let now = current(server("a", 2, "monday"));
        assert!(find_objection(None, &server("b", 1, "sunday")).is_none(), "the first of all");
        assert!(find_objection(Some(&now), &server("a", 2, "tuesday")).is_none(), "a restart");
        assert!(find_objection(Some(&now), &server("a", 3, "sunday")).is_none(), "a promotion");
        assert!(find_objection(Some(&now), &server("a", 1, "tuesday")).is_some(), "the one before");
        assert!(find_objection(Some(&now), &server("b", 3, "tuesday")).is_some(), "another cluster");
    }

    #[test]
    fn the_highest_timeline_wins_then_the_current_server_then_the_order() {
        let now = current(server("a", 1, "now"));
        let (old, new) = (server("a", 1, "old"), server("a", 2, "new"));
        let best = |current, found: &[&ServerIdentity]| {
            let found = found.iter().map(|it| (*it).clone()).enumerate().collect();
            best_candidate(current, found).map(|(host, _)| host)
        };
        assert_eq!(best(None, &[&old, &new]), Some(1));
        assert_eq!(best(Some(&now), &[&now.identity, &new]), Some(1));
        assert_eq!(best(Some(&now), &[&old, &now.identity]), Some(1));
        assert_eq!(best(None, &[&old, &old]), Some(0));
        assert_eq!(best(None, &[]), None);
    }
}

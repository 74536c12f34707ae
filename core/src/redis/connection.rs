//! Connection to Redis: one multiplexed connection, kept open in the background.
//!
//! Invariants: a command waits at most [`COMMAND_TIME`]. The first one that fails opens the breaker. From
//! then on no command waits until the keeper, a task of its own, has found that Redis can write and run
//! scripts. The loss and the return of Redis are logged once each. `redis::aio::ConnectionManager` is not
//! used: a command given to it while it reconnects waits for all of its attempts.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, FromRedisValue, RedisError, Script};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::cause::cause;
use crate::metrics::Metrics;
use crate::surroundings::{self, AwaitKind, wait_for};

/// Timeout of a command. On one network Redis answers in less than a millisecond.
const COMMAND_TIME: Duration = Duration::from_millis(100);
/// Timeout for making a connection, with its handshake and a trial.
const CONNECT_TIME: Duration = Duration::from_secs(1);
/// Pauses between attempts: the first, doubled up to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Interval of pings while no other command is sent.
const PING_EVERY: Duration = Duration::from_secs(1);
/// Commands that may wait to be written, at most.
const PIPELINE: usize = 1024;

/// Error of an address that is not one of Redis.
#[derive(Debug, thiserror::Error)]
#[error("not an address of Redis")]
pub struct AddressRefused(#[source] RedisError);

/// Reason for which a command has no result.
#[derive(Debug)]
pub(super) enum RedisFailure {
    /// Redis does not answer, or serves no commands.
    Away,
    /// Redis answered, but the value under this key was not written by kabar.
    Foreign,
}

#[derive(Clone)]
struct OpenConnection {
    connection: MultiplexedConnection,
    number: u64,
}

/// Multiplexed connection with a circuit breaker.
pub(super) struct RedisConnection {
    client: Client,
    current: watch::Sender<Option<OpenConnection>>,
    lease: Script,
    metrics: Arc<Metrics>,
}

impl RedisConnection {
    pub(super) fn new(address: &str, metrics: Arc<Metrics>) -> Result<Self, AddressRefused> {
        let client = Client::open(address).map_err(AddressRefused)?;
        let lease = Script::new(include_str!("lease.lua"));
        Ok(Self { client, current: watch::Sender::new(None), lease, metrics })
    }

    /// Returns the script of budgets.
    pub(super) const fn lease_script(&self) -> &Script {
        &self.lease
    }

    pub(super) fn is_up(&self) -> bool {
        self.current.borrow().is_some()
    }

    /// Waits until the breaker is in this position.
    #[cfg(test)]
    pub(super) async fn wait_for(&self, up: bool) {
        let mut changes = self.current.subscribe();
        let _sender_lives = changes.wait_for(|current| current.is_some() == up).await;
    }

    /// Opens the breaker as if a command had failed.
    #[cfg(test)]
    pub(super) fn break_open(&self) {
        let number = self.current.borrow().as_ref().map(|current| current.number);
        if let Some(number) = number {
            self.report_failure(number, &RedisError::from((ErrorKind::Io, "cut by a test")));
        }
    }

    /// Runs one command, one pipeline, or one script.
    pub(super) async fn run_command<T: FromRedisValue>(
        &self,
        command: impl AsyncFnOnce(&mut MultiplexedConnection) -> Result<T, RedisError>,
    ) -> Result<T, RedisFailure> {
        let Some(mut connected) = self.current.borrow().clone() else { return Err(RedisFailure::Away) };
        self.metrics.redis_commands.inc();
        let answering = tokio::time::timeout(COMMAND_TIME, command(&mut connected.connection));
        let answered = wait_for(AwaitKind::RedisCommand, answering).await;
        let error = match answered {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error,
            Err(_elapsed) => RedisError::from((ErrorKind::Io, "no answer in time")),
        };
        self.metrics.redis_failures.inc();
        if is_foreign(&error) {
            // Counted above; it may occur with every request.
            tracing::debug!(error = cause(&error), "Redis holds something that is not ours");
            return Err(RedisFailure::Foreign);
        }
        self.report_failure(connected.number, &error);
        Err(RedisFailure::Away)
    }

    /// Opens the breaker, if the failure is of the current connection.
    fn report_failure(&self, number: u64, error: &RedisError) {
        let opened = self.current.send_if_modified(|current| {
            let is_it = current.as_ref().is_some_and(|current| current.number == number);
            if is_it {
                *current = None;
            }
            is_it
        });
        if opened {
            self.metrics.redis_up.set(0);
            tracing::warn!(error = cause(error), "Redis is away; this node goes on by itself");
        }
    }

    /// Connects, and reconnects whenever the breaker is open, until it is cancelled.
    pub(super) async fn keep_connected(&self, closing: &CancellationToken) {
        let mut pause = PAUSES.0;
        let (mut number, mut told) = (0, false);
        loop {
            let connecting = tokio::time::timeout(CONNECT_TIME, self.open_connection());
            let connected = tokio::select! {
                connected = connecting => connected,
                () = closing.cancelled() => return,
            };
            let error = match connected {
                Ok(Ok(connection)) => {
                    number += 1;
                    tracing::info!("Redis answers");
                    self.metrics.redis_up.set(1);
                    self.current.send_replace(Some(OpenConnection { connection, number }));
                    (pause, told) = (PAUSES.0, true);
                    tokio::select! {
                        () = self.watch_breaker() => {}
                        () = closing.cancelled() => return,
                    }
                    continue;
                }
                Ok(Err(error)) => error,
                Err(_elapsed) => RedisError::from((ErrorKind::Io, "no connection in time")),
            };
            if !told {
                tracing::warn!(error = cause(&error), "Redis is away; this node goes on by itself");
                told = true;
            }
            tokio::select! {
                () = surroundings::sleep(pause) => {}
                () = closing.cancelled() => return,
            }
            pause = pause.saturating_mul(2).min(PAUSES.1);
        }
    }

    /// Returns when the breaker has opened.
    async fn watch_breaker(&self) {
        let mut changes = self.current.subscribe();
        loop {
            tokio::select! {
                _opened = changes.wait_for(Option::is_none) => return,
                () = surroundings::sleep(PING_EVERY) => {}
            }
            let ping = self
                .run_command(async |connection| redis::cmd("PING").query_async::<String>(connection).await);
            // A failure opens the breaker, which is noticed above.
            let _seen = ping.await;
        }
    }

    /// Makes a connection and checks it with a write and the loading of a script.
    async fn open_connection(&self) -> Result<MultiplexedConnection, RedisError> {
        // The caller measures the time of all steps together.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(PIPELINE);
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        self.metrics.redis_commands.inc_by(2);
        let mut trial = redis::cmd("SET");
        trial.arg("kabar:trial").arg(1).arg("PX").arg(1000);
        trial.exec_async(&mut connection).await?;
        self.lease.load_async(&mut connection).await?;
        Ok(connection)
    }
}

/// Returns `true` when a command failed because of the value under its key, not because of Redis.
fn is_foreign(error: &RedisError) -> bool {
    let answered = error.clone().into_server_errors();
    let wrong_type = answered.is_some_and(|errors| {
        !errors.is_empty() && errors.iter().all(|(_, error)| error.code() == WRONG_TYPE)
    });
    wrong_type || matches!(error.kind(), ErrorKind::UnexpectedReturnType | ErrorKind::Parse)
}

const WRONG_TYPE: &str = "WRONGTYPE";

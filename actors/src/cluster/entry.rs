//! Options of a server's membership, and the errors of joining.

use std::sync::Arc;
use std::time::Duration;

use kabar_core::store::StoreError;

/// Options of a server's membership in a cluster.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// Base URL at which other nodes reach this one, for example `http://10.0.0.5:8080`; `None`: it is alone.
    pub address: Option<Arc<str>>,
    /// Time that the others wait before they take over from a node that does not renew its lease.
    pub lease: Duration,
    /// Time for which a server that is alone answers from memory while PostgreSQL cannot be reached. A server
    /// that replaces it waits as long.
    pub alone_lease: Duration,
}

/// Reason that a server could not join.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// Another server holds the database and did not stop in time.
    #[error(
        "another kabar works on this database; to run several on one PostgreSQL, set cluster.address on each"
    )]
    Taken,
    /// Another node runs under the same address.
    #[error("another node runs under this cluster.address; give each node an address of its own")]
    AddressTaken,
    /// A file cannot be shared.
    #[error("several nodes need PostgreSQL; remove cluster.address")]
    NotShared,
    /// The database does not answer.
    #[error("the database does not answer")]
    Storage(#[from] StoreError),
}

//! How a server asks for its place on a database, and why it gets none.

use std::sync::Arc;
use std::time::Duration;

use kabar_core::store::StoreError;

/// How a server stands among others.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// Where other nodes reach this one, e.g. `http://10.0.0.5:8080`; `None`: it is alone.
    pub address: Option<Arc<str>>,
    /// How long the others wait before they take over from a node that has fallen silent.
    pub lease: Duration,
    /// How long a server that is alone answers from memory while PostgreSQL cannot be reached, and a
    /// server that comes in its place waits.
    pub alone_lease: Duration,
}

/// Why a server could not take its place.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// Another server has the database, and would not go.
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

//! Erasures find their rows through indices, on either engine.

use super::plans::{plan, sqlite};
use super::postgres_plans::{faults_of, filled};
use crate::store::dialect::Dialect;
use crate::store::erasure::erasure_statements;

#[tokio::test]
async fn erasures_walk_indices() {
    let (store, _guard) = sqlite().await;
    for (sql, args) in erasure_statements(Dialect::Sqlite, 1) {
        let plan = plan(&store, (sql.clone(), args)).await;
        let scans = |line: &str| {
            line.starts_with("SCAN") && !line.contains("_each VIRTUAL") && !line.contains("SCAN m")
        };
        assert!(!plan.lines().any(scans), "{sql}\n{plan}");
    }
}

#[tokio::test]
async fn erasures_walk_indices_in_big_tables_too() {
    let (mut connection, _guard) = filled().await;
    let mut found = Vec::new();
    for account in [1, 7] {
        for statement in erasure_statements(Dialect::Postgres, account) {
            found.extend(faults_of(&mut connection, "erasure", statement).await);
        }
    }
    assert!(found.is_empty(), "{} faults\n{}", found.len(), found.join("\n\n"));
}

//! One run of the benchmark: what it measures with, and what it has found so far.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use super::child::{Child, own_cpu};
use super::load::{Load, Script};
use super::report::{Figure, Row, millis};
use super::stage::Services;

/// Before each row, so that what is lazily made is made.
const WARM_UP: Duration = Duration::from_millis(500);

/// One run and what it has found so far.
pub(super) struct BenchRun {
    pub(super) folder: PathBuf,
    pub(super) services: Services,
    pub(super) duration: Duration,
    pub(super) hot: Duration,
    pub(super) connections: usize,
    pub(super) threads: usize,
    pub(super) accounts: u32,
    pub(super) conversations: u32,
    pub(super) rows: Vec<Row>,
    pub(super) figures: Vec<Figure>,
}

impl BenchRun {
    pub(super) fn load(&self, server: &Child) -> Load {
        Load {
            address: server.address,
            connections: self.connections,
            threads: self.threads,
            duration: self.duration,
        }
    }

    /// Warms up, then measures one load as one row.
    pub(super) async fn measure<S: Script + Clone + 'static>(
        &mut self,
        name: &str,
        server: &Child,
        load: Load,
        script: &S,
    ) -> anyhow::Result<Row> {
        Load { duration: WARM_UP, ..load }.run(script).await?;
        self.measure_cold(name, server, load, script).await
    }

    /// Measures one load as one row.
    pub(super) async fn measure_cold<S: Script + Clone + 'static>(
        &mut self,
        name: &str,
        server: &Child,
        load: Load,
        script: &S,
    ) -> anyhow::Result<Row> {
        writeln!(std::io::stderr(), "measuring: {name}")?;
        let (server_before, own_before) = (server.cpu()?, own_cpu()?);
        let tally = load.run(script).await?;
        let answers = f64::from(tally.answers.max(1));
        let per_answer = |spent: Duration| spent.as_secs_f64() * 1e6 / answers;
        let row = Row {
            name: name.to_owned(),
            per_second: tally.per_second(),
            ratio: None,
            cpu_micros: per_answer(server.cpu()?.saturating_sub(server_before)),
            generator_cpu_micros: per_answer(own_cpu()?.saturating_sub(own_before)),
            p50_ms: millis(tally.latencies.quantile(500)),
            p99_ms: millis(tally.latencies.quantile(990)),
            longest_ms: millis(tally.latencies.longest()),
        };
        self.rows.push(row.clone());
        Ok(row)
    }
}

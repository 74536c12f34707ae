//! Deliveries and runs of a tenant that is suspended while an attempt is under way.

use std::convert::Infallible;
use std::time::Duration;

use kabar_core::domain::audit::AuditOrigin;
use kabar_core::domain::delivery::{AttemptOutcome, DeliveryStatus};
use kabar_core::domain::run::Run;

use super::script::{PlayedAnswer, Stage, patiently};
use crate::tenants::OrganisationPatch;

const RETRY: AttemptOutcome = AttemptOutcome::Retry { after: None };

async fn suspend(stage: &Stage, suspended: bool) {
    let patch = OrganisationPatch { suspended: Some(suspended), ..OrganisationPatch::default() };
    let decide = |_: &_| Ok::<_, Infallible>(patch.clone());
    let directory = &stage.dispatcher().0.directory;
    let patched =
        directory.patch_organisation(stage.fixture.organisation, decide, &AuditOrigin::SYSTEM).await;
    assert_eq!(patched.unwrap().unwrap().unwrap().suspended, suspended);
}

#[tokio::test]
async fn a_run_is_broken_off_and_made_again_when_the_tenant_goes_on() {
    let stage = Stage::open().await;
    let plugin = stage.install_plugin().await;
    stage.sink.plays(|_| PlayedAnswer::Hang);
    stage.fixture.ingest(0, 1).await;
    stage.sink.until_hanging(1).await;
    suspend(&stage, true).await;
    patiently(async || stage.workers() == 0).await;
    stage.fixture.ingest(0, 2).await;
    let runs = stage.runs(plugin.id).await;
    assert_eq!(runs.len(), 1, "the log is the backlog");
    assert_eq!((runs[0].delivery.status, runs[0].delivery.attempt_count), (DeliveryStatus::Pending, 0));
    stage.sink.plays(|_| PlayedAnswer::Answer(AttemptOutcome::Delivered));
    suspend(&stage, false).await;
    let done = |run: &Run| run.delivery.status == DeliveryStatus::Delivered;
    patiently(async || stage.runs(plugin.id).await.iter().filter(|run| done(run)).count() == 2).await;
    let calls = stage.sink.calls();
    assert!(calls.iter().all(|call| call.attempt == 1), "{calls:?}");
    assert!(calls.is_sorted_by_key(|call| call.sequence), "{calls:?}");
}

#[tokio::test]
async fn a_request_to_a_webhook_ends_and_the_next_one_waits_for_the_tenant() {
    let stage = Stage::open().await;
    let subscription = stage.subscribe().await;
    stage.sink.plays(|_| PlayedAnswer::Hang);
    stage.fixture.ingest(0, 1).await;
    stage.sink.until_hanging(1).await;
    suspend(&stage, true).await;
    stage.sink.ends_first_attempt(RETRY);
    stage.until_recorded(subscription.id, DeliveryStatus::Failed, 1).await;
    patiently(async || stage.workers() == 0).await;
    // Its pause is over, and nothing is tried.
    stage.fixture.clock.advance_manual(Duration::from_hours(1));
    stage.fixture.ingest(0, 2).await;
    assert_eq!((stage.workers(), stage.sink.calls().len()), (0, 1));
    suspend(&stage, false).await;
    stage.until_recorded(subscription.id, DeliveryStatus::Delivered, 2).await;
    let attempts: Vec<_> = stage.sink.calls().iter().map(|call| call.attempt).collect();
    assert_eq!(attempts, [1, 2, 1]);
}

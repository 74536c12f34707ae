//! One tenant's hooks take nothing from another's.

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::*;
use crate::{HookFault, HookOutcome};

/// The busy hook of `just bench` is built from its source. After a change of either:
/// `wasm-tools parse burner.wat`, then `kabar plugin build burner.core.wasm --output burner.wasm`.
#[test]
fn the_burner_is_made_of_its_source() {
    let core = wat::parse_str(include_str!("../../fixtures/burner.wat")).unwrap();
    assert!(wrap_module(&core).unwrap() == include_bytes!("../../fixtures/burner.wasm"));
}

const LOOP: &str = "(loop $l (br $l)) (unreachable)";

#[tokio::test]
async fn a_tenant_that_burns_its_budget_holds_up_nobody() {
    let host = host();
    let burning = version(&host, component("", LOOP)).await;
    let quick = version(&host, component("", "(i32.const 64)")).await;
    let burn = |n: usize| {
        let (host, version) = (&host, &burning);
        let plugin = format!("plg_burning_{}", n % 8).into();
        async move {
            host.run(version, Invocation { organisation_id: tenant(66), plugin, ..invocation() })
                .await
                .outcome
        }
    };
    let mut burns: FuturesUnordered<_> = (0..24).map(burn).collect();
    // All of them have asked before the other tenant does.
    assert!(matches!(burns.next().await, Some(HookOutcome::Trapped(HookFault::Cpu, _))));
    let mut answered = 0;
    for _ in 0..20 {
        let next = Invocation { organisation_id: tenant(7), plugin: "plg_quick".into(), ..invocation() };
        let mut quick = std::pin::pin!(host.run(&quick, next));
        let report = loop {
            tokio::select! {
                report = &mut quick => break report,
                Some(_) = burns.next() => answered += 1,
            }
        };
        assert_eq!(report.outcome, HookOutcome::Succeeded);
    }
    assert!(answered < 23, "the other tenant's runs did not wait for all that came before them");
    while let Some(outcome) = burns.next().await {
        assert!(
            matches!(outcome, HookOutcome::Trapped(HookFault::Cpu, _)),
            "each gets all of its own budget"
        );
    }
}

#[tokio::test]
async fn a_full_pool_is_a_wait() {
    let host = host();
    let version = version(&host, component("", "(i32.const 64)")).await;
    let runs = (0..200).map(|n| {
        let plugin = format!("plg_{}", n % 3).into();
        host.run(&version, Invocation { organisation_id: tenant(n % 5), plugin, ..invocation() })
    });
    let reports = futures_util::future::join_all(runs).await;
    assert!(reports.iter().all(|report| report.outcome == HookOutcome::Succeeded));
}

#[tokio::test]
async fn who_stops_waiting_stops_the_run() {
    let host = PluginHost::new(
        HostOptions { runs_max: 1, ..options() },
        Arc::new(Answering(None)),
        Arc::new(AnyDraft),
    )
    .unwrap();
    let (parts, body) = (super::hostile::with_fetch(), format!("{} (i32.const 64)", super::hostile::CALL));
    let sleeping = version(&host, component(&parts, &body)).await;
    let quick = version(&host, component("", "(i32.const 64)")).await;
    let gone = tokio::time::timeout(std::time::Duration::from_millis(20), host.run(&sleeping, invocation()));
    assert!(gone.await.is_err());
    assert_eq!(host.run(&quick, invocation()).await.outcome, HookOutcome::Succeeded);
}

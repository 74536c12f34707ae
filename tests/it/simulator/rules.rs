//! Rules over the wire: what a caller sees when one fires, and that chance follows from the seed.

use std::sync::Arc;
use std::time::Duration;

use kabar::simulator::{FailureRule, RateScope, RuleTrigger, RuleVerdict};
use kabar_core::clock::Clock;
use kabar_core::domain::phone::Phone;
use kabar_core::domain::time::Timestamp;
use serde_json::json;

use super::{ID, Stage, stage, text_to};

const TO: &str = "12025550141";

#[tokio::test]
async fn each_verdict_looks_like_what_it_stands_for() {
    let stage = stage(|_| {}).await;
    stage.simulator.set_rules(vec![FailureRule::always(RuleVerdict::Error(131_056))]);
    let (status, answer) = stage.send(TO).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!(131_056)));

    stage.simulator.set_rules(vec![FailureRule::always(RuleVerdict::Http(502))]);
    let url = format!("{}/v23.0/{ID}/messages", stage.simulator.base_url());
    let answer = stage.http.post(url).bearer_auth("t0ken").json(&text_to(TO)).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.bytes().await.unwrap().len()), (502, 0));

    stage.simulator.set_rules(vec![FailureRule::always(RuleVerdict::Cut)]);
    assert!(stage.post(ID, "t0ken", &text_to(TO)).await.is_err());

    let counts = *stage.simulator.counts().borrow();
    assert_eq!((counts.received, counts.accepted, counts.answered, counts.refused), (3, 0, 2, 2));
    stage.simulator.set_rules(Vec::new());
    assert_eq!(stage.send(TO).await.0, 200);
}

#[tokio::test]
async fn an_error_told_later_is_told_later() {
    let mut stage =
        stage(|options| options.rules = vec![FailureRule::always(RuleVerdict::Error(131_049))]).await;
    assert_eq!(stage.send(TO).await.0, 200);
    assert_eq!(stage.status().await.error.unwrap().provider_code, Some(131_049));
}

#[tokio::test]
async fn a_rate_is_kept_by_the_clock() {
    let clock = Arc::new(Clock::manual_clock(Timestamp::from_seconds(1_781_866_800)));
    let stage = stage(|options| {
        options.clock = clock.clone();
        options.rules = vec![
            FailureRule::rate_limit(3, Duration::from_secs(1), RateScope::Number, 130_429),
            FailureRule::rate_limit(1, Duration::from_secs(6), RateScope::Recipient, 131_056),
        ];
    })
    .await;
    let code = async |to: &str| stage.send(to).await.1["error"]["code"].as_i64();
    assert_eq!(code("12025550141").await, None);
    assert_eq!(code("12025550141").await, Some(131_056));
    assert_eq!(code("12025550142").await, None);
    assert_eq!(code("12025550143").await, Some(130_429));
    clock.advance_manual(Duration::from_secs(1));
    assert_eq!(code("12025550143").await, None);
    assert_eq!(code("12025550141").await, Some(131_056));
    clock.advance_manual(Duration::from_secs(5));
    assert_eq!(code("12025550141").await, None);
}

/// Of each recipient's sends, those that were refused.
async fn refused(stage: &Stage, order: &[&str]) -> Vec<(String, bool)> {
    let mut outcomes = Vec::new();
    for to in order {
        outcomes.push(((*to).to_owned(), stage.send(to).await.0 != 200));
    }
    outcomes.sort_by(|one, other| one.0.cmp(&other.0));
    outcomes
}

#[tokio::test]
async fn the_same_seed_decides_the_same_whatever_the_order_of_recipients() {
    let half =
        FailureRule { trigger: RuleTrigger::Percent(50), ..FailureRule::always(RuleVerdict::Error(131_000)) };
    let world = async |seed| {
        let rules = vec![half.clone()];
        stage(|options| (options.seed, options.rules) = (seed, rules)).await
    };
    let (a, b) = ("12025550141", "12025550142");
    let grouped: Vec<&str> = [[a; 12], [b; 12]].concat();
    let mixed: Vec<&str> = [[a, b]; 12].concat();
    let first = refused(&world(5).await, &grouped).await;
    assert_eq!(first, refused(&world(5).await, &mixed).await);
    assert_ne!(first, refused(&world(6).await, &mixed).await);
    let fallen = first.iter().filter(|(_, fell)| *fell).count();
    assert!((1..24).contains(&fallen), "{fallen} of 24");
}

#[tokio::test]
async fn rules_for_one_recipient_leave_the_others_alone() {
    let stage = stage(|options| {
        let rule = FailureRule::always(RuleVerdict::Error(2));
        options.rules = vec![FailureRule { to: Phone::parse(TO), times: Some(2), ..rule }];
    })
    .await;
    for (to, status) in [(TO, 503), ("12025550142", 200), (TO, 503), (TO, 200)] {
        assert_eq!(stage.send(to).await.0, status, "{to}");
    }
}

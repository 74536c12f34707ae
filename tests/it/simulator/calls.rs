//! What becomes of a call between its arrival and its answer: held, cut off, late.

use std::sync::Arc;
use std::time::Duration;

use kabar::simulator::{CallGate, NetworkFaults};
use kabar_core::clock::Clock;
use kabar_core::domain::phone::Phone;
use kabar_core::domain::time::Timestamp;
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use super::{ID, OPAQUE, Stage, stage, text_to};

const TO: &str = "12025550141";

/// A send on a connection of its own; dropping it hangs up.
fn sending(stage: &Stage) -> AbortOnDropHandle<Result<(u16, Value), reqwest::Error>> {
    let url = format!("{}/v23.0/{ID}/messages", stage.simulator.base_url());
    let request = reqwest::Client::new().post(url).bearer_auth("t0ken").json(&text_to(TO));
    AbortOnDropHandle::new(stage.tasks.spawn(async move {
        let answer = request.send().await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    }))
}

fn accepted_to(stage: &Stage) -> u64 {
    stage.simulator.sends_to(&Phone::parse(TO).unwrap())
}

#[tokio::test]
async fn held_calls_are_judged_when_released_whether_or_not_the_caller_waits() {
    let stage = stage(|_| {}).await;
    stage.simulator.set_gate(CallGate::Held);
    let (patient, hasty) = (sending(&stage), sending(&stage));
    let counts = stage.counted(|counts| counts.received == 2).await;
    assert_eq!((counts.accepted, counts.answered, counts.refused), (0, 0, 0));
    drop(hasty);
    stage.simulator.set_gate(CallGate::Open);
    assert_eq!(patient.await.unwrap().unwrap().0, 200);
    let counts = stage.counted(|counts| counts.accepted == 2).await;
    assert_eq!((counts.received, counts.refused, accepted_to(&stage)), (2, 0, 2));
}

#[tokio::test]
async fn calls_cut_off_are_not_judged() {
    let stage = stage(|_| {}).await;
    stage.simulator.set_gate(CallGate::Held);
    let held = sending(&stage);
    stage.counted(|counts| counts.received == 1).await;
    stage.simulator.set_gate(CallGate::Cut);
    // No answer at all, rather than one that cannot be read.
    assert!(held.await.unwrap().unwrap_err().is_request());
    assert!(sending(&stage).await.unwrap().unwrap_err().is_request());
    let counts = *stage.simulator.counts().borrow();
    assert_eq!((counts.received, counts.accepted, counts.answered, counts.refused), (2, 0, 0, 0));
    stage.simulator.set_gate(CallGate::Open);
    assert_eq!(sending(&stage).await.unwrap().unwrap().0, 200);
}

#[tokio::test]
async fn a_late_answer_comes_after_the_acceptance_and_its_statuses() {
    let clock = Arc::new(Clock::manual_clock(Timestamp::from_seconds(1_781_866_800)));
    let mut stage = stage(|options| {
        options.clock = clock.clone();
        options.faults = NetworkFaults {
            late_answer_percent: 100,
            answer_delay: Duration::from_mins(1),
            ..NetworkFaults::default()
        };
    })
    .await;
    let late = sending(&stage);
    let counts = stage.counted(|counts| counts.delivered == 3).await;
    assert_eq!((counts.received, counts.accepted, counts.answered), (1, 1, 0));
    assert_eq!(stage.status().await.echo.unwrap().to_string(), OPAQUE);
    assert!(!late.is_finished());
    clock.advance_manual(Duration::from_mins(1));
    let (status, answer) = late.await.unwrap().unwrap();
    assert_eq!((status, &answer["messages"][0]["id"]), (200, &json!(stage.simulator.sends()[0].wamid)));
    stage.counted(|counts| counts.answered == 1).await;
}

#[tokio::test]
async fn counts_tell_how_far_each_call_came() {
    let stage = stage(|_| {}).await;
    stage.send(TO).await;
    stage.send("12025132001").await;
    let receipt = json!({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.IN1"});
    stage.post(ID, "t0ken", &receipt).await.unwrap();
    let counts = *stage.simulator.counts().borrow();
    assert_eq!((counts.received, counts.accepted, counts.answered), (3, 1, 3));
    assert_eq!((counts.refused, counts.receipts), (1, 1));
}

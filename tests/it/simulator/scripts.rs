//! Scripts, played: every example of the documentation, and the moments at which steps are taken.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kabar::simulator::{SimulatedNumber, SimulatorScript, StatusDelays};
use kabar_core::clock::Clock;
use kabar_core::domain::account::PhoneNumberId;
use kabar_core::domain::inbound::InboundFact;
use kabar_core::domain::message::MessageKind::{Image, Interactive, Text, Unsupported};
use kabar_core::domain::phone::Phone;
use kabar_core::domain::time::Timestamp;

use super::{ID, Stage, stage, text_to};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples/simulator")
}

/// A stage whose time stands, playing this script.
async fn playing(script: SimulatorScript) -> (Stage, Arc<Clock>) {
    let clock = Arc::new(Clock::manual_clock(Timestamp::from_seconds(1_781_866_800)));
    let stage = stage(|options| {
        options.clock = clock.clone();
        options.script = Some(script);
    })
    .await;
    (stage, clock)
}

async fn example(name: &str) -> (Stage, Arc<Clock>) {
    playing(SimulatorScript::load_file(&examples().join(name)).unwrap()).await
}

fn script(text: &str) -> SimulatorScript {
    SimulatorScript::parse_text(text, &examples()).unwrap()
}

impl Stage {
    /// Meta's error number of a send's answer; `None` when it was accepted.
    async fn code(&self, to: &str) -> Option<i64> {
        self.send(to).await.1["error"]["code"].as_i64()
    }

    /// Whether a send was answered at all.
    async fn answered(&self, to: &str) -> bool {
        self.post(ID, "t0ken", &text_to(to)).await.is_ok()
    }

    /// Waits until so many steps have been taken.
    async fn stepped(&self, steps: u64) {
        self.counted(|counts| counts.steps == steps).await;
    }
}

#[test]
fn every_example_is_played_here() {
    let files = std::fs::read_dir(examples()).unwrap().map(|file| file.unwrap().file_name());
    let found: BTreeSet<String> = files.map(|name| name.into_string().unwrap()).collect();
    let played = [
        "conversation.toml",
        "disorder.toml",
        "flaky.toml",
        "new-kind.json",
        "outage.toml",
        "rate-limits.toml",
        "token.toml",
        "variety.toml",
    ];
    assert_eq!(found, played.map(str::to_owned).into());
}

#[tokio::test]
async fn an_outage_begins_after_twenty_sends_and_passes() {
    let (stage, clock) = example("outage.toml").await;
    for nth in 0..20 {
        assert!(stage.answered("12025550141").await, "send {nth}");
    }
    assert!(!stage.answered("12025550141").await);
    clock.advance_manual(Duration::from_secs(10));
    stage.stepped(2).await;
    let answered = std::pin::pin!(stage.answered("12025550141"));
    let moved = async {
        stage.counted(|counts| counts.accepted == 21).await;
        clock.advance_manual(Duration::from_secs(3));
    };
    assert!(tokio::join!(answered, moved).0);
    clock.advance_manual(Duration::from_secs(27));
    stage.stepped(3).await;
    assert!(stage.answered("12025550141").await);
}

#[tokio::test]
async fn rates_are_limited() {
    let (stage, clock) = example("rate-limits.toml").await;
    assert_eq!(stage.code("12025550100").await, None);
    assert_eq!(stage.code("12025550100").await, Some(131_056));
    // What the second rule refuses has been let by by the first.
    for nth in 1..79 {
        assert_eq!(stage.code(&format!("120255502{nth:02}")).await, None, "{nth}");
    }
    assert_eq!(stage.code("12025550101").await, Some(130_429));
    clock.advance_manual(Duration::from_secs(1));
    assert_eq!(stage.code("12025550101").await, None);
    assert_eq!(stage.code("12025550100").await, Some(131_056));
    clock.advance_manual(Duration::from_secs(5));
    assert_eq!(stage.code("12025550100").await, None);
}

/// What became of so many sends to each of a few recipients.
async fn outcomes(sends: u32) -> (Vec<Option<u16>>, u64) {
    // Late answers only take time; they are left out here.
    let stage = stage(|options| {
        let script = SimulatorScript::load_file(&examples().join("flaky.toml")).unwrap();
        *options = options.clone().with_script(script);
    })
    .await;
    stage.simulator.set_faults(kabar::simulator::NetworkFaults {
        drop_answer_percent: 3,
        ..kabar::simulator::NetworkFaults::default()
    });
    let mut seen = Vec::new();
    for nth in 0..sends {
        let to = format!("1202555{:04}", nth % 7);
        let url = format!("{}/v23.0/{ID}/messages", stage.simulator.base_url());
        let answer = stage.http.post(url).bearer_auth("t0ken").json(&text_to(&to)).send().await;
        let whole = match answer {
            Ok(answer) => {
                let status = answer.status().as_u16();
                answer.bytes().await.ok().map(|_| status)
            }
            Err(_) => None,
        };
        seen.push(whole);
    }
    let accepted = stage.simulator.counts().borrow().accepted;
    (seen, accepted)
}

#[tokio::test]
async fn a_bad_day_is_the_same_bad_day_again() {
    let (first, accepted) = outcomes(200).await;
    assert_eq!((first.clone(), accepted), outcomes(200).await);
    let count = |status| first.iter().filter(|seen| **seen == status).count();
    assert_eq!(count(Some(500)), 20, "every tenth");
    assert!(count(Some(502)) > 0 && count(None) > 0 && count(Some(200)) > 150, "{first:?}");
}

#[tokio::test]
async fn disorder_has_every_item_and_some_twice() {
    let mut stage = stage(|options| {
        options.status_delay = StatusDelays::default();
        options.script = Some(SimulatorScript::load_file(&examples().join("disorder.toml")).unwrap());
    })
    .await;
    for nth in 0..20 {
        stage.send(&format!("120255502{nth:02}")).await;
    }
    // Statuses and messages; each status at least once.
    let mut statuses = std::collections::HashMap::new();
    let mut messages = 0;
    while statuses.len() < 60 || messages < 5 {
        if let InboundFact::Status(report) = stage.item().await.fact {
            *statuses.entry((report.wamid, report.status)).or_insert(0) += 1;
        } else {
            messages += 1;
        }
    }
    assert!(statuses.values().any(|times| *times > 1), "some come twice");
}

#[tokio::test]
async fn a_token_expires_and_is_good_again() {
    let (stage, clock) = example("token.toml").await;
    for _ in 0..10 {
        assert_eq!(stage.code("12025550141").await, None);
    }
    for _ in 0..3 {
        let (status, answer) = stage.send("12025550141").await;
        assert_eq!((status, answer["error"]["code"].as_i64()), (401, Some(190)));
    }
    clock.advance_manual(Duration::from_mins(1));
    stage.stepped(2).await;
    assert_eq!(stage.code("12025550141").await, None);
}

#[tokio::test]
async fn a_customer_says_what_the_script_says() {
    let (mut stage, clock) = example("conversation.toml").await;
    stage.simulator.add_number(SimulatedNumber {
        phone_number_id: PhoneNumberId::parse("106540352242922").unwrap(),
        phone: Phone::parse("+15550100922").unwrap(),
        waba_id: "102290129340398".into(),
    });
    let mut kinds = Vec::new();
    for (nth, wait) in [1, 2, 2, 2].into_iter().enumerate() {
        clock.advance_manual(Duration::from_secs(wait));
        stage.stepped(u64::try_from(nth).unwrap() + 2).await;
        let message = stage.message().await;
        assert_eq!(super::author_of(&message).as_digits(), "447700900123");
        assert_eq!(message.owner.party().name.as_deref(), Some("Ayu Adler"));
        kinds.push(message.kind);
    }
    assert_eq!(kinds, [Text, Image, Interactive, Unsupported]);
    clock.advance_manual(Duration::from_secs(5));
    tokio::time::timeout(super::WAIT_TIMEOUT, stage.simulator.ended()).await.unwrap();
}

#[tokio::test]
async fn a_script_tells_of_everything_that_is_no_message() {
    let (mut stage, clock) = example("variety.toml").await;
    let mut facts = Vec::new();
    for (nth, items) in [2, 2, 1, 1, 2].into_iter().enumerate() {
        clock.advance_manual(Duration::from_secs(1));
        stage.stepped(u64::try_from(nth).unwrap() + 2).await;
        for _ in 0..items {
            facts.push(stage.item().await.fact);
        }
    }
    let kinds = facts.iter().map(|fact| match fact {
        InboundFact::Message(message) => message.kind.as_str(),
        InboundFact::Edit(_) => "edit",
        InboundFact::Revoke(_) => "revoke",
        InboundFact::Preference(_) => "preference",
        InboundFact::Account(_) => "account",
        InboundFact::Field(_) => "field",
        InboundFact::Status(_)
        | InboundFact::Call(_)
        | InboundFact::Person(_)
        | InboundFact::Template(_)
        | InboundFact::RawOnly => "other",
    });
    let kinds: Vec<&str> = kinds.collect();
    assert_eq!(kinds, ["text", "text", "edit", "reaction", "revoke", "text", "account", "field"]);
    assert_eq!(
        stage.send("447700900123").await.1["messages"][0]["message_status"],
        "held_for_quality_assessment"
    );
}

#[tokio::test]
async fn a_step_holds_from_the_send_after_the_one_that_brought_it() {
    let (stage, _clock) = playing(script(
        "[[step]]\nafter_sends = 2\nrules = [{ code = 4 }]\n[[step]]\nafter_sends = 1\nrules = []",
    ))
    .await;
    assert_eq!(stage.code("12025550141").await, None);
    assert_eq!(stage.code("12025550141").await, None);
    stage.stepped(1).await;
    for _ in 0..3 {
        assert_eq!(stage.code("12025550141").await, Some(4), "what is refused does not count");
    }
}

#[tokio::test]
async fn first_steps_come_before_the_first_call_and_the_missing_number_is_given_up() {
    let message = "{ type = \"text\", text = { body = \"hi\" } }";
    let text = format!(
        "[[step]]\nrules = [{{ code = 2, times = 1 }}]\n\
         write = [{{ from = \"447700900123\", to = \"999999999\", message = {message} }}, \
         {{ from = \"447700900124\", message = {message} }}]"
    );
    let (mut stage, _clock) = playing(script(&text)).await;
    assert_eq!(stage.code("12025550141").await, Some(2));
    assert_eq!(super::author_of(&stage.message().await).as_digits(), "447700900124");
    let counts = stage.counted(|counts| counts.delivered == 1).await;
    assert_eq!((counts.inbound, counts.given_up), (1, 1));
}

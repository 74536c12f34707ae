//! Reading scripts: every key, and what is said of mistakes.

use super::*;
use crate::simulator::failure_rule::{RateScope, RuleTrigger, RuleVerdict};

fn parse(text: &str) -> Result<SimulatorScript, String> {
    SimulatorScript::parse_text(text, Path::new("docs/examples/simulator")).map_err(|error| error.to_string())
}

#[test]
fn every_key_is_read() {
    let script = parse(
        r#"
        seed = 9
        [[step]]
        [[step]]
        after = "250ms"
        traffic_per_minute = 60
        reply_percent = 30
        reserved_recipients = false
        gate = "held"
        mischief = { duplicate_percent = 1, reorder_percent = 2, drop_answer_percent = 3, early_status_percent = 4, late_answer_percent = 5, answer_delay = "2m", batch_items = 7 }
        status_delay = { sent = "1s", delivered = "2s", read = "1h" }
        rules = [
          { to = "+12025550141", times = 2, code = 131000 },
          { percent = 5, http = 502 },
          { every = 10, cut = true },
          { more_than = 80, within = "1s", code = 130429 },
          { more_than = 1, within = "6s", each = "recipient", code = 131056 },
        ]
        write = [{ from = "447700900123", name = "Ayu", to = "100200300400501", message = { type = "text", text = { body = "hi" } } }]
        [[step]]
        after_sends = 100
        rules = []
        end = true
        "#,
    )
    .unwrap();
    assert_eq!((script.seed, script.steps.len()), (Some(9), 3));
    let [first, second, third] = script.steps.try_into().unwrap();
    assert_eq!((first.when, first.change), (StepTime::AtOnce, StepChange::default()));
    assert_eq!(second.when, StepTime::After(Duration::from_millis(250)));
    let change = second.change;
    assert_eq!((change.traffic_per_minute, change.reply_percent), (Some(60), Some(30)));
    assert_eq!((change.reserved_recipients, change.gate), (Some(false), Some(CallGate::Held)));
    let faults = NetworkFaults {
        duplicate_percent: 1,
        reorder_percent: 2,
        drop_answer_percent: 3,
        early_status_percent: 4,
        late_answer_percent: 5,
        answer_delay: Duration::from_mins(2),
        batch_items_max: 7,
    };
    assert_eq!(change.apply_faults(NetworkFaults::default()), faults);
    let delays = change.status_delay(StatusDelays::NONE);
    assert_eq!((delays.sent, delays.read), (Duration::from_secs(1), Duration::from_hours(1)));
    let rules = change.rules.unwrap();
    let triggers: Vec<RuleTrigger> = rules.iter().map(|rule| rule.trigger).collect();
    let second_s = Duration::from_secs(1);
    assert_eq!(
        triggers,
        [
            RuleTrigger::Always,
            RuleTrigger::Percent(5),
            RuleTrigger::Every(10),
            RuleTrigger::Beyond { sends: 80, within: second_s, each: RateScope::Number },
            RuleTrigger::Beyond { sends: 1, within: second_s * 6, each: RateScope::Recipient },
        ]
    );
    assert_eq!(
        (rules[0].times, rules[1].verdict, rules[2].verdict),
        (Some(2), RuleVerdict::Http(502), RuleVerdict::Cut)
    );
    assert_eq!((second.lines.len(), second.lines[0].message["text"]["body"].as_str()), (1, Some("hi")));
    assert_eq!(
        (third.when, third.end, third.change.rules),
        (StepTime::AfterSends(100), true, Some(Vec::new()))
    );
    assert_eq!(third.change.status_delay, DelayWords::default());
}

#[test]
fn what_is_not_said_stays() {
    let script = parse("[[step]]\nmischief = { duplicate_percent = 9 }").unwrap();
    let before = NetworkFaults { reorder_percent: 7, batch_items_max: 3, ..NetworkFaults::default() };
    let after = script.steps[0].change.apply_faults(before);
    assert_eq!(after, NetworkFaults { duplicate_percent: 9, ..before });
    let delays = StatusDelays::default();
    assert_eq!(script.steps[0].change.status_delay(delays), delays);
}

#[test]
fn mistakes_are_told_with_line_and_key() {
    for (line, key, text) in [
        (1, "sed", "sed = 1"),
        (2, "afetr", "[[step]]\nafetr = \"1s\""),
        (2, "after", "[[step]]\nafter = \"1 fortnight\""),
        (2, "after", "[[step]]\nafter = \"25h\""),
        (2, "after", "[[step]]\nafter = 5"),
        (1, "after_sends", "[[step]]\nafter = \"1s\"\nafter_sends = 5"),
        (3, "reply_percent", "[[step]]\n\nreply_percent = 101"),
        (2, "traffic_per_minute", "[[step]]\ntraffic_per_minute = 60001"),
        (2, "gate", "[[step]]\ngate = \"ajar\""),
        (3, "dupes", "[[step]]\n[step.mischief]\ndupes = 1"),
        (3, "batch_items", "[[step]]\n[step.mischief]\nbatch_items = 0"),
        (2, "rules", "[[step]]\nrules = [{ code = 1, cut = true }]"),
        (2, "rules", "[[step]]\nrules = [{ percent = 5 }]"),
        (2, "rules", "[[step]]\nrules = [{ cut = false }]"),
        (2, "rules", "[[step]]\nrules = [{ http = 200 }]"),
        (2, "rules", "[[step]]\nrules = [{ more_than = 5, code = 4 }]"),
        (2, "rules", "[[step]]\nrules = [{ each = \"number\", code = 4 }]"),
        (2, "rules", "[[step]]\nrules = [{ every = 0, code = 4 }]"),
        (2, "rules", "[[step]]\nrules = [{ every = 2, percent = 2, code = 4 }]"),
        (2, "rules", "[[step]]\nrules = [{ to = \"12\", code = 4 }]"),
        (2, "from", "[[step]]\nwrite = [{ from = \"12\", message = { type = \"text\" } }]"),
        (2, "message", "[[step]]\nwrite = [{ from = \"447700900123\", message = { text = {} } }]"),
        (2, "post", "[[step]]\npost = [\"no-such-file.json\"]"),
        (1, "step", "[[step]\nend = true"),
    ] {
        let told = parse(text).unwrap_err();
        assert!(told.contains(&format!("line {line}")), "{text}\n{told}");
        assert!(told.contains(key) || key == "step", "{text}\n{told}");
    }
}

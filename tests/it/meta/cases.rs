//! Payloads as they occur in 2026, with what becomes of them: one file of `tests/fixtures/whatsapp` is one case.
//!
//! A step is a `webhook`, a `request`, what `whatsapp_answers` from now on, or a `check`. The checks:
//!
//! | members | what must hold |
//! |---|---|
//! | `count`, `is` | the list has so many rows |
//! | `contact`, `has` or `filled` | the one contact so found has these members; this member is not null |
//! | `conversation_of`, `has` | likewise the conversation of that contact |
//! | `message`, `has` or `filled` | likewise the one message with these members |
//! | `at`, `pointer`, `is` | a part of that message |
//! | `raw`, `statuses`, `changes`, `message_of_step` | what is kept of that message as it came |
//! | `events` | the types of all events, in order |
//! | `event`, `times`, `has` or `pointer` | how often it was told; what the last one shows |
//! | `nowhere` | a text that no answer shows any more |
//! | `graph`, `lacks` | the last message that WhatsApp got has these members, and lacks those |
//! | `account` | the account has these members |
//! | `template`, `has` or `filled` | likewise the template of this name |
//! | `metric`, `value` | a value of the server's metrics |
//! | `request`, `refused` | status and code of a refusal |

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::graph_stub::GraphStub;
use crate::harness::{APP_SECRET, Answer, Tenant, TestServer, post_bytes, text, until_matches};

/// A tenant, its WhatsApp, and the steps done so far.
struct CaseRun {
    server: TestServer,
    tenant: Tenant,
    graph: GraphStub,
    waba_id: String,
    webhooks: Vec<Value>,
    /// Answers of WhatsApp's are kept back.
    holding: bool,
    /// How often each webhook comes.
    times: i64,
}

fn read_case(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

impl CaseRun {
    async fn start(times: i64) -> Self {
        let graph = GraphStub::start().await;
        let base_url = graph.base_url.clone();
        let server = TestServer::shaped(|options| options.graph = Some(base_url)).await;
        let tenant = server.tenant().await;
        Self {
            server,
            tenant,
            graph,
            waba_id: "900800700600".to_owned(),
            webhooks: Vec::new(),
            holding: false,
            times,
        }
    }

    /// Puts the values of this run into a step.
    async fn fill(&self, step: &Value) -> Value {
        let mut json = step.to_string();
        let number = self.tenant.phone.trim_start_matches('+');
        for (name, value) in
            [("phone_number_id", &*self.tenant.id), ("number", number), ("waba_id", &*self.waba_id)]
        {
            json = json.replace(&format!("{{{name}}}"), value);
        }
        if json.contains("{the conversation}") {
            let rows = self.tenant.all("conversations?limit=100").await;
            json = json.replace("{the conversation}", &text(&rows[0]["id"]));
        }
        if json.contains("{the message's id}") {
            let rows = self.tenant.all("messages?direction=outbound").await;
            json = json.replace("{the message's id}", &text(&rows[0]["id"]));
        }
        while let Some(start) = json.find("{message_id of ") {
            let end = start + json[start..].find('}').unwrap();
            let content = json[start + "{message_id of ".len()..end].to_owned();
            let row = self.message(&json!({"content": content})).await;
            json.replace_range(start..=end, &text(&row["message_id"]));
        }
        while let Some(start) = json.find("{now") {
            let end = start + json[start..].find('}').unwrap();
            let ago: i64 = json[start + 4..end].trim_start_matches('-').parse().unwrap_or(0);
            let seconds = self.tenant.clock.read_now().millis() / 1000 - ago;
            json.replace_range(start..=end, &seconds.to_string());
        }
        serde_json::from_str(&json).unwrap()
    }

    async fn run_step(&mut self, step: &Value) {
        if let Some(checks) = step["check"].as_array() {
            self.release_answers().await;
            for check in checks {
                let check = self.fill(check).await;
                self.check(&check).await;
            }
            return;
        }
        let step = self.fill(step).await;
        if let Some(webhook) = step.get("webhook") {
            for _ in 0..self.times {
                let body = webhook.to_string().into_bytes();
                post_bytes(&self.server.anyone, body, APP_SECRET).await.is(200);
            }
            self.webhooks.push(webhook.clone());
        } else if let Some(answer) = step.get("whatsapp_answers") {
            let status = u16::try_from(answer["status"].as_u64().unwrap()).unwrap();
            self.graph.answer_with(status, answer["body"].clone());
            self.holding = answer.get("hold").is_some();
            self.graph.hold(self.holding);
        } else {
            let answer = self.request(&step["request"]).await;
            assert!((200..300).contains(&answer.status), "{answer:?}");
            if !self.holding {
                self.until_decided().await;
            }
        }
    }

    async fn request(&self, request: &Value) -> Answer {
        let (path, body) = (text(&request["path"]), &request["body"]);
        match request["method"].as_str().unwrap() {
            "POST" => self.tenant.api.post(&path, body).await,
            "PATCH" => self.tenant.api.patch(&path, body).await,
            _ => self.tenant.api.get(&path).await,
        }
    }

    /// Gives the answers that the steps had kept back.
    async fn release_answers(&mut self) {
        if std::mem::take(&mut self.holding) {
            self.graph.hold(false);
            self.until_decided().await;
        }
    }

    async fn account(&self) -> Value {
        self.tenant.api.get("/v1/accounts?status=all").await.rows().remove(0)
    }

    /// Waits until WhatsApp has taken, held or refused every message, or has refused the account.
    async fn until_decided(&self) {
        let decided = async || {
            let rows = self.tenant.get("messages?status=pending").await.rows();
            let taken = |row: &Value| !row["hold_reason"].is_null() || !row["message_id"].is_null();
            rows.iter().all(taken) || self.account().await["status"] == "degraded"
        };
        until_matches(decided, |decided| *decided).await;
    }

    async fn message(&self, selector: &Value) -> Value {
        let rows = self.tenant.all("messages?limit=100").await;
        let found: Vec<_> = rows.into_iter().filter(|row| shows(row, selector)).collect();
        assert_eq!(found.len(), 1, "{selector}: {found:#?}");
        found.into_iter().next().unwrap()
    }

    async fn contact(&self, selector: &Value) -> Value {
        let mut found = Vec::new();
        for (name, value) in selector.as_object().unwrap() {
            found = match name.as_str() {
                "phone" => {
                    let phone = text(value).replace('+', "%2B");
                    self.tenant.get(&format!("contacts?phone={phone}")).await.rows()
                }
                "user_id" => self.tenant.get(&format!("contacts?user_id={}", text(value))).await.rows(),
                _ => {
                    let rows = self.tenant.all("contacts?limit=100").await;
                    rows.into_iter().filter(|row| shows(row, selector)).collect()
                }
            };
        }
        assert_eq!(found.len(), 1, "{selector}: {found:#?}");
        found.into_iter().next().unwrap()
    }

    async fn log(&self) -> Vec<Value> {
        self.tenant.get("events?limit=100").await.is(200).json()["data"].as_array().unwrap().clone()
    }

    async fn check(&self, check: &Value) {
        if let Some(list) = check["count"].as_str() {
            let glue = if list.contains('?') { '&' } else { '?' };
            let rows = self.tenant.all(&format!("{list}{glue}limit=100")).await;
            assert_eq!(json!(rows.len()), check["is"], "{list}: {rows:#?}");
        } else if check.get("contact").is_some() {
            expect(&self.contact(&check["contact"]).await, check);
        } else if check.get("conversation_of").is_some() {
            let contact = self.contact(&check["conversation_of"]).await;
            let path = format!("conversations?contact_id={}", text(&contact["id"]));
            let rows = self.tenant.get(&path).await.rows();
            assert_eq!(rows.len(), 1, "{check}");
            expect(&rows[0], check);
        } else if check.get("message").is_some() {
            expect(&self.message(&check["message"]).await, check);
        } else if check.get("at").is_some() {
            let message = self.message(&check["at"]).await;
            assert_eq!(message.pointer(&text(&check["pointer"])), Some(&check["is"]), "{message:#}");
        } else if check.get("raw").is_some() {
            self.check_raw(check).await;
        } else if let Some(types) = check["events"].as_array() {
            let seen: Vec<Value> = self.log().await.iter().map(|event| event["type"].clone()).collect();
            assert_eq!(&seen, types);
        } else if let Some(kind) = check["event"].as_str() {
            let log = self.log().await;
            let told: Vec<_> = log.iter().filter(|event| event["type"] == kind).collect();
            if let Some(times) = check.get("times") {
                assert_eq!(&json!(told.len()), times, "{kind}: {log:#?}");
            } else if let Some(pointer) = check["pointer"].as_str() {
                let data = &told.last().unwrap_or_else(|| panic!("no {kind}: {log:#?}"))["data"];
                assert_eq!(data.pointer(pointer), Some(&check["is"]), "{data:#}");
            } else {
                expect(&told.last().unwrap_or_else(|| panic!("no {kind}: {log:#?}"))["data"], check);
            }
        } else if let Some(gone) = check["nowhere"].as_str() {
            for list in ["messages", "events", "contacts", "conversations"] {
                let answer = self.tenant.get(&format!("{list}?limit=100")).await;
                assert!(!String::from_utf8_lossy(&answer.body).contains(gone), "{list} shows it");
            }
            for row in self.tenant.all("messages?limit=100").await {
                let raw = self.tenant.get(&format!("messages/{}/raw", text(&row["id"]))).await;
                assert!(!String::from_utf8_lossy(&raw.body).contains(gone), "raw shows it");
            }
        } else if check.get("graph").is_some() {
            let body = self.graph.calls("POST").last().unwrap().body.clone();
            assert!(shows(&body, &check["graph"]), "{body:#}");
            for absent in check["lacks"].as_array().into_iter().flatten() {
                assert!(body.get(absent.as_str().unwrap()).is_none(), "{body:#}");
            }
        } else if check.get("account").is_some() {
            let row = self.account().await;
            assert!(shows(&row, &check["account"]), "{row:#}");
            expect(&row, check);
        } else if let Some(name) = check["template"].as_str() {
            expect(&self.tenant.get(&format!("templates/{name}")).await.data(), check);
        } else if let Some(metric) = check["metric"].as_str() {
            let expected = check["value"].as_i64().unwrap() * self.times;
            assert_eq!(self.server.metric(metric).await, expected, "{metric}");
        } else {
            let refused = &check["refused"];
            let status = u16::try_from(refused[0].as_u64().unwrap()).unwrap();
            self.request(&check["request"]).await.refused(status, refused[1].as_str().unwrap());
        }
    }

    async fn check_raw(&self, check: &Value) {
        let message = self.message(&check["raw"]).await;
        let raw = self.tenant.get(&format!("messages/{}/raw", text(&message["id"]))).await.is(200).data();
        for part in ["statuses", "changes"] {
            if let Some(count) = check.get(part) {
                assert_eq!(&json!(raw[part].as_array().unwrap().len()), count, "{raw:#}");
            }
        }
        if let Some(step) = check["message_of_step"].as_u64() {
            let webhook = &self.webhooks[usize::try_from(step).unwrap()];
            let sent = webhook.pointer("/entry/0/changes/0/value/messages/0");
            assert_eq!(Some(&raw["message"]), sent);
        }
    }
}

/// Whether an object has all members of another.
fn shows(row: &Value, wanted: &Value) -> bool {
    wanted.as_object().unwrap().iter().all(|(name, value)| &row[name] == value)
}

#[track_caller]
fn expect(row: &Value, check: &Value) {
    if let Some(name) = check["filled"].as_str() {
        assert!(!row[name].is_null(), "{name} of {row:#}");
    }
    for (name, value) in check["has"].as_object().into_iter().flatten() {
        assert_eq!(&row[name], value, "{name} of {row:#}");
    }
}

/// Runs a case in which each webhook comes so often.
async fn run_case(name: &str, times: i64) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/whatsapp/{name}.json"));
    let case = read_case(&path);
    let mut run = CaseRun::start(times).await;
    for step in case["steps"].as_array().unwrap() {
        run.run_step(step).await;
    }
}

macro_rules! cases {
    ($($name:ident = $file:literal,)*) => {
        $(#[tokio::test]
        async fn $name() {
            run_case($file, 1).await;
        })*

        /// WhatsApp sends again what was not answered in time.
        mod delivered_twice {
            $(#[tokio::test]
            async fn $name() {
                super::run_case($file, 2).await;
            })*
        }

        #[test]
        fn every_case_is_run() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/whatsapp");
            let mut files: Vec<String> = std::fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            files.sort();
            let mut named: Vec<String> = [$($file),*].map(|file: &str| format!("{file}.json")).to_vec();
            named.sort();
            assert_eq!(files, named);
        }
    };
}

cases! {
    identity_card_differs_from_sender = "15-card-differs-from-sender",
    identity_card_without_profile = "15-card-without-profile",
    identity_group_message = "15-group-message",
    identity_group_statuses = "15-group-statuses",
    identity_number_changed = "15-number-changed",
    identity_number_given_out_again = "15-number-given-out-again",
    identity_number_then_user_id_only = "15-number-then-user-id-only",
    identity_two_contacts_become_one = "15-two-contacts-become-one",
    identity_user_id_only = "15-user-id-only",
    identity_user_id_only_among_neighbours = "15-user-id-only-among-neighbours",
    identity_user_id_rotated = "15-user-id-rotated",
    identity_username_kept = "15-username-kept",
    identity_wa_id_differs_in_the_answer = "15-wa-id-differs-in-the-answer",
    kept_ad_click_referral = "16-ad-click-referral",
    kept_call_permission_reply = "16-call-permission-reply",
    kept_echo_from_the_app = "16-echo-from-the-app",
    kept_forwarded = "16-forwarded",
    kept_history = "16-history",
    kept_mark_read_in_another_form = "16-mark-read-in-another-form",
    kept_marketing_stop = "16-marketing-stop",
    kept_missed_call = "16-missed-call",
    kept_noise_beside_a_good_message = "16-noise-beside-a-good-message",
    kept_order = "16-order",
    kept_own_number_shared = "16-own-number-shared",
    kept_placeholder_131060 = "16-placeholder-131060",
    kept_poll_131051 = "16-poll-131051",
    kept_redelivered = "16-redelivered",
    kept_standby = "16-standby",
    kept_status_without_recipient_id = "16-status-without-recipient-id",
    kept_unknown_statuses = "16-unknown-statuses",
    kept_pricing = "16-pricing",
    kept_quote_in_another_form = "16-quote-in-another-form",
    kept_template_news = "16-template-news",
    kept_test_button = "16-test-button",
    kept_voice_and_image_with_url = "16-voice-and-image-with-url",
    kind_edit = "17-edit",
    kind_failed_then_delivered = "17-failed-then-delivered",
    kind_held_for_quality = "17-held-for-quality",
    kind_identity_changed = "17-identity-changed",
    kind_played = "17-played",
    kind_reaction_and_its_removal = "17-reaction-and-its-removal",
    kind_request_welcome = "17-request-welcome",
    kind_revoke = "17-revoke",
    sending_callback_data = "18-callback-data",
    sending_carousel = "18-carousel",
    sending_group_send = "18-group-send",
    sending_list_body_of_1500 = "18-list-body-of-1500",
    sending_opted_out_131050 = "18-opted-out-131050",
    sending_permission_taken_away = "18-permission-taken-away",
    sending_recipient = "18-recipient",
    sending_user_id_in_to = "18-user-id-in-to",
    sending_window_of_an_unknown_contact = "18-window-of-an-unknown-contact",
    account_banned = "19-banned",
    account_limit_quality_name = "19-limit-quality-name",
    account_taken_off = "19-taken-off",
    templates_listed_created_and_synced = "21-templates",
}

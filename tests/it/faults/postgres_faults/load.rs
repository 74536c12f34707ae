//! Writers that try until they are answered, and pollers that never have to, each answer checked.
//!
//! Invariants: a call is answered with what was asked for, or with 503 and a time to come again; what a
//! writer was told is done it finds done at once; in the end everything is there, and once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::harness::{
    Answer, InboundWebhook, Tenant, TestServer, from, patiently, text, text_from, until_matches, until_some,
};

/// The pause of a poller after each answer.
const POLL_PAUSE: Duration = Duration::from_millis(5);

/// What happened so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Progress {
    /// Writes that were acknowledged.
    pub(crate) written: usize,
    /// Writes that were told to come again.
    pub(crate) refused: usize,
    /// Polls that were answered.
    pub(crate) polled: usize,
    over: bool,
}

/// What one writer was told is done.
#[derive(Default)]
pub(crate) struct Done {
    wamids: Vec<String>,
    sends: BTreeSet<String>,
    contacts: BTreeMap<String, Value>,
}

/// Writers and pollers at work.
pub(crate) struct Load {
    tenant: Tenant,
    progress: watch::Sender<Progress>,
    writers: JoinSet<Done>,
    pollers: JoinSet<()>,
}

/// Checks that an answer is 503, and says when to come again.
pub(crate) fn come_again(answer: &Answer) {
    assert_eq!(answer.status, 503, "{:?}", answer.body);
    let error = answer.refusal();
    assert!(error["code"] == "storage_unavailable" || error["code"] == "overloaded", "{error}");
}

/// The answer once it has one of these statuses; until then the server asks to come again.
#[track_caller]
pub(crate) fn until_answered<F>(statuses: &[u16], call: impl Fn() -> F) -> impl Future<Output = Answer>
where
    F: Future<Output = Answer>,
{
    until_matches(call, |answer| {
        let is_wanted = statuses.contains(&answer.status);
        if !is_wanted {
            come_again(answer);
        }
        is_wanted
    })
}

/// A call that may be made again until it is answered.
enum Call<'a> {
    Webhook(&'a InboundWebhook),
    Get(&'a str),
    Post { tail: &'a str, key: &'a str, body: Value },
    Patch { tail: &'a str, body: Value },
}

struct Writer {
    tenant: Tenant,
    progress: watch::Sender<Progress>,
    author: String,
    nth: usize,
}

impl Writer {
    async fn insist(&self, status: u16, call: Call<'_>) -> Answer {
        let tenant = &self.tenant;
        until_some(async || {
            let answer = match &call {
                Call::Webhook(webhook) => webhook.post(&tenant.api).await,
                Call::Get(tail) => tenant.get(tail).await,
                Call::Post { tail, key, body } => {
                    tenant.api.post_with(&tenant.path(tail), &[("Idempotency-Key", key)], body).await
                }
                Call::Patch { tail, body } => tenant.patch(tail, body).await,
            };
            if answer.status == status {
                self.progress.send_modify(|progress| progress.written += 1);
                return Some(answer);
            }
            come_again(&answer);
            self.progress.send_modify(|progress| progress.refused += 1);
            None
        })
        .await
    }

    async fn work(self) -> Done {
        let mut done = Done::default();
        for round in 0.. {
            if self.progress.borrow().over {
                break;
            }
            let said = format!("{}-{round}", self.nth);
            let message = text_from(&self.author, self.tenant.clock.read_now(), &said);
            let webhook = InboundWebhook::default().messages(&self.tenant.id, std::slice::from_ref(&message));
            self.insist(200, Call::Webhook(&webhook)).await;
            done.wamids.push(text(&message["id"]));

            let body = json!({"phone_number": format!("+62899{:03}{round:05}", self.nth)});
            let create = Call::Post { tail: "contacts", key: &format!("c-{said}"), body };
            let made = self.insist(201, create).await.data();
            done.contacts.insert(text(&made["id"]), made);

            let body = Tenant::template(&self.author);
            let send = Call::Post { tail: "messages", key: &format!("s-{said}"), body };
            let sent = self.insist(200, send).await.data();
            assert!(done.sends.insert(text(&sent["id"])), "a key of its own, a message of its own");

            let status = ["resolved", "pending"][round % 2];
            let tail = format!("conversations/{}", text(&sent["conversation_id"]));
            self.insist(200, Call::Patch { tail: &tail, body: json!({"status": status}) }).await;
            self.read_back(&tail, &text(&sent["contact_id"]), status, done.wamids.len()).await;
        }
        done
    }

    /// What was acknowledged is there, for whoever asks next.
    async fn read_back(&self, tail: &str, contact: &str, status: &str, heard: usize) {
        let row = self.insist(200, Call::Get(tail)).await.data();
        let list = format!("conversations?contact_id={contact}");
        let listed = self.insist(200, Call::Get(&list)).await.rows();
        for row in [&row, &listed[0]] {
            // One came in before the load.
            assert_eq!((&row["status"], &row["unread_count"]), (&json!(status), &json!(heard + 1)), "{row}");
        }
    }
}

/// One poller: a list again and again, by its tag. A server alone never refuses it.
async fn poll(tenant: Tenant, list: &'static str, progress: watch::Sender<Progress>) {
    let mut page = tenant.get(list).await.is(200);
    while !progress.borrow().over {
        let answer = tenant.get_if(list, &page.etag()).await;
        if answer.status != 304 {
            page = answer.is(200);
        }
        progress.send_modify(|progress| progress.polled += 1);
        tokio::time::sleep(POLL_PAUSE).await;
    }
}

impl Load {
    /// So many writers, and pollers of lists that are in memory.
    pub(crate) fn begin(tenant: &Tenant, writers: usize, lists: &[&'static str]) -> Self {
        let progress = watch::Sender::new(Progress::default());
        let mut load = Self {
            tenant: tenant.clone(),
            progress: progress.clone(),
            writers: JoinSet::new(),
            pollers: JoinSet::new(),
        };
        for nth in 0..writers {
            let (tenant, progress) = (tenant.clone(), progress.clone());
            let writer = Writer { tenant, progress, author: from(nth), nth };
            load.writers.spawn(writer.work());
        }
        for list in lists {
            load.pollers.spawn(poll(tenant.clone(), list, progress.clone()));
        }
        load
    }

    /// Waits until so much more has happened.
    pub(crate) async fn more(&mut self, what: fn(&Progress) -> usize, count: usize) {
        let mut progress = self.progress.subscribe();
        let goal = what(&progress.borrow_and_update()) + count;
        // Whoever fails fails the test, not the timeout.
        patiently(async {
            tokio::select! {
                reached = progress.wait_for(|progress| what(progress) >= goal) => drop(reached.unwrap()),
                Some(failed) = self.pollers.join_next() => failed.unwrap(),
                Some(failed) = self.writers.join_next() => drop(failed.unwrap()),
            }
        })
        .await;
        assert!(what(&self.progress.borrow()) >= goal, "somebody stopped early");
    }

    /// Lets everybody finish; then everything that was acknowledged is there, and WhatsApp has got every
    /// message once.
    pub(crate) async fn end(self, server: &TestServer) {
        self.progress.send_modify(|progress| progress.over = true);
        patiently(self.pollers.join_all()).await;
        let done = patiently(self.writers.join_all()).await;
        let tenant = server.here(&self.tenant);
        let outbound = tenant.all("messages?direction=outbound&limit=100").await;
        for message in &outbound {
            tenant.message_when(&text(&message["id"]), |message| message["status"] == "read").await;
        }
        let asked: BTreeSet<&String> = done.iter().flat_map(|done| &done.sends).collect();
        let kept: BTreeSet<String> = outbound.iter().map(|row| text(&row["id"])).collect();
        assert_eq!(asked, kept.iter().collect(), "each is kept, and made once");
        let mut got: Vec<String> =
            server.simulator.sends().into_iter().filter_map(|send| send.opaque).collect();
        got.sort();
        assert_eq!(got, kept.into_iter().collect::<Vec<_>>(), "each was got, and once");

        let inbound = tenant.all("messages?direction=inbound&limit=100").await;
        let mut heard: BTreeMap<String, usize> = BTreeMap::new();
        for message in &inbound {
            *heard.entry(text(&message["message_id"])).or_default() += 1;
        }
        for wamid in done.iter().flat_map(|done| &done.wamids) {
            assert_eq!(heard.get(wamid), Some(&1), "{wamid} was taken in, and once");
        }
        let contacts = tenant.all("contacts?limit=100").await;
        let contacts: BTreeMap<String, Value> =
            contacts.into_iter().map(|row| (text(&row["id"]), row)).collect();
        for (id, made) in done.iter().flat_map(|done| &done.contacts) {
            assert_eq!(contacts.get(id), Some(made), "{id}");
        }
    }
}

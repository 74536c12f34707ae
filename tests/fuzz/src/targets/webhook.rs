//! Bodies of WhatsApp's webhooks, signed; `{number}` is the number of the tenant.

use kabar_core::domain::time::Timestamp;
use kabar_core::meta::named_numbers::read_named_targets;
use kabar_core::meta::translate::translate_webhook;

use super::FuzzTarget;
use crate::runtime::wait_for;
use crate::server::server;

pub(super) const TARGET: FuzzTarget = FuzzTarget {
    name: "webhook",
    run,
    words: &[
        "entry",
        "changes",
        "value",
        "field",
        "messages",
        "statuses",
        "contacts",
        "metadata",
        "phone_number_id",
        "display_phone_number",
        "id",
        "from",
        "to",
        "timestamp",
        "type",
        "text",
        "body",
        "context",
        "errors",
        "code",
        "status",
        "sent",
        "delivered",
        "read",
        "failed",
        "played",
        "recipient_id",
        "wa_id",
        "user_id",
        "profile",
        "name",
        "username",
        "edit",
        "revoke",
        "original_message_id",
        "reaction",
        "emoji",
        "message_id",
        "image",
        "caption",
        "group_id",
        "smb_message_echoes",
        "message_echoes",
        "history",
        "threads",
        "standby",
        "calls",
        "account_update",
        "message_template_status_update",
        "user_preferences",
        "smb_app_state_sync",
        "user_id_update",
        "system",
        "{number}",
        "wamid.HBgNNjI4MTIzNDU2Nzg5MA==",
        "6281234567890",
        "ID.1234567890",
        "\\u0000",
        "\\ud800",
        "1750000000",
    ],
    input_bytes_max: 32 << 10,
    mutations: 400,
};

/// Names that [`read_named_targets`] reads of one body, at most.
const NAMES_MAX: usize = 256;

/// The accounts that an unproven body is said to concern are those that it does concern, so that no account is given what its
/// secret did not sign. A body that is an object is taken, again is taken for nothing new, and can be read by the tenant.
fn run(input: &[u8]) {
    let server = server();
    let body = server.fill_places(input);
    let named = read_named_targets(&body);
    let translated = translate_webhook(&body, Timestamp::from_millis(1_781_866_800_000));
    if let (Ok(webhook), true) = (&translated, named.len() < NAMES_MAX) {
        let concerned = webhook.groups.iter().map(|group| &group.target);
        let unnamed: Vec<_> = concerned.filter(|target| !named.contains(target)).collect();
        assert!(unnamed.is_empty(), "{unnamed:?} are not among {named:?}");
    }
    wait_for(async {
        let answer = server.post_webhook(&body).await;
        assert_eq!(answer.status, if translated.is_ok() { 200 } else { 400 }, "{answer:?}");
        let (mut threads, mut events) = (Vec::new(), Vec::new());
        for round in 0..2 {
            for (tail, seen) in [("conversations?limit=5", &mut threads), ("events?limit=5", &mut events)] {
                let answer = server.read(tail, "").await;
                assert_eq!(answer.status, 200, "{answer:?}");
                let rows = answer.json()["data"].clone();
                assert!(rows.is_array());
                seen.push(rows);
            }
            if round == 0 {
                server.post_webhook(&body).await;
            }
        }
        assert_eq!(threads[0], threads[1], "a webhook that came again changed conversations");
        assert_eq!(events[0], events[1], "a webhook that came again made events");
    });
}

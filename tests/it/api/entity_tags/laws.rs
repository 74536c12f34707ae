//! Tags are equal exactly when pages are, over a random life of an account.

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::harness::{Tenant, TestServer, from, text};

/// Something that happens to an account.
#[derive(Debug, Clone)]
enum Happening {
    Hears(usize),
    Status(usize, &'static str),
    Sends(usize),
    Renames(usize, String),
    ReadsAll(usize),
    NewContact(usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    let status = prop_oneof![Just("open"), Just("pending"), Just("resolved")];
    prop_oneof![
        (0_usize..6).prop_map(Happening::Hears),
        (0_usize..6, status).prop_map(|(who, status)| Happening::Status(who, status)),
        (0_usize..6).prop_map(Happening::Sends),
        (0_usize..6, "[ab]").prop_map(|(who, name)| Happening::Renames(who, name)),
        (0_usize..6).prop_map(Happening::ReadsAll),
        (0_usize..3).prop_map(Happening::NewContact),
    ]
}

const LISTS: [&str; 8] = [
    "conversations",
    "conversations?limit=2",
    "conversations?status=open&limit=3",
    "conversations?status=resolved",
    "conversations?updated_since=2020-01-01T00:00:00Z&limit=3",
    "messages?limit=4",
    "messages?direction=outbound",
    "contacts?limit=3",
];

async fn happen(tenant: &Tenant, what: &Happening, heard: &mut HashMap<usize, String>) {
    let row_of = async |who: usize| -> Option<Value> {
        let phone = format!("+{}", from(who));
        let rows = tenant.all("conversations?limit=100").await;
        rows.into_iter().find(|row| row["contact"]["phone_number"] == *phone)
    };
    match what {
        Happening::Hears(who) => {
            let wamid = tenant.hears(&from(*who), "hello").await;
            heard.insert(*who, wamid);
        }
        Happening::Status(who, status) => {
            if let Some(row) = row_of(*who).await {
                let path = format!("conversations/{}", text(&row["id"]));
                tenant.patch(&path, &json!({"status": status})).await.is(200);
            }
        }
        Happening::Sends(who) => {
            tenant.sent(&from(*who)).await;
        }
        Happening::Renames(who, name) => {
            if let Some(row) = row_of(*who).await {
                let path = format!("contacts/{}", text(&row["contact"]["id"]));
                tenant.patch(&path, &json!({"name": name})).await.is(200);
            }
        }
        Happening::ReadsAll(who) => {
            if let Some(wamid) = heard.get(who) {
                let body = json!({"messaging_product": "whatsapp", "status": "read", "message_id": wamid});
                tenant.post("messages", &body).await.is(200);
            }
        }
        Happening::NewContact(who) => {
            let phone = format!("+628130000000{who}");
            let answer = tenant.post("contacts", &json!({"phone_number": phone})).await;
            assert!(matches!(answer.status, 201 | 409));
        }
    }
}

/// Every state of every list by its tag; a tag that was seen with another page is a false 304 in
/// waiting, a page that was seen with another tag a false 200.
async fn live(tenant: &Tenant, life: &[Happening]) {
    let mut heard = HashMap::new();
    let mut last: HashMap<&str, (String, String)> = HashMap::new();
    for what in life {
        happen(tenant, what, &mut heard).await;
        for list in LISTS {
            let answer = tenant.get(list).await;
            // Rows and their order; cursors are sealed afresh each time.
            let page = json!([answer.rows(), answer.json()["has_more"]]).to_string();
            let tag = answer.etag();
            if let Some((old_page, old_tag)) = last.get(list) {
                assert_eq!(
                    *old_page == page,
                    *old_tag == tag,
                    "{list} after {what:?}:\n{old_tag}\n{tag}\n{page}"
                );
                let status = tenant.get_if(list, old_tag).await.status;
                assert_eq!(status == 304, *old_page == page, "{list} after {what:?}");
            }
            last.insert(list, (page, tag));
        }
    }
}

#[test]
fn tags_are_equal_exactly_when_pages_are() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = runtime.block_on(TestServer::start());
    let config = Config { cases: 6, max_shrink_iters: 20, failure_persistence: None, ..Config::default() };
    let lives = proptest::collection::vec(happening(), 8..16);
    let ran = TestRunner::new(config).run(&lives, |life| {
        runtime.block_on(async {
            let tenant = server.tenant().await;
            live(&tenant, &life).await;
        });
        Ok(())
    });
    ran.unwrap();
    drop(runtime);
}

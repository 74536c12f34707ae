//! A tenant of a server in a process of its own: what outlives the process is its key and its number.

use serde_json::{Value, json};

use super::{Client, OPERATOR_TOKEN, text};

/// See the module.
pub(crate) struct Business {
    pub(crate) key: String,
    pub(crate) id: String,
}

impl Business {
    /// Makes the organisation, its key and its number.
    pub(crate) async fn open(process: &Client) -> Self {
        let operator = process.with_token(OPERATOR_TOKEN);
        let body = json!({"name": "O", "tier": "enterprise", "write_per_minute": 1_000_000, "read_per_minute": 1_000_000});
        let organisation = text(&operator.post("/admin/v1/organizations", &body).await.is(201).data()["id"]);
        let of = |tail: &str| format!("/admin/v1/organizations/{organisation}/{tail}");
        let key = text(&operator.post(&of("api_keys"), &json!({"label": "k"})).await.is(201).data()["key"]);
        let id = "100200300400999".to_owned();
        let body = json!({"phone_number_id": id, "phone_number": "+12025550999", "access_token": "EAAG"});
        operator.post(&of("accounts"), &body).await.is(201);
        Self { key, id }
    }

    /// Every row of a list that has a query, page after page.
    pub(crate) async fn rows(&self, process: &Client, tail: &str) -> Vec<Value> {
        let client = process.with_token(&self.key);
        let mut rows = Vec::new();
        let mut path = format!("/v1/{}/{tail}", self.id);
        loop {
            let page = client.get(&path).await;
            rows.extend(page.rows());
            let Some(cursor) = page.cursor() else { return rows };
            path = format!("/v1/{}/{tail}&cursor={cursor}", self.id);
        }
    }

    /// The whole log, and the number of its last event.
    pub(crate) async fn log(&self, process: &Client) -> (Vec<Value>, i64) {
        let client = process.with_token(&self.key);
        let (mut events, mut after) = (Vec::new(), 0);
        loop {
            let path = format!("/v1/{}/events?limit=100&after={after}", self.id);
            let part = client.get(&path).await.envelope();
            events.extend(part["data"].as_array().unwrap().clone());
            after = part["last_sequence"].as_i64().unwrap();
            if part["has_more"] == false {
                return (events, after);
            }
        }
    }
}

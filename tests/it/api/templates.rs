//! Contract, section 21: templates.

mod lists;
mod sharing;

use std::time::Duration;

use kabar_core::domain::account::PhoneNumberId;
use serde_json::{Value, json};

use crate::harness::graph_stub::GraphStub;
use crate::harness::{
    Answer, InboundWebhook, Tenant, TestServer, check_object, from, text, until, until_matches,
};

/// The business account of every number of a stage.
const WABA: &str = "102290129340398";

fn submission(name: &str, language: &str) -> Value {
    json!({"name": name, "category": "MARKETING", "language": language,
        "components": [{"type": "BODY", "text": "Halo {{1}}", "example": {"body_text": [["Budi"]]}}]})
}

/// A tenant whose number's business account is known.
async fn tenant_of(server: &TestServer) -> Tenant {
    let organisation = json!({"name": "Warung", "tier": "enterprise",
        "write_per_minute": 1_000_000, "read_per_minute": 1_000_000});
    let organisation = server.organisation(&organisation).await;
    let key = server.key(&organisation).await;
    let (id, phone) = server.account_with(&organisation, json!({"waba_id": WABA})).await;
    Tenant {
        organisation,
        key: key.clone(),
        id,
        phone,
        api: server.anyone.with_token(&key),
        clock: server.clock.clone(),
    }
}

/// WhatsApp tells of a template, as the simulator's list shows it from then on.
fn tell(server: &TestServer, tenant: &Tenant, name: &str, more: &Value) {
    let mut value = json!({"message_template_id": 5_550_009, "message_template_name": name,
        "message_template_language": "id"});
    for (member, word) in more.as_object().unwrap() {
        value[member] = word.clone();
    }
    let field = if more.get("new_quality_score").is_some() {
        "message_template_quality_update"
    } else if more.get("new_category").is_some() {
        "template_category_update"
    } else {
        "message_template_status_update"
    };
    server.simulator.tell_field(&PhoneNumberId::parse(&tenant.id).unwrap(), field, value);
}

/// A template once it is as wanted.
async fn template_when(tenant: &Tenant, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    tenant.when(&format!("templates/{name}"), |answer| wanted(&answer.data())).await.data()
}

/// Types and data of the log's events about templates.
async fn told(tenant: &Tenant) -> Vec<(String, Value)> {
    let page = tenant.get("events?limit=100&types=template.created,template.updated,template.deleted").await;
    let rows = page.is(200).json()["data"].as_array().unwrap().clone();
    rows.into_iter().map(|event| (text(&event["type"]), event["data"]["template"].clone())).collect()
}

fn template_to(to: &str, name: &str, language: &str) -> Value {
    json!({"messaging_product": "whatsapp", "to": to, "type": "template",
        "template": {"name": name, "language": {"code": language}}})
}

#[tokio::test]
async fn a_template_is_created_pending_and_approved_by_its_review() {
    let server = TestServer::shaped(|options| options.review_delay = Some(Duration::from_millis(50))).await;
    let tenant = tenant_of(&server).await;
    let answer = tenant.post("templates", &submission("promo", "id")).await.is(201);
    let made = answer.data();
    check_object(&made);
    assert_eq!(
        (&made["object"], &made["name"], &made["language"]),
        (&json!("template"), &json!("promo"), &json!("id"))
    );
    assert_eq!((&made["status"], &made["provider_status"]), (&json!("pending"), &json!("PENDING")));
    assert_eq!((&made["category"], &made["variables"]), (&json!("MARKETING"), &json!(["1"])));
    assert_eq!(made["components"], submission("promo", "id")["components"]);
    assert!(made["provider_id"].is_string());
    let now = template_when(&tenant, "promo", |row| row["status"] == "approved").await;
    assert_eq!((&now["id"], &now["provider_status"]), (&made["id"], &json!("APPROVED")));
    let told = told(&tenant).await;
    assert_eq!(told[0], ("template.created".to_owned(), made));
    assert_eq!(told.last().unwrap(), &("template.updated".to_owned(), now));
    tenant.post("templates", &submission("rejected_promo", "id")).await.is(201);
    let now = template_when(&tenant, "rejected_promo", |row| row["status"] == "rejected").await;
    assert_eq!(now["rejected_reason"], "INVALID_FORMAT");
}

#[tokio::test]
async fn a_template_that_exists_is_refused_before_whatsapp_is_asked() {
    let server = TestServer::start().await;
    let tenant = tenant_of(&server).await;
    tenant.post("templates", &submission("promo", "id")).await.is(201);
    let calls = server.simulator.counts().borrow().template_calls;
    let error =
        tenant.post("templates", &submission("promo", "id")).await.refused(409, "template_already_exists");
    assert_eq!(error["param"], "name");
    assert_eq!(server.simulator.counts().borrow().template_calls, calls);
    tenant.post("templates", &submission("promo", "en_US")).await.is(201);
}

#[tokio::test]
async fn what_whatsapp_refuses_leaves_nothing_behind() {
    let server = TestServer::start().await;
    let tenant = tenant_of(&server).await;
    let error =
        tenant.post("templates", &submission("refused_promo", "id")).await.refused(422, "whatsapp_error");
    assert_eq!(error["provider_code"], 100);
    assert!(text(&error["message"]).contains("This template is not taken"), "{error}");
    assert!(tenant.get("templates").await.rows().is_empty() && told(&tenant).await.is_empty());
    tenant.get("templates/refused_promo").await.refused(404, "resource_not_found");
    assert!(tenant.api.get("/v1/audit?action=template.created").await.rows().is_empty());
    // A token that WhatsApp refuses refuses the call, with its number.
    let path = format!("/admin/v1/accounts/{}", tenant.id);
    server.operator.patch(&path, &json!({"access_token": "expired"})).await.is(200);
    let error = tenant.post("templates", &submission("promo", "id")).await.refused(422, "whatsapp_error");
    assert_eq!(error["provider_code"], 190);
    tenant.post("templates/sync", &json!({})).await.refused(422, "whatsapp_error");
}

#[tokio::test]
async fn a_call_under_a_key_is_made_once() {
    let server = TestServer::start().await;
    let tenant = tenant_of(&server).await;
    let path = tenant.path("templates");
    let post = async |key: &str, name: &str| {
        tenant.api.post_with(&path, &[("Idempotency-Key", key)], &submission(name, "id")).await
    };
    let first = post("one", "promo").await.is(201);
    let again = post("one", "promo").await.is(201);
    assert_eq!((first.data(), again.header("Idempotent-Replayed")), (again.data(), Some("true")));
    post("one", "other").await.refused(422, "idempotency_key_reuse");
    let first = post("two", "refused_promo").await.refused(422, "whatsapp_error");
    let calls = server.simulator.counts().borrow().template_calls;
    let again = post("two", "refused_promo").await;
    assert_eq!(again.header("Idempotent-Replayed"), Some("true"));
    assert_eq!(again.refused(422, "whatsapp_error")["provider_code"], first["provider_code"]);
    assert_eq!(server.simulator.counts().borrow().template_calls, calls);
}

#[tokio::test]
async fn calls_without_whatsapp_or_a_business_account_say_so() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let error =
        tenant.post("templates", &submission("promo", "id")).await.refused(422, "account_not_connected");
    assert!(text(&error["message"]).contains("waba_id"), "{error}");
    tenant.post("templates/sync", &json!({})).await.refused(422, "account_not_connected");
    let graph = GraphStub::start().await;
    let base_url = graph.base_url.clone();
    let server = TestServer::shaped(|options| options.graph = Some(base_url)).await;
    let tenant = tenant_of(&server).await;
    for (status, body) in [(503, json!({})), (200, json!({"id": "1"})), (500, json!({"error": {"code": 2}}))]
    {
        graph.answer_templates_with(status, body);
        tenant.post("templates/sync", &json!({})).await.refused(502, "whatsapp_upstream_error");
    }
    let path = format!("/admin/v1/accounts/{}", tenant.id);
    server.operator.patch(&path, &json!({"status": "disconnected"})).await.is(200);
    tenant.post("templates/sync", &json!({})).await.refused(422, "account_not_connected");
}

#[tokio::test]
async fn bodies_and_parameters_are_checked() {
    let server = TestServer::start().await;
    let tenant = tenant_of(&server).await;
    let mut body = submission("Promo", "id");
    assert_eq!(tenant.post("templates", &body).await.refused(400, "invalid_field_value")["param"], "name");
    body["name"] = Value::Null;
    assert_eq!(tenant.post("templates", &body).await.refused(400, "missing_required_field")["param"], "name");
    let header =
        json!({"type": "HEADER", "format": "IMAGE", "example": {"header_url": ["https://example.com/a"]}});
    let mut body = submission("promo", "id");
    body["components"].as_array_mut().unwrap().push(header);
    let error = tenant.post("templates", &body).await.refused(400, "invalid_field_value");
    assert_eq!(error["param"], "components[1].example.header_url");
    for query in ["status=APPROVED", "status=", "language=", "status=in_appeal"] {
        tenant.get(&format!("templates?{query}")).await.refused(400, "invalid_field_value");
    }
    tenant.get("templates?limit=0").await.refused(400, "invalid_limit");
    tenant.get("templates?cursor=x").await.refused(400, "invalid_cursor");
    tenant.get("templates/a%2Fb").await.refused(400, "invalid_field_value");
    tenant.get("templates/unknown").await.refused(404, "resource_not_found");
    let path = "/v1/999999999999/templates";
    tenant.api.get(path).await.refused(404, "resource_not_found");
    tenant.api.post(path, &submission("promo", "id")).await.refused(404, "resource_not_found");
}

#[tokio::test]
async fn a_name_in_several_languages_needs_the_language() {
    let server = TestServer::start().await;
    let tenant = tenant_of(&server).await;
    let one = tenant.post("templates", &submission("promo", "id")).await.is(201).data();
    assert_eq!(tenant.get("templates/promo").await.data(), one);
    let two = tenant.post("templates", &submission("promo", "en_US")).await.is(201).data();
    let error = tenant.get("templates/promo").await.refused(400, "missing_required_field");
    assert_eq!(error["param"], "language");
    assert_eq!(tenant.get("templates/promo?language=en_US").await.data(), two);
    tenant.get("templates/promo?language=de").await.refused(404, "resource_not_found");
}

#[tokio::test]
async fn the_list_is_filtered_paged_and_polled_like_every_list() {
    let server = TestServer::manual().await;
    let tenant = tenant_of(&server).await;
    for nth in 0..5 {
        let language = if nth % 2 == 0 { "id" } else { "en" };
        tenant.post("templates", &submission(&format!("promo_{nth}"), language)).await.is(201);
    }
    tell(&server, &tenant, "promo_0", &json!({"event": "APPROVED"}));
    template_when(&tenant, "promo_0", |row| row["status"] == "approved").await;
    let names = |answer: &Answer| answer.column("name").iter().map(text).collect::<Vec<_>>();
    let list = tenant.get("templates").await;
    assert_eq!(names(&list), ["promo_4", "promo_3", "promo_2", "promo_1", "promo_0"]);
    assert_eq!(tenant.get("templates?status=all").await.rows(), list.rows());
    assert_eq!(names(&tenant.get("templates?status=approved").await), ["promo_0"]);
    assert_eq!(names(&tenant.get("templates?status=pending&language=en").await), ["promo_3", "promo_1"]);
    assert_eq!(tenant.all("templates?limit=2").await, list.rows());
    let cursor = tenant.get("templates?limit=2").await.cursor().unwrap();
    tenant.get(&format!("templates?language=id&cursor={cursor}")).await.refused(400, "invalid_cursor");

    // 304 is free, a hit costs no statement, and a change ends both.
    let again = tenant.get("templates").await;
    assert!(again.must("Cache-Status").starts_with("kabar; hit"), "{again:?}");
    let before = again.number("X-RateLimit-Remaining");
    let unchanged = tenant.get_if("templates", &list.etag()).await.is(304);
    assert_eq!(unchanged.number("X-RateLimit-Remaining"), before);
    let hit = async || drop(tenant.get_if("templates", &list.etag()).await.is(304));
    assert_eq!(server.statements_of(hit).await, 0);
    let (one, tag) = (tenant.get("templates/promo_2").await, list.etag());
    let headers = [("If-None-Match", tag.as_str()), ("Prefer", "wait=30")];
    let held = tenant.get_with("templates", &headers);
    let change = async { tell(&server, &tenant, "promo_2", &json!({"event": "PAUSED", "reason": "NONE"})) };
    let (answer, ()) = tokio::join!(held, change);
    assert_eq!(answer.clone().is(200).rows()[2]["status"], "paused");
    tenant.get_if("templates/promo_2", &one.etag()).await.is(200);
    assert_eq!(names(&tenant.get("templates?status=paused").await), ["promo_2"]);
}

#[tokio::test]
async fn webhooks_keep_a_template_current_beside_their_own_events() {
    let server = TestServer::start().await;
    let tenant = tenant_of(&server).await;
    tenant.post("templates", &submission("promo", "id")).await.is(201);
    for (more, member, word, shown) in [
        (json!({"event": "FLAGGED"}), "status", "approved", "FLAGGED"),
        (json!({"event": "DISABLED", "reason": "NONE"}), "status", "disabled", "DISABLED"),
        (json!({"event": "IN_APPEAL"}), "status", "pending", "IN_APPEAL"),
        (
            json!({"new_quality_score": "RED", "previous_quality_score": "GREEN"}),
            "quality",
            "RED",
            "IN_APPEAL",
        ),
        (
            json!({"new_category": "UTILITY", "previous_category": "MARKETING"}),
            "category",
            "UTILITY",
            "IN_APPEAL",
        ),
    ] {
        tell(&server, &tenant, "promo", &more);
        let row = template_when(&tenant, "promo", |row| row[member] == word).await;
        assert_eq!(row["provider_status"], shown, "{more}");
    }
    // Event and change are one commit.
    let log = tenant.get("events?limit=100&types=template.updated,whatsapp.*").await.json();
    let log = log["data"].as_array().unwrap();
    let pairs: Vec<_> = log.chunks(2).map(|pair| (text(&pair[0]["type"]), text(&pair[1]["type"]))).collect();
    assert_eq!(pairs.len(), 5);
    for (pair, chunk) in pairs.iter().zip(log.chunks(2)) {
        assert!(pair.0 == "template.updated" && pair.1.starts_with("whatsapp."), "{pairs:?}");
        assert_eq!(chunk[0]["created_at"], chunk[1]["created_at"]);
    }
    tell(&server, &tenant, "promo", &json!({"event": "DELETED"}));
    until(async || tenant.get("templates/promo").await.status == 404).await;
    let (kind, gone) = told(&tenant).await.pop().unwrap();
    assert_eq!(
        (kind.as_str(), &gone["deleted"], &gone["name"]),
        ("template.deleted", &json!(true), &json!("promo"))
    );
}

#[tokio::test]
async fn changed_components_are_shown_and_the_rest_is_asked_for() {
    let server = TestServer::start().await;
    let tenant = tenant_of(&server).await;
    let made = tenant.post("templates", &submission("promo", "id")).await.is(201).data();
    let news = json!({"message_template_id": 1, "message_template_name": "promo", "message_template_language": "id",
        "message_template_element": "Hai {{1}}"});
    let calls = server.simulator.counts().borrow().template_calls;
    InboundWebhook::default()
        .field("message_template_components_update", &news)
        .post(&tenant.api)
        .await
        .is(200);
    // WhatsApp's list, which has the examples too, has the last word.
    until(async || server.simulator.counts().borrow().template_calls > calls).await;
    template_when(&tenant, "promo", |row| row["components"] == made["components"]).await;
    let told = told(&tenant).await;
    assert_eq!(told[1].1["components"], json!([{"type": "BODY", "text": "Hai {{1}}"}]));
}

#[tokio::test]
async fn a_send_of_a_known_template_that_is_not_approved_is_refused_here() {
    let server = TestServer::start().await;
    let tenant = tenant_of(&server).await;
    tenant.post("templates", &submission("promo", "id")).await.is(201);
    let send = async |name: &str, language: &str| {
        tenant.post("messages", &template_to(&from(1), name, language)).await
    };
    let refused = send("promo", "id").await.refused(422, "template_not_approved");
    assert_eq!(refused["param"], "template.name");
    for (event, code) in [
        ("PAUSED", "template_paused"),
        ("DISABLED", "template_disabled"),
        ("REJECTED", "template_not_approved"),
    ] {
        tell(&server, &tenant, "promo", &json!({"event": event}));
        template_when(&tenant, "promo", |row| row["provider_status"] == event).await;
        send("promo", "id").await.refused(422, code);
    }
    assert_eq!(server.simulator.counts().borrow().received, 0, "WhatsApp was not asked");
    // The same name in another language is not known; WhatsApp decides.
    send("promo", "en").await.is(200);
    tell(&server, &tenant, "promo", &json!({"event": "APPROVED"}));
    template_when(&tenant, "promo", |row| row["status"] == "approved").await;
    let sent = text(&send("promo", "id").await.is(200).data()["id"]);
    tenant.message_when(&sent, |message| message["sent_at"].is_string()).await;
    until_matches(async || server.simulator.counts().borrow().accepted, |accepted| *accepted == 2).await;
}

#[tokio::test]
async fn a_template_costs_a_send_no_further_statement() {
    let server = TestServer::start().await;
    let tenant = tenant_of(&server).await;
    tenant.post("templates", &submission("promo", "id")).await.is(201);
    // A contact in memory costs none either.
    tenant.hears(&from(1), "hello").await;
    let send = async |name: &str| {
        drop(
            tenant
                .post("messages", &template_to(&from(1), name, "id"))
                .await
                .refused(422, "template_not_approved"),
        );
    };
    send("promo").await;
    assert_eq!(server.statements_of(async || send("promo").await).await, 0);
}

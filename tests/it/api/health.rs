//! Contract, section 7: health, readiness, metrics, and the document.

use serde_json::{Value, json};

use crate::harness::{TestServer, from};

#[tokio::test]
async fn health_and_readiness_answer_strangers() {
    let server = TestServer::start().await;
    for path in ["/v1/health", "/readyz"] {
        let answer = server.anyone.get(path).await.is(200);
        assert!(answer.json().is_object(), "{path}: {answer:?}");
        // A bad key does not matter where none is asked for.
        server.anyone.with_token("kdv_live_wrong").get(path).await.is(200);
    }
    let ready = server.anyone.get("/readyz").await.json().to_string();
    assert!(ready.contains("database") || ready.contains("storage"), "each dependency is named: {ready}");
}

#[tokio::test]
async fn metrics_are_prometheus_text_and_count() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    tenant.hears(&from(1), "hello").await;
    let text = |answer: &crate::harness::Answer| String::from_utf8(answer.body.to_vec()).unwrap();
    let before = server.anyone.get("/metrics").await.is(200);
    let kind = before.must("Content-Type");
    assert!(kind.starts_with("text/plain") || kind.starts_with("application/openmetrics-text"), "{kind}");
    tenant.hears(&from(1), "again").await;
    tenant.get("conversations").await;
    let after = server.anyone.get("/metrics").await;
    assert_ne!(text(&before), text(&after), "something was counted");
    for line in text(&after).lines().filter(|line| !line.starts_with('#')) {
        let value = line.rsplit(' ').next().unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
    assert!(!text(&after).contains(&from(1)), "no phone numbers");
}

#[tokio::test]
async fn the_document_names_every_operation_of_the_contract() {
    let server = TestServer::start().await;
    let document = server.anyone.get("/v1/openapi.json").await.is(200).json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    for (path, methods) in [
        ("/v1/{phone_number_id}/conversations", vec!["get"]),
        ("/v1/{phone_number_id}/conversations/{conversation_id}", vec!["get", "patch"]),
        ("/v1/{phone_number_id}/messages", vec!["get", "post"]),
        ("/v1/{phone_number_id}/contacts", vec!["get", "post"]),
        ("/v1/me", vec!["get"]),
        ("/v1/accounts", vec!["get"]),
        ("/v1/users", vec!["get"]),
        ("/v1/health", vec!["get"]),
        ("/admin/v1/organizations", vec!["get", "post"]),
        ("/admin/v1/actors", vec!["get"]),
    ] {
        let paths = document["paths"].as_object().unwrap();
        let braces = |path: &str| {
            path.split('/')
                .map(|part| if part.starts_with('{') { "{}" } else { part })
                .collect::<Vec<_>>()
                .join("/")
        };
        let found = paths.iter().find(|(known, _)| braces(known) == braces(path));
        let (_, item) = found.unwrap_or_else(|| panic!("{path} is not documented"));
        for method in methods {
            let operation = &item[method];
            assert!(operation["operationId"].is_string(), "{method} {path}");
            assert!(operation["tags"].as_array().is_some_and(|tags| !tags.is_empty()), "{method} {path}");
        }
    }
    let mut ids = operation_ids(&document);
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "operation ids are unique");
}

fn operation_ids(document: &Value) -> Vec<String> {
    let items = document["paths"].as_object().unwrap().values();
    let operations = items.flat_map(|item| item.as_object().unwrap().values());
    operations.filter_map(|operation| operation["operationId"].as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn every_documented_operation_exists_and_asks_for_its_key() {
    let server = TestServer::start().await;
    let document = server.anyone.get("/v1/openapi.json").await.json();
    let mut closed = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if !["get", "post", "put", "patch", "delete"].contains(&&**method) {
                continue;
            }
            let filled: Vec<&str> =
                path.split('/').map(|part| if part.starts_with('{') { "123456789" } else { part }).collect();
            let answer = server.anyone.call(&method.to_uppercase(), &filled.join("/"), &[], None).await;
            let security = operation.get("security").unwrap_or(&document["security"]);
            let needs = security
                .as_array()
                .is_some_and(|list| !list.is_empty() && list.iter().all(|one| *one != json!({})));
            if needs {
                answer.refused(401, "missing_api_key");
                closed += 1;
            } else {
                assert!(!matches!(answer.status, 404 | 405), "{method} {path}: {answer:?}");
                let open = path.contains("/health")
                    || path.contains("openapi")
                    || path.contains("webhooks")
                    || path.contains("readyz")
                    || path.contains("metrics");
                assert!(open, "{method} {path} is documented as open");
            }
        }
    }
    assert!(closed >= 15, "{closed}");
}

#[tokio::test]
async fn pages_are_served_from_the_binary() {
    let server = TestServer::start().await;
    let start = server.anyone.get("/").await.is(200);
    let start = String::from_utf8(start.body.to_vec()).unwrap();
    let linked: Vec<&str> =
        start.split("href=\"/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(linked.len() > 10, "{linked:?}");
    for path in linked {
        server.anyone.get(&format!("/{path}")).await.is(200);
    }
    for path in ["/", "/docs", "/guides/polling"] {
        let page = server.anyone.get(path).await.is(200);
        assert!(page.must("Content-Type").starts_with("text/html"));
        let html = String::from_utf8(page.body.to_vec()).unwrap();
        for elsewhere in ["src=\"http", "src=\"//", "href=\"//", "unpkg", "jsdelivr", "cdnjs"] {
            assert!(!html.contains(elsewhere), "{path} loads from elsewhere: {elsewhere}");
        }
    }
    // What an operator types stays in the page, and goes with it.
    let docs = server.anyone.get("/docs").await.is(200);
    let docs = String::from_utf8(docs.body.to_vec()).unwrap();
    assert!(docs.contains("persistAuthorization: false") && !docs.contains("authorizeWithPersistOption({"));
    // Only `kabar dev` has keys to show.
    server.anyone.get("/docs/sandbox").await.refused(404, "route_not_found");
    let yaml = server.anyone.get("/v1/openapi.yaml").await.is(200);
    assert!(yaml.body.starts_with(b"openapi:"));
}

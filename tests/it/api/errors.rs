//! Contract, section 2: one envelope for whatever is refused.

use serde_json::json;

use crate::harness::{OPERATOR_TOKEN, TestServer, from, text};

#[tokio::test]
async fn unknown_routes_are_told_in_the_envelope_with_and_without_a_key() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    for path in ["/nowhere", "/v2/me", "/webhooks", "/webhooks/telegram", "/docs/nowhere", "/v1.0/me"] {
        server.anyone.get(path).await.refused(404, "route_not_found");
        server.anyone.call("POST", path, &[], Some(&json!({}))).await.refused(404, "route_not_found");
    }
    for path in ["/v1", "/v1/", "/v1/nowhere", "/v1/nowhere/at/all", "/v1/me/too", "/v1/health/x"] {
        tenant.api.get(path).await.refused(404, "route_not_found");
        server.anyone.get(path).await.refused(401, "missing_api_key");
    }
    for path in ["/admin", "/admin/v1", "/admin/v1/nowhere", "/admin/v2/organizations"] {
        server.operator.get(path).await.refused(404, "route_not_found");
        server.anyone.get(path).await.refused(401, "missing_api_key");
    }
}

#[tokio::test]
async fn errors_are_problem_details_for_clients_that_ask_for_them() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let path = tenant.path("conversations?limit=0");
    let asks = [("Accept", "application/json, application/problem+json;q=0.9")];
    let problem = tenant.api.get_with(&path, &asks).await;
    assert_eq!((problem.status, problem.must("Content-Type").as_str()), (400, "application/problem+json"));
    let envelope = tenant.api.get_with(&path, &[("Accept", "application/json, */*")]).await;
    envelope.refused(400, "invalid_limit");
    assert_eq!(envelope.must("Content-Type"), "application/json");
    for answer in [&problem, &envelope] {
        assert!(answer.headers.get_all("Vary").iter().any(|value| value == "accept"), "{answer:?}");
    }
    let (body, error) = (problem.json(), &envelope.json()["error"]);
    assert_eq!(
        (&body["type"], &body["status"], &body["request_id"]),
        (&json!("urn:kabar:error:invalid_limit"), &json!(400), &json!(problem.must("X-Request-Id")))
    );
    assert_eq!(
        (&body["detail"], &body["code"], &body["param"]),
        (&error["message"], &error["code"], &error["param"])
    );
    // An answer without an error is what it always is.
    tenant.api.get_with(&tenant.path("conversations"), &asks).await.is(200);
    // Before a key is looked at, too.
    let problem = server.anyone.get_with("/v1/me", &asks).await;
    assert_eq!((problem.status, &problem.json()["code"]), (401, &json!("missing_api_key")));
}

#[tokio::test]
async fn methods_that_a_path_does_not_take_are_told_which_it_takes() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let conversation = tenant.path("conversations/cnv_00000000000000000000000000");
    let cases = [
        ("DELETE", tenant.path("conversations"), vec!["GET", "HEAD"]),
        ("POST", tenant.path("conversations"), vec!["GET", "HEAD"]),
        ("DELETE", conversation, vec!["GET", "HEAD", "PATCH"]),
        ("PUT", tenant.path("messages"), vec!["GET", "HEAD", "POST"]),
        ("PATCH", tenant.path("contacts"), vec!["GET", "HEAD", "POST"]),
        ("POST", "/v1/me".to_owned(), vec!["GET", "HEAD"]),
        ("DELETE", "/v1/health".to_owned(), vec!["GET", "HEAD"]),
        ("TRACE", "/v1/accounts".to_owned(), vec!["GET", "HEAD"]),
        ("BREW", "/v1/users".to_owned(), vec!["GET", "HEAD"]),
        ("PUT", "/webhooks/whatsapp".to_owned(), vec!["GET", "HEAD", "POST"]),
        ("POST", "/v1/openapi.json".to_owned(), vec!["GET", "HEAD"]),
    ];
    for (method, path, expected) in cases {
        let answer = tenant.api.call(method, &path, &[], None).await;
        answer.refused(405, "method_not_allowed");
        let allow = answer.must("Allow");
        let mut allowed: Vec<&str> = allow.split(',').map(str::trim).collect();
        allowed.retain(|method| *method != "OPTIONS");
        allowed.sort_unstable();
        assert_eq!(allowed, expected, "{method} {path}");
    }
    let answer = server.operator.call("PUT", "/admin/v1/organizations", &[], None).await;
    answer.refused(405, "method_not_allowed");
}

#[tokio::test]
async fn bodies_beyond_256_kib_are_refused_and_those_within_are_read() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let padded = |bytes: usize| {
        let body = json!({"phone_number": "+6281200000001", "metadata": {}}).to_string();
        let mut body = body.into_bytes();
        body.resize(bytes, b' ');
        body
    };
    let json = [("Content-Type", "application/json")];
    let path = tenant.path("contacts");
    let answer = tenant.api.bytes("POST", &path, &json, padded(256 * 1024 + 1)).await;
    answer.refused(413, "payload_too_large");
    assert!(tenant.get("contacts").await.rows().is_empty());
    tenant.api.bytes("POST", &path, &json, padded(256 * 1024)).await.is(201);
    // The promise of a length is enough to be refused.
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: kabar\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n",
        tenant.key
    );
    server.raw().say(head.as_bytes()).await.refused(413, "payload_too_large");
    // And one without a length is counted as it comes.
    let chunk = format!("{:x}\r\n{}\r\n", 100_000, " ".repeat(100_000));
    let head = head.replace("Content-Length: 99999999999", "Transfer-Encoding: chunked");
    let chunked = format!("{head}{}0\r\n\r\n", chunk.repeat(3));
    server.raw().say(chunked.as_bytes()).await.refused(413, "payload_too_large");
}

#[tokio::test]
async fn bodies_that_are_not_json_are_refused_by_type_or_by_content() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let admin = "/admin/v1/organizations";
    let body = json!({"phone_number": "+6281200000001", "name": "A", "to": "x"}).to_string();
    for path in [tenant.path("contacts"), tenant.path("messages")] {
        for kind in ["text/plain", "application/x-www-form-urlencoded", "application/wasm", "nonsense"] {
            let answer =
                tenant.api.bytes("POST", &path, &[("Content-Type", kind)], body.clone().into()).await;
            answer.refused(415, "unsupported_media_type");
        }
        let untyped = tenant.api.bytes("POST", &path, &[], body.clone().into()).await;
        untyped.refused(415, "unsupported_media_type");
        for broken in ["{", "nul", "{\"a\":}", "[1,]", "\u{feff}{}", "{}{}", "'a'", "{\"a\":\"\u{1}\"}"] {
            let json = [("Content-Type", "application/json")];
            let answer = tenant.api.bytes("POST", &path, &json, broken.into()).await;
            answer.refused(400, "invalid_request");
        }
        for other in [json!([]), json!("x"), json!(1), json!(null), json!(true)] {
            tenant.api.post(&path, &other).await.refused(400, "invalid_request");
        }
        let invalid_utf8 = b"{\"name\":\"\xff\xfe\"}".to_vec();
        let json = [("Content-Type", "application/json; charset=utf-8")];
        tenant.api.bytes("POST", &path, &json, invalid_utf8).await.refused(400, "invalid_request");
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        tenant.api.bytes("POST", &path, &json, deep.into()).await.refused(400, "invalid_request");
    }
    server.operator.bytes("POST", admin, &[], b"{}".to_vec()).await.refused(415, "unsupported_media_type");
    assert!(tenant.get("contacts").await.rows().is_empty());
}

#[tokio::test]
async fn a_body_that_is_absent_is_refused() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    for tail in ["contacts", "messages"] {
        let json = [("Content-Type", "application/json")];
        let answer = tenant.api.bytes("POST", &tenant.path(tail), &json, Vec::new()).await;
        answer.refused(400, "invalid_request");
    }
}

#[tokio::test]
async fn malformed_ids_are_400_and_unknown_ones_404() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let unknown = "00000000000000000000000000";
    for (noun, prefix) in [("conversations", "cnv"), ("messages", "msg"), ("contacts", "ctc")] {
        let well_formed = format!("{noun}/{prefix}_{unknown}");
        tenant.get(&well_formed).await.refused(404, "resource_not_found");
        for bad in [
            format!("{prefix}_"),
            format!("{prefix}_{unknown}0"),
            format!("{prefix}_0000000000000000000000000"),
            format!("{prefix}_0000000000000000000000000U"),
            format!("{prefix}_0000000000000000000000000a"),
            format!("xyz_{unknown}"),
            unknown.to_owned(),
            "x".repeat(5_000),
            "%00".to_owned(),
            "%F0%9F%8D%9C".to_owned(),
        ] {
            let error = tenant.get(&format!("{noun}/{bad}")).await.refused(400, "invalid_field_value");
            assert!(error["param"].is_string(), "{error}");
        }
    }
    for bad in ["12345", "123456789012345678901", "12345x", "+123456", "%31%32", "-1234567", "１２３４５６"]
    {
        tenant.api.get(&format!("/v1/{bad}/conversations")).await.refused(400, "invalid_field_value");
        tenant.api.post(&format!("/v1/{bad}/messages"), &json!({})).await.refused(400, "invalid_field_value");
    }
    for tail in ["conversations", "messages", "contacts", "contacts/ctc_00000000000000000000000000"] {
        tenant.api.get(&format!("/v1/999999999/{tail}")).await.refused(404, "resource_not_found");
    }
    let patch = json!({"status": "open"});
    let path = format!("conversations/cnv_{unknown}");
    tenant.patch(&path, &patch).await.refused(404, "resource_not_found");
    tenant
        .patch(&format!("contacts/ctc_{unknown}"), &json!({"name": "x"}))
        .await
        .refused(404, "resource_not_found");
}

#[tokio::test]
async fn another_tenants_things_do_not_exist() {
    let server = TestServer::start().await;
    let (ours, theirs) = (server.tenant().await, server.tenant().await);
    theirs.hears(&from(1), "secret").await;
    let conversation = theirs.conversation_with(&from(1)).await;
    let (id, contact) = (text(&conversation["id"]), text(&conversation["contact"]["id"]));
    let message = text(&theirs.get("messages").await.rows()[0]["id"]);
    let tails = [
        "conversations".to_owned(),
        format!("conversations/{id}"),
        "messages".to_owned(),
        format!("messages/{message}"),
        "contacts".to_owned(),
        format!("contacts/{contact}"),
    ];
    for tail in &tails {
        ours.api.get(&theirs.path(tail)).await.refused(404, "resource_not_found");
        // Under one's own number another's id is no better.
        if tail.contains('/') {
            ours.get(tail).await.refused(404, "resource_not_found");
        }
    }
    let path = theirs.path(&format!("conversations/{id}"));
    ours.api.patch(&path, &json!({"status": "resolved"})).await.refused(404, "resource_not_found");
    ours.patch(&format!("conversations/{id}"), &json!({"status": "resolved"}))
        .await
        .refused(404, "resource_not_found");
    ours.api.post(&theirs.path("messages"), &json!({})).await.refused(404, "resource_not_found");
    let user = server.user(&theirs.organisation, "Rani").await;
    ours.hears(&from(2), "hi").await;
    let own = text(&ours.conversation_with(&from(2)).await["id"]);
    let assign = ours.patch(&format!("conversations/{own}"), &json!({"assigned_to": user["id"]})).await;
    assert!(matches!(assign.status, 400 | 404), "{assign:?}");
    assign.refusal();
    assert_eq!(theirs.conversation_with(&from(1)).await, conversation);
    assert!(ours.get(&format!("conversations?contact_id={contact}")).await.rows().is_empty());
}

#[tokio::test]
async fn the_operators_token_opens_no_tenant_and_a_key_no_operators_door() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    server.operator.get("/v1/me").await.refused(401, "invalid_api_key");
    tenant.api.get("/admin/v1/organizations").await.refused(401, "invalid_api_key");
    let almost = &OPERATOR_TOKEN[..OPERATOR_TOKEN.len() - 1];
    let path = "/admin/v1/organizations";
    server.anyone.with_token(almost).get(path).await.refused(401, "invalid_api_key");
    server.anyone.get(path).await.refused(401, "missing_api_key");
}

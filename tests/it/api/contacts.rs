//! Contract, section 6: contacts.

use serde_json::{Value, json};

use crate::harness::{TestServer, check_object, from, text};

#[tokio::test]
async fn a_contact_is_made_normalised_and_found_again() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let body = json!({"phone_number": "62 812-0000-0001", "name": "Ani", "email": "ani@example.com",
        "metadata": {"tier": "gold", "visits": 3, "tags": ["a", "b"], "none": null}});
    let made = tenant.post("contacts", &body).await.is(201).data();
    check_object(&made);
    assert_eq!((&made["phone_number"], &made["name"]), (&json!("+6281200000001"), &json!("Ani")));
    assert_eq!((&made["email"], &made["metadata"]), (&body["email"], &body["metadata"]));
    assert_eq!(made["whatsapp_account"], json!({"phone_number": tenant.phone}));
    assert_eq!(made["created_at"], made["updated_at"]);
    assert_eq!(tenant.get(&format!("contacts/{}", text(&made["id"]))).await.data(), made);
    assert_eq!(tenant.get("contacts").await.rows(), std::slice::from_ref(&made));
    let bare = tenant.post("contacts", &json!({"phone_number": "+6281200000002"})).await.is(201).data();
    assert_eq!((&bare["name"], &bare["email"], &bare["metadata"]), (&Value::Null, &Value::Null, &json!({})));
    // Whoever is known is not made again, however spelt.
    for spelling in ["+6281200000001", "6281200000001", "+62 (812) 0000.0001"] {
        let answer = tenant.post("contacts", &json!({"phone_number": spelling, "name": "Other"})).await;
        answer.refused(409, "contact_already_exists");
    }
    tenant.hears("6281200000001", "hello").await;
    assert_eq!(tenant.conversation_with("6281200000001").await["contact"]["id"], made["id"]);
    assert_eq!(tenant.get("contacts").await.rows().len(), 2);
    // The same number is another contact of another account.
    server.second_account(&tenant).await.post("contacts", &body).await.is(201);
}

#[tokio::test]
async fn a_number_that_wrote_in_first_is_a_contact_already() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let number = from(1);
    tenant.hears(&number, "hello").await;
    let contact = tenant.conversation_with(&number).await["contact"].clone();
    let body = json!({"phone_number": contact["phone_number"], "name": "Other"});
    let refused = async || {
        tenant.post("contacts", &body).await.refused(409, "contact_already_exists");
    };
    assert_eq!(server.statements_of(refused).await, 0, "the contact is known");
    assert_eq!(server.metric("kabar_commit_failures_total").await, 0);
    // Nor does one that shares a commit with the number's next message.
    let (answer, _wamid) = tokio::join!(tenant.post("contacts", &body), tenant.hears(&number, "again"));
    answer.refused(409, "contact_already_exists");
    assert_eq!(tenant.conversation_with(&number).await["contact"], contact);
    assert_eq!(server.metric("kabar_commit_failures_total").await, 0);
}

#[tokio::test]
async fn a_patch_replaces_what_it_names_and_clears_with_null() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let body = json!({"phone_number": "+6281200000001", "name": "Ani", "email": "ani@example.com", "metadata": {"a": 1, "b": 2}});
    let made = tenant.post("contacts", &body).await.is(201).data();
    let path = format!("contacts/{}", text(&made["id"]));
    let named = tenant.patch(&path, &json!({"name": "Budi"})).await.is(200).data();
    assert_eq!(
        (&named["name"], &named["email"], &named["metadata"]),
        (&json!("Budi"), &made["email"], &made["metadata"])
    );
    assert!(text(&named["updated_at"]) > text(&made["updated_at"]));
    let replaced = tenant.patch(&path, &json!({"metadata": {"c": 3}})).await.is(200).data();
    assert_eq!(replaced["metadata"], json!({"c": 3}), "replaced whole");
    let cleared = tenant.patch(&path, &json!({"name": null, "email": null})).await.is(200).data();
    assert_eq!((&cleared["name"], &cleared["email"]), (&Value::Null, &Value::Null));
    let same = tenant.patch(&path, &json!({"name": null})).await.is(200).data();
    assert_eq!(same, cleared, "what changes nothing stamps nothing");
    assert_eq!(tenant.get(&path).await.data(), cleared);
}

#[tokio::test]
async fn a_rename_shows_in_the_conversation_at_once() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    tenant.hears(&from(1), "hello").await;
    let before = tenant.conversation_with(&from(1)).await;
    let list = tenant.get("conversations").await;
    let path = format!("contacts/{}", text(&before["contact"]["id"]));
    tenant.patch(&path, &json!({"name": "Ibu Ani"})).await.is(200);
    tenant.get_if("conversations", &list.etag()).await.is(200);
    let after = tenant.conversation_with(&from(1)).await;
    assert_eq!(after["contact"]["name"], "Ibu Ani");
    assert!(text(&after["updated_at"]) > text(&before["updated_at"]));
    // Metadata does not show there, so it is no change of the conversation.
    tenant.patch(&path, &json!({"metadata": {"a": 1}})).await.is(200);
    assert_eq!(tenant.conversation_with(&from(1)).await, after);
    // WhatsApp's profile name does not overwrite the business's own.
    tenant.hears(&from(1), "again").await;
    assert_eq!(tenant.conversation_with(&from(1)).await["contact"]["name"], "Ibu Ani");
}

#[tokio::test]
async fn contacts_are_found_by_number_and_by_search() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    for (phone, name, email) in [
        ("+6281200000001", "Ani Wijaya", "ani@example.com"),
        ("+6281200000002", "Budi_100%", "budi@example.org"),
        ("+6281200000003", "ÉMILE", "emile@example.org"),
    ] {
        let body = json!({"phone_number": phone, "name": name, "email": email});
        tenant.post("contacts", &body).await.is(201);
    }
    for (query, names) in [
        ("phone=%2B6281200000002", vec!["Budi_100%"]),
        ("phone=6281200000002", vec!["Budi_100%"]),
        ("phone=+6281200000002", vec!["Budi_100%"]),
        ("phone=%2B6281299999999", vec![]),
        ("search=ani", vec!["Ani Wijaya"]),
        ("search=WIJAYA", vec!["Ani Wijaya"]),
        ("search=%C3%A9mile", vec!["ÉMILE"]),
        ("search=example.org", vec!["ÉMILE", "Budi_100%"]),
        ("search=0000003", vec!["ÉMILE"]),
        ("search=%25", vec!["Budi_100%"]),
        ("search=_", vec!["Budi_100%"]),
        ("search=%5C", vec![]),
        ("search='", vec![]),
        ("search=ani&phone=%2B6281200000002", vec![]),
        ("search=i%20w", vec!["Ani Wijaya"]),
        ("search=i+w", vec!["Ani Wijaya"]),
    ] {
        let page = tenant.get(&format!("contacts?{query}")).await;
        assert_eq!(page.column("name"), names, "{query}");
        assert_eq!(tenant.all(&format!("contacts?{query}&limit=1")).await, page.rows(), "{query}");
    }
    for (query, code, param) in [
        ("phone=x", "invalid_phone_number", "phone"),
        ("phone=", "invalid_phone_number", "phone"),
        ("search=", "invalid_field_value", "search"),
        ("search=%00", "invalid_field_value", "search"),
        (&format!("search={}", "x".repeat(201)), "invalid_field_value", "search"),
    ] {
        assert_eq!(
            tenant.get(&format!("contacts?{query}")).await.refused(400, code)["param"],
            param,
            "{query}"
        );
    }
    tenant.get(&format!("contacts?search={}", "%C3%A9".repeat(200))).await.is(200);
}

#[tokio::test]
async fn what_no_contact_can_have_is_refused_by_name() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let known = tenant.post("contacts", &json!({"phone_number": "+6281200000001"})).await.is(201).data();
    let path = format!("contacts/{}", text(&known["id"]));
    let keys = |count: usize| Value::Object((0..count).map(|nth| (format!("k{nth}"), json!(nth))).collect());
    for phone in [
        json!("x"),
        json!(""),
        json!("+0812"),
        json!(6_281_200_000_001_i64),
        json!([]),
        json!("+1234567890123456"),
    ] {
        let error = tenant
            .post("contacts", &json!({"phone_number": phone}))
            .await
            .refused(400, "invalid_phone_number");
        assert_eq!(error["param"], "phone_number", "{phone}");
    }
    let absent = tenant.post("contacts", &json!({"name": "x"})).await.refused(400, "missing_required_field");
    assert_eq!(absent["param"], "phone_number");
    for (key, value) in [
        ("name", json!(1)),
        ("name", json!("x".repeat(100_000))),
        ("email", json!(["x"])),
        ("email", json!("not an address")),
        ("metadata", json!([])),
        ("metadata", json!("x")),
        ("metadata", keys(65)),
        ("metadata", json!({"big": "x".repeat(16 * 1024)})),
        ("name", json!("nul\u{0}")),
        ("metadata", json!({"nul\u{0}": 1})),
    ] {
        let mut body = json!({"phone_number": "+6281200000002"});
        body[key] = value.clone();
        let answer = tenant.post("contacts", &body).await;
        assert_eq!((answer.status, answer.refusal()["type"].as_str()), (400, Some("invalid_request_error")));
        let mut body = json!({});
        body[key] = value;
        let answer = tenant.patch(&path, &body).await;
        assert_eq!((answer.status, answer.refusal()["type"].as_str()), (400, Some("invalid_request_error")));
    }
    assert_eq!(tenant.get("contacts").await.rows(), [known]);
    let full = tenant.patch(&path, &json!({"metadata": keys(64)})).await.is(200).data();
    assert_eq!(full["metadata"].as_object().unwrap().len(), 64);
}

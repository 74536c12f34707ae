//! Every noun comes back as it was written, with all of its optional fields and with none.

use super::full_rows::{full, shown_account};
use super::*;
use crate::domain::inbound::FieldNotice;
use crate::domain::organisation::{ApiKey, Organisation, PriceTier, RateLimits};
use crate::domain::principal::Principal;
use crate::domain::row_version::RowVersion;
use crate::domain::scopes::{KeyScope, KeyScopes};
use crate::ids::ApiKeyId;
use crate::store::{IdempotencyRecord, KeyState};

pub(super) fn organisation(n: u128) -> Organisation {
    Organisation {
        id: OrganisationId::from_bits(n),
        name: text("Toko \"Maju\" \\ 😀"),
        tier: PriceTier::Enterprise,
        limits: RateLimits { write_per_minute: u32::MAX, read_per_minute: 7 },
        sandbox: true,
        suspended: false,
        created_at: at(1),
        row_version: RowVersion::FIRST,
    }
}

fn api_key(n: u8) -> ApiKey {
    ApiKey {
        id: ApiKeyId::from_bits(n.into()),
        organisation_id: OrganisationId::from_bits(1),
        label: text("ci"),
        last4: text("abcd"),
        digest: [n; 32],
        scopes: if n == 1 { KeyScopes::NONE.with(KeyScope::Plugins) } else { KeyScopes::ALL },
        expires_at: (n == 1).then(|| at(77)),
        created_at: at(2),
        created_by: Principal::OPERATOR,
    }
}

#[tokio::test]
async fn the_directory_holds_what_was_put_in() {
    let (store, guard) = store().await;
    let mut org = organisation(1);
    store.insert_organisation(&org).await.unwrap();
    store.insert_organisation(&organisation(2)).await.unwrap();
    org.suspended = true;
    org.tier = PriceTier::Free;
    let org = store.update_organisation(org).await.unwrap().unwrap();
    for n in 1..=3 {
        store.insert_api_key(&api_key(n)).await.unwrap();
    }
    assert!(store.revoke_api_key(ApiKeyId::from_bits(3), at(9)).await.unwrap());
    assert!(!store.revoke_api_key(ApiKeyId::from_bits(3), at(9)).await.unwrap());
    assert!(!store.revoke_api_key(ApiKeyId::from_bits(4), at(9)).await.unwrap());
    let nameless = User { id: UserId::from_bits(ulid(2, 2)), email: None, ..user() };
    store.insert_user(&user()).await.unwrap();
    store.insert_user(&nameless).await.unwrap();

    let bare = Account { name: None, app_secret: None, sandbox: false, ..account(2) };
    let mut accounts = Vec::new();
    for given in [account(1), bare.clone()] {
        let InsertedAccount::Inserted(account) = store.insert_account(given.clone()).await.unwrap() else {
            panic!("connected already");
        };
        assert_eq!(Account { number: -1, ..account.clone() }, given);
        accounts.push(account);
    }
    assert_ne!(accounts[0].number, accounts[1].number);
    let taken = Account { id: AccountId::from_bits(99), ..bare };
    assert_eq!(store.insert_account(taken).await.unwrap(), InsertedAccount::AlreadyConnected);
    assert!(matches!(store.insert_user(&user()).await, Err(StoreError::Refused(_))));

    for store in [store, guard.open().await] {
        let rows = store.directory().await.unwrap();
        assert_eq!(rows.organisations, [org.clone(), organisation(2)]);
        assert_eq!(rows.api_keys, [api_key(1), api_key(2)]);
        assert_eq!(rows.users, [user(), nameless.clone()]);
        assert_eq!(rows.accounts, accounts);
    }
}

#[tokio::test]
async fn rows_of_an_account_come_back_from_this_and_the_next_process() {
    let (store, guard) = store().await;
    store.insert_user(&user()).await.unwrap();
    let mut owner = Owner::of(&store, 1).await;
    let (bare_contact, bare_thread, bare_message) = thread(&store, &mut owner, 1).await;
    let (contact, thread, message) = full();
    let writes = Writes::default().contact(&contact).conversation(&thread).message(&message);
    store.commit(owner.cycle(writes.0)).await.unwrap();
    let number = owner.number;

    for store in [store, guard.open().await] {
        for (contact, thread, message) in
            [(&contact, &thread, &message), (&bare_contact, &bare_thread, &bare_message)]
        {
            assert_eq!(store.find_contact(number, contact.id).await.unwrap().as_deref(), Some(contact));
            assert_eq!(store.find_conversation(number, thread.id).await.unwrap().as_deref(), Some(thread));
            assert_eq!(store.find_message(number, message.id).await.unwrap().as_deref(), Some(message));
            assert_eq!(store.find_contact(number + 1, contact.id).await.unwrap(), None);
            assert_eq!(store.find_conversation(number + 1, thread.id).await.unwrap(), None);
            assert_eq!(store.find_message(number + 1, message.id).await.unwrap(), None);
        }
    }
}

#[tokio::test]
async fn rows_change_in_place() {
    let (store, _guard) = store().await;
    store.insert_user(&user()).await.unwrap();
    let mut owner = Owner::of(&store, 1).await;
    let (contact, thread, message) = full();
    let writes = Writes::default().contact(&contact).conversation(&thread).message(&message);
    store.commit(owner.cycle(writes.0)).await.unwrap();

    // Everything that may be cleared is cleared.
    let contact = Contact {
        identity: Arc::default(),
        name: None,
        name_origin: NameOrigin::Profile,
        email: None,
        metadata: text("{}"),
        marketing_opted_out_at: None,
        merged_into: Some(super::contact(3).id),
        updated_at: at(50),
        ..contact
    };
    let thread = Conversation {
        contact: ContactRef::from(&contact),
        assignee: None,
        unread_count: 0,
        number_named_at: None,
        merged_into: Some(super::conversation(3, &contact).id),
        status: ConversationStatus::Pending,
        updated_at: at(50),
        ..thread
    };
    let mut message = Message {
        status: MessageStatus::Read,
        kind: MessageKind::Text,
        conversation_id: ConversationId::from_bits(7),
        contact_id: ContactId::from_bits(8),
        content: text("edited"),
        payload: text("{}"),
        context: None,
        details: MessageDetails::default(),
        error: None,
        next_attempt_at: None,
        updated_at: at(50),
        ..message
    };
    message.history.keep_reported(MessageStatus::Read, at(49));
    let writes = Writes::default().contact(&contact).conversation(&thread).message(&message);
    store.commit(owner.cycle(writes.0)).await.unwrap();
    assert_eq!(store.find_contact(owner.number, contact.id).await.unwrap().as_deref(), Some(&contact));
    assert_eq!(store.find_conversation(owner.number, thread.id).await.unwrap().as_deref(), Some(&thread));
    assert_eq!(store.find_message(owner.number, message.id).await.unwrap().as_deref(), Some(&message));
}

#[tokio::test]
async fn events_tell_what_was_at_their_time() {
    let (store, _guard) = store().await;
    store.insert_user(&user()).await.unwrap();
    let mut owner = Owner::of(&store, 1).await;
    let (contact, thread, message) = full();
    let kinds = vec![
        EventKind::ContactCreated(contact.clone()),
        EventKind::ContactUpdated(contact.clone()),
        EventKind::ConversationCreated(thread.clone()),
        EventKind::ConversationAssigned(thread.clone()),
        EventKind::ConversationClosed(thread.clone()),
        EventKind::ConversationUpdated(Conversation { assignee: None, ..thread }),
        EventKind::MessageReceived(message.clone()),
        EventKind::MessageCreated(message.clone()),
        EventKind::MessageSent(message.clone()),
        EventKind::MessageStatus {
            message: message.clone(),
            previous: MessageStatus::Sent,
            occurred_at: at(33),
        },
        EventKind::MessageEdited { message: message.clone(), previous_content: text("be\"fore") },
        EventKind::MessageRevoked(message.clone()),
        EventKind::MessageStatusReported { message, status: MessageStatus::Played, occurred_at: at(34) },
        EventKind::ConversationMerged(super::conversation(4, &contact)),
        EventKind::ContactIdentityUpdated {
            contact: contact.clone(),
            added: contact.identity.identifiers(),
            merged: Some(ContactId::from_bits(9)),
        },
        EventKind::ContactIdentityUpdated { contact: contact.clone(), added: Vec::new(), merged: None },
        EventKind::AccountUpdated(Arc::new(shown_account())),
        EventKind::TemplateCreated(Arc::new(super::templates::full_template())),
        EventKind::TemplateUpdated(Arc::new(super::templates::template(2, "promo", "en", "PENDING"))),
        EventKind::TemplateDeleted {
            id: super::templates::full_template().id,
            key: super::templates::full_template().key,
        },
        EventKind::WhatsAppField(FieldNotice { field: text("calls"), value: text(r#"{"a":["\u0000"]}"#) }),
    ];
    let commit = owner.cycle(AccountChanges { events: kinds, ..AccountChanges::default() });
    let written = commit.events.clone();
    store.commit(commit).await.unwrap();
    // The subject moves on; its events do not.
    let renamed = Contact { name: Some(text("Other")), ..contact };
    store.commit(owner.cycle(Writes::default().contact(&renamed).0)).await.unwrap();

    assert_eq!(store.events_after(owner.number, 0, 100).await.unwrap(), written);
    assert_eq!(store.events_after(owner.number, 4, 2).await.unwrap(), written[4..6]);
    assert_eq!(store.events_after(owner.number + 1, 0, 100).await.unwrap(), []);
}

fn record(key: &str, status: u16, ms: i64) -> IdempotencyRecord {
    IdempotencyRecord {
        organisation_id: OrganisationId::from_bits(1),
        key: text(key),
        fingerprint: [7; 32],
        status,
        body: r#"{"data":{"content":"\u0000"}}"#.into(),
        created_at: at(ms),
        claimed_by: None,
        contact_id: None,
    }
}

#[tokio::test]
async fn idempotency_records_are_found_while_they_are_in_force() {
    let (store, _guard) = store().await;
    let mut owner = Owner::of(&store, 1).await;
    let (with_commit, alone) = (record("a", 200, 10), record("b", 404, 10));
    let mut commit = owner.cycle(AccountChanges::default());
    commit.records.push(with_commit.clone());
    store.commit(commit).await.unwrap();
    store.insert_idempotency_record(alone.clone()).await.unwrap();

    let org = OrganisationId::from_bits(1);
    let find = |org, key: &'static str, ms| {
        let store = store.clone();
        async move { store.idempotency_key(org, key, at(ms)).await.unwrap() }
    };
    assert_eq!(find(org, "a", 10).await, KeyState::Answered(with_commit));
    assert_eq!(find(org, "b", 0).await, KeyState::Answered(alone));
    assert_eq!(find(org, "a", 11).await, KeyState::Free);
    assert_eq!(find(org, "c", 0).await, KeyState::Free);
    assert_eq!(find(OrganisationId::from_bits(2), "a", 0).await, KeyState::Free);
}

#[tokio::test]
async fn an_answer_that_is_kept_is_never_overwritten_and_neither_is_its_write_repeated() {
    let (store, _guard) = store().await;
    let mut owner = Owner::of(&store, 1).await;
    let org = OrganisationId::from_bits(1);
    let first = record("a", 200, 10);
    store.insert_idempotency_record(first.clone()).await.unwrap();
    let kept = i64::try_from(IdempotencyRecord::KEPT.as_millis()).unwrap();
    let again = store.insert_idempotency_record(record("a", 422, 10 + kept)).await;
    assert!(matches!(again, Err(StoreError::Refused(_))), "{again:?}");
    // A commit under the same key leaves nothing behind, its neighbour's does.
    let mut refused = owner.cycle(Writes::default().contact(&contact(1)).0);
    refused.records.push(record("a", 200, 11));
    let result = store.commit(refused).await;
    assert!(matches!(result, Err(StoreError::Refused(_))), "{result:?}");
    assert_eq!(store.find_contact(owner.number, contact(1).id).await.unwrap(), None);
    assert_eq!(store.idempotency_key(org, "a", at(0)).await.unwrap(), KeyState::Answered(first));
    // A key that was used long ago is free again.
    let late = record("a", 422, 11 + kept);
    store.insert_idempotency_record(late.clone()).await.unwrap();
    assert_eq!(store.idempotency_key(org, "a", at(11)).await.unwrap(), KeyState::Answered(late));
}

#[tokio::test]
async fn secrets_are_random_and_stay() {
    let (first, guard) = store().await;
    let (other, _other) = store().await;
    let key = first.secrets().cursor_key;
    assert_ne!(key, [0; 32]);
    assert_ne!(key, other.secrets().cursor_key);
    first.close().await;
    assert_eq!(guard.open().await.secrets().cursor_key, key);
    assert_eq!(format!("{:?}", first.secrets()), "ServerSecrets");
}

#[tokio::test]
async fn a_nul_becomes_a_replacement_character() {
    let (store, _guard) = store().await;
    let mut owner = Owner::of(&store, 1).await;
    let named = |name| Contact { name: Some(text(name)), ..contact(1) };
    store.commit(owner.cycle(Writes::default().contact(&named("a\0b")).0)).await.unwrap();
    let kept = store.find_contact(owner.number, contact(1).id).await.unwrap();
    assert_eq!(kept.as_deref(), Some(&named("a\u{fffd}b")));
}

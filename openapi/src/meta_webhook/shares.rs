//! Division of a webhook among accounts.
//!
//! Invariants: a secret of one account vouches for that account's items only; the server's vouches for all.
//! The items of one account keep their order. No description holds a telephone number.

use std::collections::BTreeMap;
use std::sync::Arc;

use kabar_actors::AccountEntry;
use kabar_core::domain::account::{Account, AccountProfile, AccountStatus, Secret};
use kabar_core::domain::inbound::{AccountNotice, InboundFact, InboundItem, InboundMessage};
use kabar_core::domain::message_details::MessageSource;
use kabar_core::meta::translate::{AccountGroup, ItemTarget};

/// An account that takes items, as it is now.
#[derive(Clone)]
pub(super) struct ItemTaker<S = Arc<AccountEntry>> {
    /// The account's row.
    pub(super) account: Arc<Account>,
    /// The way to the account.
    pub(super) slot: S,
}

/// A group of items, with the accounts that take them.
pub(super) struct ClaimedGroup<S = Arc<AccountEntry>> {
    /// Accounts that take the items.
    pub(super) takers: Vec<ItemTaker<S>>,
    /// The items.
    pub(super) group: AccountGroup,
}

/// Items of a webhook for one account.
pub(super) struct AccountShare<S = Arc<AccountEntry>> {
    /// The account.
    pub(super) slot: S,
    /// In the order of the webhook.
    pub(super) items: Vec<InboundItem>,
}

/// Secret that signed a webhook. It is found once: the server's secrets may change while a webhook is taken in.
pub(super) enum WebhookSigner {
    /// One of the server's.
    Server,
    /// One of an account.
    Account(Secret),
}

/// Returns `true` when an account takes items of a webhook with this signer.
pub(super) fn is_vouched_for(account: &Account, signer: &WebhookSigner) -> bool {
    let vouched = match signer {
        WebhookSigner::Server => true,
        WebhookSigner::Account(secret) => account.app_secret.as_ref() == Some(secret),
    };
    vouched && account.status != AccountStatus::Disconnected
}

/// Returns `true` when an account of this name takes one of the groups.
pub(super) fn has_taker<S>(claimed: &[ClaimedGroup<S>], phone_number_id: &str) -> bool {
    let is_it = |taker: &ItemTaker<S>| taker.account.phone_number_id.as_str() == phone_number_id;
    claimed.iter().any(|one| one.takers.iter().any(is_it))
}

/// Adds to the groups of a WhatsApp Business Account the accounts of which the same webhook says that they belong to
/// it.
pub(super) fn add_taught_takers<S: Clone>(claimed: &mut [ClaimedGroup<S>]) {
    let mut taught = Vec::new();
    for ClaimedGroup { takers, group } in &*claimed {
        let waba_id = group.waba_id.iter();
        taught.extend(waba_id.flat_map(|id| takers.iter().map(|taker| (id.clone(), taker.clone()))));
    }
    for ClaimedGroup { takers, group } in claimed {
        let ItemTarget::Waba(id) = &group.target else { continue };
        for (_, taker) in taught.iter().filter(|(taught, _)| taught == id) {
            if !takers.iter().any(|known| known.account.number == taker.account.number) {
                takers.push(taker.clone());
            }
        }
    }
}

/// Divides groups among their takers, one share for each account.
pub(super) fn divide_groups<S>(claimed: Vec<ClaimedGroup<S>>) -> Vec<AccountShare<S>> {
    let mut shares: BTreeMap<i64, AccountShare<S>> = BTreeMap::new();
    for ClaimedGroup { mut takers, group } in claimed {
        let Some(last) = takers.pop() else { continue };
        let AccountGroup { waba_id, items, .. } = group;
        let mut give = |ItemTaker { account, slot }: ItemTaker<S>, items: Vec<InboundItem>| {
            let own = &account.profile.waba_id;
            let news = waba_id.as_ref().filter(|told| own.as_ref() != Some(*told)).cloned();
            let share = shares.entry(account.number);
            let share = share.or_insert_with(|| AccountShare { slot, items: Vec::new() });
            share.items.extend(news.map(tell_waba));
            share.items.extend(items);
        };
        for taker in takers {
            give(taker, items.clone());
        }
        give(last, items);
    }
    shares.into_values().collect()
}

/// Creates the item that tells an account its WhatsApp Business Account.
fn tell_waba(id: Arc<str>) -> InboundItem {
    let profile = AccountProfile { waba_id: Some(id), ..AccountProfile::default() };
    let notice = AccountNotice { profile, ..AccountNotice::default() };
    InboundItem { fact: InboundFact::Account(notice), raw: None }
}

/// Returns the field of the webhook that an item came in; `None` for an item that only accompanies another.
pub(super) fn field_of(item: &InboundItem) -> Option<&str> {
    match &item.fact {
        InboundFact::Field(notice) => Some(&notice.field),
        InboundFact::Message(message) => Some(message_field(message)),
        InboundFact::Call(_) => Some("calls"),
        InboundFact::Edit(_) | InboundFact::Revoke(_) | InboundFact::Status(_) | InboundFact::RawOnly => {
            Some("messages")
        }
        // The value that states it is an item of its own, or is counted with the messages beside it.
        InboundFact::Person(_)
        | InboundFact::Preference(_)
        | InboundFact::Account(_)
        | InboundFact::Template(_) => None,
    }
}

const fn message_field(message: &InboundMessage) -> &'static str {
    if message.standby {
        return "standby";
    }
    match message.source {
        MessageSource::History => "history",
        MessageSource::App => "smb_message_echoes",
        MessageSource::Inbound | MessageSource::Api | MessageSource::Agent | MessageSource::Hook => {
            "messages"
        }
    }
}

/// Describes a target for logs.
pub(super) fn describe_target(target: Option<&ItemTarget>) -> String {
    match target {
        None => "unknown".to_owned(),
        Some(ItemTarget::Number(id)) => format!("phone_number_id {id}"),
        Some(ItemTarget::Phone(_)) => "a phone number".to_owned(),
        Some(ItemTarget::Waba(id)) => format!("waba_id {id}"),
    }
}

#[cfg(test)]
mod tests {
    use kabar_core::domain::account::PhoneNumberId;
    use kabar_core::domain::inbound::FieldNotice;
    use kabar_core::domain::phone::Phone;

    use super::*;
    use crate::spec::example_rows;

    fn account(number: i64, waba_id: Option<&str>) -> ItemTaker<i64> {
        let mut account = example_rows::example_account();
        account.number = number;
        account.phone_number_id = PhoneNumberId::parse(&format!("10000{number}")).unwrap();
        account.profile.waba_id = waba_id.map(Into::into);
        ItemTaker { account: Arc::new(account), slot: number }
    }

    fn field(name: &str) -> InboundItem {
        let notice = FieldNotice { field: name.into(), value: "{}".into() };
        InboundItem { fact: InboundFact::Field(notice), raw: None }
    }

    fn group(waba_id: Option<&str>, names: &[&str]) -> AccountGroup {
        AccountGroup {
            target: ItemTarget::Waba("77".into()),
            waba_id: waba_id.map(Into::into),
            items: names.iter().map(|name| field(name)).collect(),
        }
    }

    fn names<S>(share: &AccountShare<S>) -> Vec<&str> {
        share.items.iter().map(|item| field_of(item).unwrap_or("-")).collect()
    }

    #[test]
    fn items_of_one_account_come_together_in_order() {
        let (first, second) = (account(1, None), account(2, None));
        let claimed = vec![
            ClaimedGroup { takers: vec![first, second.clone()], group: group(None, &["a", "b"]) },
            ClaimedGroup { takers: Vec::new(), group: group(None, &["c"]) },
            ClaimedGroup { takers: vec![second], group: group(None, &["d"]) },
        ];
        assert!(
            has_taker(&claimed, "100001") && has_taker(&claimed, "100002") && !has_taker(&claimed, "100003")
        );
        let shares = divide_groups(claimed);
        assert_eq!(shares.iter().map(names).collect::<Vec<_>>(), [vec!["a", "b"], vec!["a", "b", "d"]]);
        assert_eq!(shares.iter().map(|share| share.slot).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn an_account_learns_its_waba_before_anything_else() {
        for (known, told, learns) in [
            (None, Some("77"), true),
            (Some("76"), Some("77"), true),
            (Some("77"), Some("77"), false),
            (Some("77"), None, false),
        ] {
            let takers = vec![account(1, known)];
            let shares = divide_groups(vec![ClaimedGroup { takers, group: group(told, &["a"]) }]);
            let expected: &[&str] = if learns { &["-", "a"] } else { &["a"] };
            assert_eq!(names(&shares[0]), expected, "{known:?} {told:?}");
            if learns {
                let InboundFact::Account(notice) = &shares[0].items[0].fact else { panic!() };
                assert_eq!(notice.profile.waba_id.as_deref(), told);
            }
        }
    }

    #[test]
    fn a_webhook_teaches_its_own_groups() {
        let number = |taker: ItemTaker<i64>, waba_id| ClaimedGroup {
            takers: vec![taker],
            group: AccountGroup {
                target: ItemTarget::Number(PhoneNumberId::parse("100001").unwrap()),
                ..group(waba_id, &["a"])
            },
        };
        let of_waba = |takers| ClaimedGroup { takers, group: group(None, &["b"]) };
        for (known, told, takers) in
            [(vec![], Some("77"), 1), (vec![account(1, Some("77"))], Some("77"), 1), (vec![], Some("78"), 0)]
        {
            let mut claimed = vec![of_waba(known), number(account(1, None), told)];
            add_taught_takers(&mut claimed);
            assert_eq!((claimed[0].takers.len(), claimed[1].takers.len()), (takers, 1), "{told:?}");
        }
    }

    #[test]
    fn a_secret_vouches_for_its_own_account() {
        let [own, other] = ["own", "other"].map(|text| WebhookSigner::Account(Secret::new(text)));
        let server = WebhookSigner::Server;
        let mut account = example_rows::example_account();
        account.app_secret = Some(Secret::new("own"));
        let vouched = is_vouched_for;
        assert!(vouched(&account, &server) && vouched(&account, &own) && !vouched(&account, &other));
        account.status = AccountStatus::Degraded;
        assert!(vouched(&account, &own));
        account.status = AccountStatus::Disconnected;
        assert!(!vouched(&account, &server) && !vouched(&account, &own));
        account.status = AccountStatus::Connected;
        account.app_secret = None;
        assert!(!vouched(&account, &other));
    }

    #[test]
    fn no_description_holds_a_number() {
        let phone = ItemTarget::Phone(Phone::parse("+447700900123").unwrap());
        assert!(!describe_target(Some(&phone)).contains("7700"));
        assert_eq!(describe_target(Some(&ItemTarget::Waba("77".into()))), "waba_id 77");
    }
}

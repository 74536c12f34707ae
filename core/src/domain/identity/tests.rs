//! Tests of identities.

use proptest::prelude::*;

use super::*;

fn phone(text: &str) -> Phone {
    Phone::parse(text).unwrap()
}

fn user(text: &str) -> UserId {
    UserId::parse(text).unwrap()
}

const fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

fn shown(identity: &Identity) -> Vec<String> {
    identity
        .identifiers()
        .iter()
        .map(|one| {
            let (kind, value) = one.type_and_value();
            format!("{kind} {value}")
        })
        .collect()
}

#[test]
fn ids_are_told_apart_by_their_form() {
    assert!(user("ID.1").as_str() == "ID.1" && !user("ID.1").is_parent());
    assert!(user("US.ENT.9").is_parent());
    let long = format!("BR.{}", "x".repeat(129));
    for text in ["", "ID", "ID.", "id.1", "I.1", "ID.a b", "6281200000001", long.as_str()] {
        assert_eq!(UserId::parse(text), None, "{text}");
    }
    let mut party = Party::of_user_id(user("US.ENT.9"));
    party.state_user_id(user("US.9"));
    assert_eq!(party.keys(), [IdentifierKey::User(user("US.9")), IdentifierKey::Parent(user("US.ENT.9"))]);
    assert!(GroupId::parse("Y2FwaV9ncm91cDox").is_some() && GroupId::parse("a b").is_none());
}

#[test]
fn a_number_and_its_form_at_whatsapp_are_one() {
    let pair = Party { wa_id: Some(phone("+554198765432")), ..Party::of_phone(phone("+5541998765432")) };
    // In any order of what names the one, the other, or both.
    for parts in [
        vec![pair.clone()],
        vec![Party::of_phone(phone("+554198765432")), pair.clone()],
        vec![Party::of_phone(phone("+5541998765432")), pair.clone(), Party::of_phone(phone("+554198765432"))],
        vec![Party::of_phone(phone("+5541998765432")), Party::of_phone(phone("+554198765432")), pair.clone()],
    ] {
        let mut identity = Identity::default();
        for (place, part) in parts.iter().enumerate() {
            identity.learn_party(part, at(i64::try_from(place).unwrap()));
        }
        assert_eq!(shown(&identity), ["phone_number +5541998765432", "wa_id 554198765432"]);
        assert!(!identity.learn_party(&pair, at(9)), "nothing is new");
    }
    let mut same = Identity::default();
    same.learn_party(&Party { wa_id: Some(phone("+6281200000001")), ..Party::default() }, at(1));
    assert_eq!(shown(&same), ["phone_number +6281200000001"]);
}

#[test]
fn the_newest_user_id_is_current_and_a_late_item_does_not_set_it_back() {
    let mut identity = Identity::default();
    identity.learn_party(&Party::of_user_id(user("ID.1")), at(1));
    let replaced = identity.replace_party(&Party::of_user_id(user("ID.2")), at(5));
    assert!(replaced && identity.user_id() == Some(&user("ID.2")));
    assert!(!identity.learn_party(&Party::of_user_id(user("ID.1")), at(9)), "a late item");
    assert_eq!(identity.user_id(), Some(&user("ID.2")));
    assert!(
        identity.learn_party(&Party::of_user_id(user("ID.0")), at(0)),
        "an older one is known from now on"
    );
    assert_eq!(identity.user_id(), Some(&user("ID.2")));
    // WhatsApp says that the first one is back.
    assert!(identity.replace_party(&Party::of_user_id(user("ID.1")), at(5)));
    assert_eq!(identity.user_id(), Some(&user("ID.1")));
}

#[test]
fn another_user_id_contradicts_unless_the_portfolio_id_agrees() {
    let mut identity = Identity::default();
    assert!(!identity.contradicts(&Party::of_user_id(user("ID.1"))));
    identity.learn_party(&Party::of_user_id(user("ID.1")), at(1));
    assert!(identity.contradicts(&Party::of_user_id(user("ID.2"))));
    assert!(!identity.contradicts(&Party::of_phone(phone("+6281200000001"))));
    let both = |one: &str| {
        let mut party = Party::of_user_id(user(one));
        party.state_user_id(user("ID.ENT.7"));
        party
    };
    assert!(identity.contradicts(&both("ID.2")), "no portfolio id is known");
    identity.learn_party(&both("ID.1"), at(2));
    assert!(!identity.contradicts(&both("ID.2")));
}

proptest! {
    /// The identifiers known in the end do not depend on the order of the items that taught them; which number is
    /// current does.
    #[test]
    fn learning_commutes(order in Just(vec![0_usize, 1, 2, 3, 4]).prop_shuffle()) {
        let parties = [
            Party::of_phone(phone("+5541998765432")),
            Party { wa_id: Some(phone("+554198765432")), ..Party::of_user_id(user("BR.1")) },
            Party { wa_id: Some(phone("+554198765432")), ..Party::of_phone(phone("+5541998765432")) },
            Party::of_user_id(user("BR.ENT.1")),
            Party { username: Some("ana".into()), ..Party::of_user_id(user("BR.1")) },
        ];
        let mut identity = Identity::default();
        for place in order {
            identity.learn_party(&parties[place], at(7));
        }
        prop_assert_eq!(shown(&identity), [
            "phone_number +5541998765432", "wa_id 554198765432", "user_id BR.1", "parent_user_id BR.ENT.1",
        ]);
        prop_assert_eq!(identity.username.map(|known| known.text.to_string()), Some("ana".to_owned()));
    }
}

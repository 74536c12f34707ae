//! Simulated customers: names, identifiers, and numbers that are reserved for fiction.
//!
//! Invariants: the same seed gives the same customers; an identifier follows from the number alone, so that
//! another start never gives a number to another person. No number here can belong to a real person: the British
//! regulator, Ofcom, reserves the range +44 7700 900000 to 900999 for drama, and Brazil has no area code 20.

use kabar_core::domain::address::Address;
use kabar_core::domain::identity::{GroupId, UserId};
use kabar_core::domain::phone::Phone;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};

use super::seeded_random::hash_of;
use super::whatsapp_ids;

/// Number of different customers that write unprompted.
const CROWD: usize = 60;
/// One in so many of a varied crowd has no number that the business sees.
const NUMBERLESS: usize = 6;
/// One in so many of a varied crowd has a username.
const USERNAMES: usize = 3;
/// One in so many of a varied crowd has a number that WhatsApp writes in another form.
const NATIONAL_FORMS: usize = 10;

const FIRST: [&str; 24] = [
    "Ayu", "Bima", "Citra", "Dewi", "Eko", "Farah", "Gita", "Hana", "Indra", "Jonas", "Kirana", "Lucía",
    "Maya", "Nadia", "Oscar", "Putri", "Quinn", "Rafi", "Sari", "Tomás", "Umi", "Vera", "Wayan", "Zoë",
];
const LAST: [&str; 16] = [
    "Adler",
    "Basri",
    "Castillo",
    "Duarte",
    "Effendi",
    "Fischer",
    "Gunawan",
    "Hartono",
    "Iskandar",
    "Jansen",
    "Kusuma",
    "Lindqvist",
    "Moreau",
    "Nugroho",
    "Okafor",
    "Prakoso",
];

/// A simulated customer, as WhatsApp names them to a business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SimulatedCustomer {
    pub(super) name: String,
    /// WhatsApp's form of the number; `None` when WhatsApp does not name it.
    pub(super) wa_id: Option<Phone>,
    /// Id for the business; `None` when WhatsApp does not name it.
    pub(super) user_id: Option<UserId>,
    pub(super) username: Option<String>,
    /// Group that the customer writes in.
    pub(super) group: Option<GroupId>,
}

impl SimulatedCustomer {
    /// The owner of this number.
    pub(super) fn of_phone(seed: u64, phone: &Phone) -> Self {
        Self {
            name: name_of(seed, phone.as_digits()),
            user_id: whatsapp_ids::user_id_of(phone),
            wa_id: Some(whatsapp_ids::national_form(phone)),
            username: None,
            group: None,
        }
    }

    /// The customer that a send to this address reaches; of a group, one participant.
    pub(super) fn of_address(seed: u64, address: &Address) -> Option<Self> {
        match address {
            Address::Phone(phone) => Some(Self::of_phone(seed, phone)),
            Address::User(id) => Some(Self {
                name: name_of(seed, id.as_str()),
                wa_id: None,
                user_id: Some(id.clone()),
                username: None,
                group: None,
            }),
            Address::Group(group) => {
                let place = hash_of(group.as_str()) % 1000;
                let participant = Phone::parse(&format!("447700900{place:03}"))?;
                Some(Self { group: Some(group.clone()), ..Self::of_phone(seed, &participant) })
            }
            Address::Unknown => None,
        }
    }

    /// Address that answers are sent to.
    pub(super) fn address(&self) -> Address {
        let group = self.group.clone().map(Address::Group);
        let number = || self.wa_id.clone().map(Address::Phone);
        group.or_else(number).or_else(|| self.user_id.clone().map(Address::User)).unwrap_or(Address::Unknown)
    }
}

/// Builds the customers of this seed. In a `varied` crowd some have usernames, some of these no number, and some
/// a number that WhatsApp writes in another form.
pub(super) fn gather_customers(seed: u64, varied: bool) -> Vec<SimulatedCustomer> {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut numbers: Vec<u32> = (0..1000).collect();
    let (chosen, _) = numbers.partial_shuffle(&mut dice, CROWD);
    let customer = |(nth, number): (usize, &u32)| {
        let national = varied && nth % NATIONAL_FORMS == 1;
        let digits =
            if national { format!("5520900000{number:03}") } else { format!("447700900{number:03}") };
        let phone = Phone::parse(&digits)?;
        let mut customer = SimulatedCustomer::of_phone(seed, &phone);
        if varied && nth % USERNAMES == 0 {
            customer.username = Some(username_of(&customer.name, *number));
        }
        if varied && nth % NUMBERLESS == 0 {
            customer.wa_id = None;
        }
        Some(customer)
    };
    chosen.iter().enumerate().filter_map(customer).collect()
}

/// Returns the name of the owner of this identifier; the same at every call.
pub(super) fn name_of(seed: u64, identifier: &str) -> String {
    let mut dice = StdRng::seed_from_u64(hash_of((seed, identifier)));
    format!("{} {}", pick_one(&FIRST, &mut dice), pick_one(&LAST, &mut dice))
}

fn username_of(name: &str, number: u32) -> String {
    let letters = name.chars().filter(char::is_ascii_alphabetic).map(|letter| letter.to_ascii_lowercase());
    format!("{}.{number}", letters.collect::<String>())
}

pub(super) fn pick_one(from: &[&'static str], dice: &mut impl Rng) -> &'static str {
    from.choose(dice).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_crowd() {
        let crowd = gather_customers(7, false);
        assert_eq!(crowd, gather_customers(7, false));
        assert_ne!(crowd, gather_customers(8, false));
        let numbers: std::collections::BTreeSet<_> =
            crowd.iter().filter_map(|customer| customer.wa_id.as_ref()).collect();
        assert_eq!(numbers.len(), CROWD);
        assert!(numbers.iter().all(|number| number.as_digits().starts_with("447700900")));
    }

    #[test]
    fn a_varied_crowd_is_named_in_every_way() {
        let crowd = gather_customers(7, true);
        let count = |wanted: fn(&SimulatedCustomer) -> bool| crowd.iter().filter(|one| wanted(one)).count();
        assert_eq!(count(|one| one.user_id.is_some()), CROWD);
        assert_eq!(count(|one| one.username.is_some()), CROWD / USERNAMES);
        assert_eq!(count(|one| one.wa_id.is_none()), CROWD / NUMBERLESS);
        // A Brazilian number has 13 digits, and WhatsApp's form of it 12.
        let brazilian = |one: &SimulatedCustomer| {
            one.wa_id.as_ref().is_some_and(|number| number.as_digits().starts_with("55"))
        };
        assert!(crowd.iter().any(|one| brazilian(one) && one.address().as_str().len() == 13));
    }

    #[test]
    fn an_identifier_follows_from_the_number_alone() {
        let phone = Phone::parse("+447700900123").unwrap();
        let (one, other) = (SimulatedCustomer::of_phone(1, &phone), SimulatedCustomer::of_phone(2, &phone));
        assert_eq!((one.user_id, one.wa_id), (other.user_id, other.wa_id));
    }
}

//! Simulated customers: names, and numbers that are reserved for fiction.
//!
//! Invariants: the same seed gives the same customers; no number here can belong to a real person (the
//! British regulator, Ofcom, reserves the range +44 7700 900000 to 900999 for drama).

use kabar_core::domain::phone::Phone;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};

use super::seeded_random::hash_of;

/// Number of different customers that write unprompted.
const CROWD: usize = 60;

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

/// A simulated customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SimulatedCustomer {
    pub(super) phone: Phone,
    pub(super) name: String,
}

/// Builds the customers of this seed.
pub(super) fn gather_customers(seed: u64) -> Vec<SimulatedCustomer> {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut numbers: Vec<u32> = (0..1000).collect();
    let (chosen, _) = numbers.partial_shuffle(&mut dice, CROWD);
    chosen
        .iter()
        .filter_map(|number| Phone::parse(&format!("447700900{number:03}")))
        .map(|phone| SimulatedCustomer { name: name_of(seed, &phone), phone })
        .collect()
}

/// Returns the name of the owner of this number; the same at every call.
pub(super) fn name_of(seed: u64, phone: &Phone) -> String {
    let mut dice = StdRng::seed_from_u64(hash_of((seed, phone.as_digits())));
    format!("{} {}", pick_one(&FIRST, &mut dice), pick_one(&LAST, &mut dice))
}

pub(super) fn pick_one(from: &[&'static str], dice: &mut impl Rng) -> &'static str {
    from.choose(dice).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_crowd() {
        let crowd = gather_customers(7);
        assert_eq!(crowd, gather_customers(7));
        assert_ne!(crowd, gather_customers(8));
        let numbers: std::collections::BTreeSet<_> = crowd.iter().map(|customer| &customer.phone).collect();
        assert_eq!(numbers.len(), CROWD);
        assert!(crowd.iter().all(|customer| customer.phone.as_digits().starts_with("447700900")));
    }
}

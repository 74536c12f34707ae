//! Random numbers, derived from the seed.
//!
//! Invariant: the fate of a customer's nth call, and of the nth message that they write, follows from the
//! seed, the customer and n, independent of other customers. Customers beyond the first 100 000 get the same
//! random numbers each time.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use kabar_core::domain::address::Address;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

use super::whatsapp_ids::bare_text;

const CUSTOMERS_MAX: usize = 100_000;

/// Purpose of random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum RandomPurpose {
    /// A send to the customer.
    Call,
    /// A message of the customer.
    Line,
}

/// Source of seeded generators.
#[derive(Debug)]
pub(super) struct SeededRandom {
    seed: u64,
    thrown: HashMap<(RandomPurpose, Address), u64>,
}

impl SeededRandom {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, thrown: HashMap::new() }
    }

    /// Returns a new generator for this customer.
    pub(super) fn next_rng(&mut self, occasion: RandomPurpose, customer: &Address) -> StdRng {
        let mut nth = 0;
        let key = (occasion, customer.clone());
        if self.thrown.len() < CUSTOMERS_MAX || self.thrown.contains_key(&key) {
            let thrown = self.thrown.entry(key).or_default();
            nth = *thrown;
            *thrown += 1;
        }
        StdRng::seed_from_u64(hash_of((self.seed, occasion, bare_text(customer), nth)))
    }
}

/// Returns `true` with this probability.
pub(super) fn roll_percent(dice: &mut impl Rng, percent: u8) -> bool {
    percent > 0 && dice.random_range(0..100u8) < percent
}

/// Returns a hash that is the same for the same text, in every start of one build.
pub(super) fn hash_of(subject: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    subject.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use kabar_core::domain::phone::Phone;

    use super::*;

    #[test]
    fn one_customers_luck_does_not_depend_on_the_others() {
        let [a, b] =
            ["12025550141", "12025550142"].map(|digits| Address::Phone(Phone::parse(digits).unwrap()));
        let luck = |seed, order: &[&Address]| -> Vec<u64> {
            let mut dice = SeededRandom::new(seed);
            let mut throw = |who: &Address| (*who == a, dice.next_rng(RandomPurpose::Call, who).random());
            order.iter().map(|who| throw(who)).filter_map(|(mine, n)| mine.then_some(n)).collect()
        };
        let alone = luck(1, &[&a, &a, &a]);
        assert_eq!(alone, luck(1, &[&b, &a, &b, &b, &a, &a]));
        assert_ne!(alone, luck(2, &[&a, &a, &a]));
        assert_ne!(alone[0], alone[1]);
    }
}

//! Mutations of inputs, by seed: of their bytes, of their words, and of JSON in its structure.
//!
//! Nothing is measured of the code that runs; inputs stay close to valid ones instead, so that they get past the first
//! check.

mod json_mutation;

use std::ops::Range;

use rand::rngs::StdRng;
use rand::{RngExt as _, seq::IndexedRandom as _};

use json_mutation::mutate_json;

/// Most mutations of one input.
const ROUNDS_MAX: usize = 6;
/// Numbers at the edges of their kinds.
const NUMBERS: [&str; 12] = [
    "0",
    "-0",
    "-1",
    "1e400",
    "255",
    "65536",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551616",
    "0.1",
];

/// Makes inputs of inputs.
pub struct Mutator {
    rng: StdRng,
    words: &'static [&'static str],
    bytes_max: usize,
}

impl Mutator {
    /// Creates a mutator that knows these words and makes inputs of at most so many bytes.
    pub const fn new(rng: StdRng, words: &'static [&'static str], bytes_max: usize) -> Self {
        Self { rng, words, bytes_max }
    }

    /// Picks one of the corpus.
    pub fn pick_input<'c>(&mut self, corpus: &'c [(String, Vec<u8>)]) -> (&'c str, &'c [u8]) {
        corpus.choose(&mut self.rng).map_or(("", &[][..]), |(name, input)| (name.as_str(), input.as_slice()))
    }

    /// Makes an input of one input, with parts of another.
    pub fn mutate(&mut self, base: &[u8], other: &[u8]) -> Vec<u8> {
        let mut input = base.to_owned();
        let way: u8 = self.rng.random_range(0..10);
        for _ in 0..self.rng.random_range(1..=ROUNDS_MAX) {
            let mutated = match way {
                0..=3 => mutate_json(&mut self.rng, &input, other, self.words),
                4..=6 => self.mutate_token(&input, other),
                _ => None,
            };
            match mutated {
                Some(mutated) => input = mutated,
                None => self.mutate_bytes(&mut input, other),
            }
        }
        input.truncate(self.bytes_max);
        input
    }

    /// Puts another token in the place of one: of this input, of the other, or a word.
    fn mutate_token(&mut self, input: &[u8], other: &[u8]) -> Option<Vec<u8>> {
        let tokens = find_tokens(input);
        let place = tokens.choose(&mut self.rng)?.clone();
        let source = if self.rng.random_bool(0.5) { input } else { other };
        let new = match self.rng.random_range(0..4_u8) {
            0 => Vec::new(),
            1 => find_tokens(source).choose(&mut self.rng).map(|token| source[token.clone()].to_vec())?,
            _ => self.word(),
        };
        Some([&input[..place.start], &new, &input[place.end..]].concat())
    }

    fn place(&mut self, input: &[u8]) -> usize {
        self.rng.random_range(0..=input.len())
    }

    /// Picks a range, most often a short one.
    fn range(&mut self, input: &[u8]) -> Range<usize> {
        let start = self.place(input);
        let longest = if self.rng.random_bool(0.8) { 16 } else { input.len() };
        let length = self.rng.random_range(0..=longest);
        start..input.len().min(start + length)
    }

    fn mutate_bytes(&mut self, input: &mut Vec<u8>, other: &[u8]) {
        match self.rng.random_range(0..9_u8) {
            0 => {
                let bit = self.rng.random_range(0..8);
                if let Some(byte) = self.byte_of(input) {
                    *byte ^= 1 << bit;
                }
            }
            1 => {
                let new = self.rng.random();
                if let Some(byte) = self.byte_of(input) {
                    *byte = new;
                }
            }
            2 => {
                let range = self.range(input);
                input.drain(range);
            }
            3 => {
                let (from, at) = (self.range(input), self.place(input));
                let copied = input[from].to_vec();
                input.splice(at..at, copied);
            }
            4 => {
                let (from, into) = (self.range(other), self.range(input));
                input.splice(into, other[from].iter().copied());
            }
            5 | 6 => {
                let (word, into) = (self.word(), self.range(input));
                let into = if self.rng.random_bool(0.5) { into } else { into.start..into.start };
                input.splice(into, word);
            }
            7 => {
                let at = self.place(input);
                input.truncate(at);
            }
            _ => {
                let (at, times) = (self.place(input), self.rng.random_range(1..2000));
                let byte = self.rng.random();
                input.splice(at..at, std::iter::repeat_n(byte, times));
            }
        }
    }

    fn byte_of<'i>(&mut self, input: &'i mut [u8]) -> Option<&'i mut u8> {
        let at = self.place(input);
        input.get_mut(at)
    }

    fn word(&mut self) -> Vec<u8> {
        let known = if self.rng.random_bool(0.7) { self.words } else { &NUMBERS };
        known.choose(&mut self.rng).map_or_else(Vec::new, |word| word.as_bytes().to_owned())
    }
}

/// Finds the words and numbers of a text.
fn find_tokens(input: &[u8]) -> Vec<Range<usize>> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'$');
    let mut tokens = Vec::new();
    let mut start = 0;
    for run in input.chunk_by(|one, next| is_part(one) == is_part(next)) {
        let end = start + run.len();
        if run.first().is_some_and(is_part) {
            tokens.push(start..end);
        }
        start = end;
    }
    tokens
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    fn inputs(seed: u64) -> Vec<Vec<u8>> {
        let mut mutator = Mutator::new(StdRng::seed_from_u64(seed), &["word"], 5000);
        (0..500).map(|_| mutator.mutate(br#"{"a":[1,"b"]}"#, br#"{"c":null}"#)).collect()
    }

    #[test]
    fn a_seed_makes_the_same_inputs_and_another_seed_others() {
        assert_eq!(inputs(1), inputs(1));
        assert_ne!(inputs(1), inputs(2));
    }

    #[test]
    fn tokens_are_the_words_and_numbers() {
        let text = b"(i32.const -1) a_b";
        let tokens: Vec<_> = find_tokens(text).into_iter().map(|token| &text[token]).collect();
        assert_eq!(tokens, [&b"i32.const"[..], b"-1", b"a_b"]);
        assert!(find_tokens(b"( )").is_empty());
    }

    #[test]
    fn inputs_are_bounded_and_many_stay_json() {
        let inputs = inputs(1);
        assert!(inputs.iter().all(|input| input.len() <= 5000));
        let valid = inputs.iter().filter(|input| serde_json::from_slice::<serde_json::Value>(input).is_ok());
        assert!((100..450).contains(&valid.count()), "neither all nor hardly any");
        assert!(inputs.iter().any(|input| input.windows(4).any(|part| part == b"word")));
    }
}

//! A campaign: the corpus, then mutations of it, until one fails or the bound is reached.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::corpus::read_corpus;
use crate::mutation::Mutator;
use crate::panics::first_panic;
use crate::targets::FuzzTarget;

/// Most bytes of an input that a failure shows.
const SHOWN_BYTES: usize = 4096;

/// End of a campaign.
#[derive(Debug, Clone, Copy)]
pub enum CampaignBound {
    /// After so many mutations.
    Mutations(u64),
    /// After this time.
    Time(Duration),
}

impl CampaignBound {
    fn is_reached(self, done: u64, started: Instant) -> bool {
        match self {
            Self::Mutations(most) => done >= most,
            Self::Time(most) => started.elapsed() >= most,
        }
    }
}

/// An input that breaks a target.
#[derive(Debug)]
pub struct FailingInput {
    /// The target's name.
    pub target: &'static str,
    /// The file of the corpus that it is, or was made from.
    pub origin: String,
    /// The input.
    pub input: Vec<u8>,
    /// The panic.
    pub panic: String,
}

impl std::fmt::Display for FailingInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}: an input made of corpus/{}/{} fails:", self.target, self.target, self.origin)?;
        let shown = self.input.get(..SHOWN_BYTES).unwrap_or(&self.input);
        f.write_str("b\"")?;
        for byte in shown {
            f.write_str(&byte.escape_ascii().to_string())?;
        }
        f.write_char('"')?;
        if shown.len() < self.input.len() {
            write!(f, " and {} bytes more", self.input.len() - shown.len())?;
        }
        write!(f, "\n{}", self.panic)
    }
}

/// Runs one input through a target.
pub fn try_input(target: &FuzzTarget, origin: &str, input: &[u8]) -> Result<(), Box<FailingInput>> {
    match first_panic(|| (target.run)(input)) {
        None => Ok(()),
        Some(panic) => Err(Box::new(FailingInput {
            target: target.name,
            origin: origin.to_owned(),
            input: input.to_owned(),
            panic,
        })),
    }
}

/// Runs the corpus of a target, then mutations by this seed. Returns the number of mutations.
///
/// # Errors
/// The first input that fails.
pub fn run_campaign(target: &FuzzTarget, seed: u64, bound: CampaignBound) -> Result<u64, Box<FailingInput>> {
    let corpus = read_corpus(target.name);
    assert!(!corpus.is_empty(), "{} has no corpus", target.name);
    for (name, input) in &corpus {
        try_input(target, name, input)?;
    }
    let mut mutator = Mutator::new(StdRng::seed_from_u64(seed), target.words, target.input_bytes_max);
    let (started, mut done) = (Instant::now(), 0);
    while !bound.is_reached(done, started) {
        let (name, base) = mutator.pick_input(&corpus);
        let (_, other) = mutator.pick_input(&corpus);
        let input = mutator.mutate(base, other);
        try_input(target, name, &input)?;
        done += 1;
    }
    Ok(done)
}

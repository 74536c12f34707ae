//! The targets, one for each kind of input that comes from outside.

mod component;
mod configuration;
mod cursor;
mod etag_list;
mod http;
mod outbound_answer;
mod plugin_host;
mod prefer;
mod webhook;
mod wit;

/// A function over bytes, and what is known of the bytes.
#[derive(Debug, Clone, Copy)]
pub struct FuzzTarget {
    /// Its name, that of its folder in the corpus.
    pub name: &'static str,
    /// Runs one input. It panics when something is untrue that must hold for each.
    pub run: fn(&[u8]),
    /// Words that mean something in an input.
    pub words: &'static [&'static str],
    /// Most bytes of an input.
    pub input_bytes_max: usize,
    /// Mutations of the bounded run.
    pub mutations: u64,
}

/// All targets.
pub const TARGETS: [FuzzTarget; 9] = [
    component::TARGET,
    configuration::TARGET,
    cursor::TARGET,
    etag_list::TARGET,
    http::TARGET,
    outbound_answer::TARGET,
    prefer::TARGET,
    webhook::TARGET,
    wit::TARGET,
];

/// Returns the target of this name.
pub fn find_target(name: &str) -> Option<&'static FuzzTarget> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Splits an input at its first line break.
fn split_line(input: &[u8]) -> (&[u8], &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n');
    end.map_or((input, &[][..]), |end| (&input[..end], &input[end + 1..]))
}

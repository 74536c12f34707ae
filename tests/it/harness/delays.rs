//! The delays of this run: `KABAR_TEST_DELAYS=<seed>:<milliseconds>` has every server delay what it awaits.

/// The name of the variable, for this process and for the servers.
pub(crate) const VARIABLE: &str = "KABAR_TEST_DELAYS";

/// What the servers of this run are told. It is printed, so that a failure shows its seed.
#[expect(clippy::disallowed_methods, reason = "tests have no configuration")]
pub(crate) fn chosen() -> Option<String> {
    let chosen = std::env::var(VARIABLE).ok()?;
    println!("{VARIABLE}={chosen}");
    Some(chosen)
}

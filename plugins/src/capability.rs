//! What a hook may ask of its host: one capability for each interface of `kabar:hooks`.
//!
//! Invariant: a component that imports what was not granted is refused when it is uploaded, so a
//! running hook never meets a missing one.

macro_rules! capabilities {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// One interface of `kabar:hooks`, by its name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Capability { $($(#[$doc])* $name,)* }

        impl Capability {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The interface's name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// Reads an interface's name.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.as_str() == text)
            }

            const fn bit(self) -> u16 {
                match self { $(Self::$name => 1 << bits::$name,)* }
            }
        }

        #[expect(non_upper_case_globals, reason = "named after the variants that they number")]
        mod bits {
            capabilities!(@number 0_u16; $($name,)*);
        }
    };
    (@number $n:expr; $name:ident, $($rest:ident,)*) => {
        pub(super) const $name: u16 = $n;
        capabilities!(@number $n + 1; $($rest,)*);
    };
    (@number $n:expr;) => {};
}

capabilities! {
    /// Lines for the tenant's eyes.
    Log = "log",
    /// Settings of the plugin.
    Config = "config",
    /// Secrets of the plugin.
    Secrets = "secrets",
    /// A durable map of the plugin's own.
    Kv = "kv",
    /// Calls to allowed hosts.
    Http = "http",
    /// Sending messages.
    Messages = "messages",
    /// Changing conversations.
    Conversations = "conversations",
    /// What time it is.
    Clock = "clock",
    /// Random bytes.
    Random = "random",
}

/// Some of the capabilities.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Capabilities(u16);

impl Capabilities {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// Every one of them.
    #[must_use]
    pub fn all() -> Self {
        Capability::ALL.iter().copied().collect()
    }

    /// Whether this one is granted.
    #[must_use]
    pub const fn contains(self, one: Capability) -> bool {
        self.0 & one.bit() != 0
    }

    /// These without that one.
    #[must_use]
    pub const fn without(self, one: Capability) -> Self {
        Self(self.0 & !one.bit())
    }

    /// Each of them, in the order of [`Capability::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::ALL.iter().copied().filter(move |one| self.contains(*one))
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(some: I) -> Self {
        Self(some.into_iter().fold(0, |bits, one| bits | one.bit()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_told_apart_by_word_and_by_bit() {
        for one in Capability::ALL {
            assert_eq!(Capability::parse(one.as_str()), Some(*one));
            let alone: Capabilities = [*one].into_iter().collect();
            assert_eq!(alone.iter().collect::<Vec<_>>(), [*one]);
            let others = Capabilities::all().without(*one);
            assert!(!others.contains(*one));
            assert_eq!(others.iter().count(), Capability::ALL.len() - 1);
        }
        assert_eq!(Capability::parse("files"), None);
        assert_eq!(Capabilities::NONE, Capabilities::default());
    }
}

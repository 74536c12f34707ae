//! Scopes: the kinds of operations that a credential may carry out.
//!
//! Invariant: a set is a few bits, so a check costs one comparison. A set is never empty where it is read from a
//! request or a row.

use super::word_enum::word_enum;

macro_rules! scope_sets {
    ($($(#[$doc:meta])* $scope:ident, $(#[$set_doc:meta])* $set:ident {
        $($(#[$word_doc:meta])* $name:ident = $word:literal, $bit:literal;)+
    })+) => {$(
        word_enum! {
            $(#[$doc])*
            $scope { $($(#[$word_doc])* $name = $word,)+ }
        }

        impl $scope {
            const fn bit(self) -> u8 {
                match self {
                    $(Self::$name => $bit,)+
                }
            }
        }

        $(#[$set_doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $set(u8);

        impl $set {
            /// No scope.
            pub const NONE: Self = Self(0);

            /// Every scope.
            pub const ALL: Self = Self(0 $(| $bit)+);

            /// Returns the set with one more scope.
            #[must_use]
            pub const fn with(self, scope: $scope) -> Self {
                Self(self.0 | scope.bit())
            }

            /// Returns `true` when the scope is in the set.
            #[must_use]
            pub const fn has(self, scope: $scope) -> bool {
                self.0 & scope.bit() != 0
            }

            /// Returns `true` when every scope of the other set is in this one.
            #[must_use]
            pub const fn has_all(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// Returns `true` when a scope of the other set is in this one.
            #[must_use]
            pub const fn has_any(self, other: Self) -> bool {
                self.0 & other.0 != 0
            }

            /// Returns `true` when there is no scope.
            #[must_use]
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }

            /// Returns the scopes, in the contract's order.
            pub fn iter(self) -> impl Iterator<Item = $scope> {
                $scope::ALL.iter().copied().filter(move |scope| self.has(*scope))
            }

            /// Returns the words, separated by blanks.
            #[must_use]
            pub fn words(self) -> String {
                self.iter().map($scope::as_str).collect::<Vec<_>>().join(" ")
            }

            /// Reads words that are separated by blanks; `None` for an unknown word, and for no word.
            #[must_use]
            pub fn parse_words(text: &str) -> Option<Self> {
                let set: Self = text.split(' ').map($scope::parse).collect::<Option<_>>()?;
                (!set.is_empty()).then_some(set)
            }
        }

        impl FromIterator<$scope> for $set {
            fn from_iter<I: IntoIterator<Item = $scope>>(scopes: I) -> Self {
                scopes.into_iter().fold(Self::NONE, Self::with)
            }
        }
    )+};
}

scope_sets! {
    /// A kind of operations of tenants.
    KeyScope,
    /// Scopes of an API key.
    KeyScopes {
        /// Every read, polls and streams included.
        Read = "read", 1;
        /// Changes of conversations, messages, contacts and templates.
        Write = "write", 2;
        /// Changes of plugins, and reads of them.
        Plugins = "plugins", 4;
        /// Changes of webhook subscriptions and replays of deliveries, and reads of them.
        Webhooks = "webhooks", 8;
    }

    /// A kind of operations of the operator.
    OperatorScope,
    /// Scopes of an operator token.
    OperatorScopes {
        /// Reads.
        Read = "read", 1;
        /// Changes.
        Manage = "manage", 2;
        /// Changes that show or set a secret: they need `manage` as well.
        Secrets = "secrets", 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_come_back_from_their_words() {
        for bits in 1..16 {
            let set: KeyScopes =
                KeyScope::ALL.iter().copied().filter(|scope| bits & scope.bit() != 0).collect();
            assert_eq!(KeyScopes::parse_words(&set.words()), Some(set));
            assert_eq!(set.iter().count(), usize::try_from(u8::count_ones(bits)).unwrap());
        }
        assert_eq!(KeyScopes::ALL.words(), "read write plugins webhooks");
        assert_eq!(OperatorScopes::ALL.words(), "read manage secrets");
        for wrong in ["", " ", "read  write", "Read", "read,write", "manage"] {
            assert_eq!(KeyScopes::parse_words(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn sets_are_compared_by_their_scopes() {
        let some = KeyScopes::NONE.with(KeyScope::Read).with(KeyScope::Plugins);
        assert!(some.has(KeyScope::Read) && !some.has(KeyScope::Write));
        assert!(KeyScopes::ALL.has_all(some) && !some.has_all(KeyScopes::ALL) && some.has_all(some));
        assert!(some.has_any(KeyScopes::NONE.with(KeyScope::Read).with(KeyScope::Write)));
        assert!(!some.has_any(KeyScopes::NONE.with(KeyScope::Webhooks)) && !some.has_any(KeyScopes::NONE));
    }
}

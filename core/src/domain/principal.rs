//! Principal: the party that makes a change, as `created_by` and the audit log show it.
//!
//! Invariant: a principal keeps the name that it had at the time of the change, so that it can be read after
//! its key or user is gone. Its secrets are in no principal.

use std::sync::Arc;

/// Kind of a principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PrincipalKind {
    /// A tenant's API key.
    ApiKey,
    /// A user of a tenant.
    User,
    /// The operator.
    Operator,
    /// This server.
    System,
}

impl PrincipalKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::ApiKey, Self::User, Self::Operator, Self::System];

    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::User => "user",
            Self::Operator => "operator",
            Self::System => "system",
        }
    }

    /// Reads the contract's word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == text)
    }
}

/// The party that makes a change.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Principal {
    /// Kind.
    pub kind: PrincipalKind,
    /// Resource id, such as `key_…`; `None` for one that has none.
    pub id: Option<Arc<str>>,
    /// Name at the time of the change, such as the label of a key.
    pub name: Option<Arc<str>>,
}

impl Principal {
    /// This server.
    pub const SYSTEM: Self = Self { kind: PrincipalKind::System, id: None, name: None };

    /// The operator with the token of the settings, which has no name.
    pub const OPERATOR: Self = Self { kind: PrincipalKind::Operator, id: None, name: None };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_apart_by_word() {
        for kind in PrincipalKind::ALL {
            assert_eq!(PrincipalKind::parse(kind.as_str()), Some(kind));
        }
        assert!(PrincipalKind::parse("root").is_none());
    }
}

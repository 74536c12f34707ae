//! A user on the wire.

use std::sync::Arc;

use kabar_core::domain::organisation::User;
use kabar_core::ids::UserId;
use poem_openapi::Object;
use poem_openapi::types::Example;

use crate::wire::{Shown, UserNoun};

/// A person to whom conversations can be assigned.
#[derive(Debug, Clone, Object)]
#[oai(rename = "User", example)]
pub struct UserBody {
    /// `usr_…`.
    pub id: Shown<UserId>,
    /// Always `user`.
    pub object: Shown<UserNoun>,
    /// The name.
    pub name: Shown<Arc<str>>,
    /// The address.
    pub email: Option<Shown<Arc<str>>>,
}

impl UserBody {
    /// What a user shows.
    #[must_use]
    pub fn of(user: &User) -> Self {
        Self {
            id: Shown(user.id),
            object: Shown(UserNoun),
            name: Shown(user.name.clone()),
            email: user.email.clone().map(Shown),
        }
    }
}

impl Example for UserBody {
    fn example() -> Self {
        Self::of(&crate::examples::user())
    }
}

//! Body of a user.

use std::sync::Arc;

use kabar_core::domain::organisation::User;
use kabar_core::ids::UserId;
use poem_openapi::Object;
use poem_openapi::types::Example;

use crate::rest::text::{TextValue, nouns};

nouns! {
    /// `object` of a user.
    UserNoun = "user";
}

/// A person to assign conversations to.
#[derive(Debug, Clone, Object)]
#[oai(rename = "User", example)]
pub(crate) struct UserBody {
    /// `usr_…`.
    pub(crate) id: TextValue<UserId>,
    /// Always `user`.
    pub(crate) object: TextValue<UserNoun>,
    /// The name.
    pub(crate) name: TextValue<Arc<str>>,
    /// The email address.
    pub(crate) email: Option<TextValue<Arc<str>>>,
}

impl UserBody {
    /// Builds the body of a user.
    #[must_use]
    pub(crate) fn from_user(user: &User) -> Self {
        Self {
            id: TextValue(user.id),
            object: TextValue(UserNoun),
            name: TextValue(user.name.clone()),
            email: user.email.clone().map(TextValue),
        }
    }
}

impl Example for UserBody {
    fn example() -> Self {
        Self::from_user(&crate::spec::example_rows::example_user())
    }
}

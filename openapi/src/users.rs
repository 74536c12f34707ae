//! Users as clients see them: the people to whom conversations are assigned.
//!
//! It lists; making users is the operator's (`admin`).

use kabar_core::domain::organisation::User;
use poem_openapi::Object;

/// A person to whom conversations can be assigned.
#[derive(Debug, Clone, Object)]
#[oai(rename = "User")]
pub struct UserBody {
    /// `usr_…`.
    pub id: String,
    /// Always `user`.
    pub object: String,
    /// The person's name.
    pub name: String,
    /// May be absent.
    pub email: Option<String>,
}

impl From<&User> for UserBody {
    fn from(user: &User) -> Self {
        Self {
            id: user.id.to_string(),
            object: "user".to_owned(),
            name: user.name.to_string(),
            email: user.email.as_deref().map(str::to_owned),
        }
    }
}

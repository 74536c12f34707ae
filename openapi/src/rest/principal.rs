//! Body of a principal: the party that made a resource.

use std::sync::Arc;

use kabar_core::domain::principal::{Principal, PrincipalKind};
use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::Serialize;

use super::text::TextValue;

/// The party that made a resource, as it was then.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "Principal", example)]
pub(crate) struct PrincipalBody {
    /// `api_key`: a tenant's key. `user`: a user of a tenant. `operator`: the operator. `system`: the server.
    #[oai(rename = "type")]
    #[serde(rename = "type")]
    pub(crate) kind: TextValue<PrincipalKind>,
    /// Its id, such as `key_…`; null for one without an id.
    pub(crate) id: Option<TextValue<Arc<str>>>,
    /// Its name at that time, such as the label of the key; null for one without a name.
    pub(crate) name: Option<TextValue<Arc<str>>>,
}

impl PrincipalBody {
    /// Builds the body of a principal.
    #[must_use]
    pub(crate) fn from_principal(principal: &Principal) -> Self {
        Self {
            kind: TextValue(principal.kind),
            id: principal.id.clone().map(TextValue),
            name: principal.name.clone().map(TextValue),
        }
    }
}

impl Example for PrincipalBody {
    fn example() -> Self {
        Self::from_principal(&Principal::from_api_key(&crate::spec::example_rows::api_key()))
    }
}

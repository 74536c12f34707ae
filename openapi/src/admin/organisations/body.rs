//! Bodies of organisations: creation, changes and the operator's view; and the limits of each tier.
//!
//! Invariant: `free` and `pro` have the limits of their tier, whatever a body says; only `enterprise` has
//! limits of its own. A body may repeat the limits of the tier, so a body that was read may be sent back.

use std::sync::Arc;

use kabar_actors::{NewOrganisation, OrganisationPatch};
use kabar_core::domain::organisation::{Organisation, PriceTier, RateLimits};
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::OrganisationId;
use poem_openapi::Object;
use poem_openapi::types::Example;
use serde_json::Value;

use crate::rest::body_fields::{BodyFields, FieldError};
use crate::rest::text::TextValue;
use crate::v1::me::body::OrganizationNoun;

const NAME_CHARS: std::ops::RangeInclusive<usize> = 1..=200;
const PER_MINUTE: std::ops::RangeInclusive<i64> = 1..=10_000_000;

/// An organization to create.
#[derive(Debug, Clone, Object)]
#[oai(example, skip_serializing_if_is_none)]
pub(crate) struct CreateOrganization {
    /// The name.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub(crate) name: String,
    /// `free` unless given.
    pub(crate) tier: Option<TextValue<PriceTier>>,
    /// With tier `enterprise` only: POST, PUT, PATCH and DELETE a minute; 6000 unless given.
    #[oai(validator(minimum(value = "1"), maximum(value = "10000000")))]
    pub(crate) write_per_minute: Option<u32>,
    /// With tier `enterprise` only: GET and HEAD a minute; 60000 unless given.
    #[oai(validator(minimum(value = "1"), maximum(value = "10000000")))]
    pub(crate) read_per_minute: Option<u32>,
    /// `true` for test keys and for events with `livemode: false`.
    pub(crate) sandbox: Option<bool>,
}

/// Changes of an organization. Absent and null fields stay unchanged.
#[derive(Debug, Clone, Object)]
#[oai(example, skip_serializing_if_is_none)]
pub(crate) struct UpdateOrganization {
    /// The name.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub(crate) name: Option<String>,
    /// A new tier brings its own limits.
    pub(crate) tier: Option<TextValue<PriceTier>>,
    /// With tier `enterprise` only.
    #[oai(validator(minimum(value = "1"), maximum(value = "10000000")))]
    pub(crate) write_per_minute: Option<u32>,
    /// With tier `enterprise` only.
    #[oai(validator(minimum(value = "1"), maximum(value = "10000000")))]
    pub(crate) read_per_minute: Option<u32>,
    /// `true` to refuse its calls with 403 `organization_suspended`, and to let its webhooks, hooks and sends stand
    /// still; `false` to let all of it go on.
    pub(crate) suspended: Option<bool>,
}

/// A tenant.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Organization", example)]
pub(crate) struct OrganizationBody {
    /// `org_…`.
    pub(crate) id: TextValue<OrganisationId>,
    /// Always `organization`.
    pub(crate) object: TextValue<OrganizationNoun>,
    /// The name.
    pub(crate) name: TextValue<Arc<str>>,
    /// The price tier.
    pub(crate) tier: TextValue<PriceTier>,
    /// POST, PUT, PATCH and DELETE a minute.
    pub(crate) write_per_minute: u32,
    /// GET and HEAD a minute.
    pub(crate) read_per_minute: u32,
    /// `true` when its keys are test keys.
    pub(crate) sandbox: bool,
    /// `true` while its calls are refused.
    pub(crate) suspended: bool,
    /// Creation time.
    pub(crate) created_at: TextValue<Timestamp>,
}

impl OrganizationBody {
    /// Builds the body of an organisation.
    #[must_use]
    pub(crate) fn from_organisation(organisation: &Organisation) -> Self {
        Self {
            id: TextValue(organisation.id),
            object: TextValue(OrganizationNoun),
            name: TextValue(organisation.name.clone()),
            tier: TextValue(organisation.tier),
            write_per_minute: organisation.limits.write_per_minute,
            read_per_minute: organisation.limits.read_per_minute,
            sandbox: organisation.sandbox,
            suspended: organisation.suspended,
            created_at: TextValue(organisation.created_at),
        }
    }
}

impl Example for CreateOrganization {
    fn example() -> Self {
        let (write_per_minute, read_per_minute, sandbox) = (None, None, None);
        Self {
            name: "Toko Melati".to_owned(),
            tier: Some(TextValue(PriceTier::Pro)),
            write_per_minute,
            read_per_minute,
            sandbox,
        }
    }
}

impl Example for UpdateOrganization {
    fn example() -> Self {
        let (name, suspended) = (None, None);
        let tier = Some(TextValue(PriceTier::Enterprise));
        Self { name, tier, write_per_minute: Some(12_000), read_per_minute: Some(120_000), suspended }
    }
}

impl Example for OrganizationBody {
    fn example() -> Self {
        Self::from_organisation(&crate::spec::example_rows::example_organisation())
    }
}

/// Reads `POST /admin/v1/organizations`.
pub(super) fn read_new(body: &Value) -> Result<NewOrganisation, FieldError> {
    let fields = BodyFields::of_body(body)?;
    let name = fields.text("name", &NAME_CHARS)?.into();
    let tier = read_tier(&fields)?.unwrap_or(PriceTier::Free);
    let limits = read_limits(&fields, tier, tier.default_limits())?;
    let sandbox = fields.optional_flag("sandbox")?.unwrap_or(false);
    Ok(NewOrganisation { name, tier, limits, sandbox })
}

/// Reads `PATCH /admin/v1/organizations/{org_id}` for the current organisation.
pub(super) fn read_patch(body: &Value, current: &Organisation) -> Result<OrganisationPatch, FieldError> {
    let fields = BodyFields::of_body(body)?;
    let name = fields.optional_text("name", &NAME_CHARS)?.map(Into::into);
    let tier = read_tier(&fields)?;
    let target = tier.unwrap_or(current.tier);
    // A new tier brings its own limits; the same tier keeps those in force.
    let base = if target == current.tier { current.limits } else { target.default_limits() };
    let limits = Some(read_limits(&fields, target, base)?);
    let suspended = fields.optional_flag("suspended")?;
    Ok(OrganisationPatch { name, tier, limits, suspended })
}

fn read_tier(fields: &BodyFields<'_>) -> Result<Option<PriceTier>, FieldError> {
    fields.optional_word("tier", "free, pro or enterprise", PriceTier::parse)
}

fn read_limits(fields: &BodyFields<'_>, tier: PriceTier, base: RateLimits) -> Result<RateLimits, FieldError> {
    Ok(RateLimits {
        write_per_minute: read_limit(fields, "write_per_minute", tier, base.write_per_minute)?,
        read_per_minute: read_limit(fields, "read_per_minute", tier, base.read_per_minute)?,
    })
}

fn read_limit(fields: &BodyFields<'_>, key: &str, tier: PriceTier, base: u32) -> Result<u32, FieldError> {
    let given = fields.optional_integer(key, &PER_MINUTE)?.and_then(|n| u32::try_from(n).ok());
    match given {
        None => Ok(base),
        Some(figure) if tier == PriceTier::Enterprise || figure == base => Ok(figure),
        Some(_) => {
            let why = format!("{key} can be set for tier enterprise only; {} has {base}", tier.as_str());
            Err(fields.refused(key, &why))
        }
    }
}

#[cfg(test)]
mod tests {
    use kabar_core::domain::row_version::RowVersion;
    use kabar_core::domain::time::Timestamp;
    use kabar_core::ids::OrganisationId;
    use serde_json::json;

    use super::*;
    use crate::rest::body_fields::FieldErrorKind;

    fn standing(tier: PriceTier, limits: RateLimits) -> Organisation {
        Organisation {
            id: OrganisationId::from_bits(1),
            name: "Warung".into(),
            tier,
            limits,
            sandbox: false,
            suspended: false,
            created_at: Timestamp::EPOCH,
            row_version: RowVersion::FIRST,
        }
    }

    fn limits(write_per_minute: u32, read_per_minute: u32) -> RateLimits {
        RateLimits { write_per_minute, read_per_minute }
    }

    #[test]
    fn a_tier_brings_its_figures() {
        for (body, tier, expected) in [
            (json!({"name": "a"}), PriceTier::Free, limits(60, 600)),
            (json!({"name": "a", "tier": "pro"}), PriceTier::Pro, limits(600, 6000)),
            (json!({"name": "a", "tier": "pro", "write_per_minute": 600}), PriceTier::Pro, limits(600, 6000)),
            (json!({"name": "a", "tier": "enterprise"}), PriceTier::Enterprise, limits(6000, 60_000)),
            (
                json!({"name": "a", "tier": "enterprise", "read_per_minute": 7}),
                PriceTier::Enterprise,
                limits(6000, 7),
            ),
            (
                json!({"name": "a", "tier": "enterprise", "write_per_minute": 10_000_000, "read_per_minute": 1}),
                PriceTier::Enterprise,
                limits(10_000_000, 1),
            ),
        ] {
            let new = read_new(&body).unwrap();
            assert_eq!((new.tier, new.limits), (tier, expected), "{body}");
        }
    }

    #[test]
    fn refusals_name_their_field() {
        for (body, code, param) in [
            (json!({}), FieldErrorKind::MissingRequiredField, "name"),
            (json!({"name": ""}), FieldErrorKind::InvalidFieldValue, "name"),
            (json!({"name": "a".repeat(201)}), FieldErrorKind::InvalidFieldValue, "name"),
            (json!({"name": "a", "tier": "gold"}), FieldErrorKind::InvalidFieldValue, "tier"),
            (json!({"name": "a", "sandbox": "no"}), FieldErrorKind::InvalidFieldValue, "sandbox"),
            (
                json!({"name": "a", "write_per_minute": 61}),
                FieldErrorKind::InvalidFieldValue,
                "write_per_minute",
            ),
            (
                json!({"name": "a", "tier": "enterprise", "read_per_minute": 0}),
                FieldErrorKind::InvalidFieldValue,
                "read_per_minute",
            ),
            (
                json!({"name": "a", "tier": "enterprise", "read_per_minute": 10_000_001}),
                FieldErrorKind::InvalidFieldValue,
                "read_per_minute",
            ),
        ] {
            let error = read_new(&body).unwrap_err();
            assert_eq!((error.code, error.param.as_str()), (code, param), "{body}");
        }
        assert!(read_new(&json!({"name": "a".repeat(200)})).is_ok());
    }

    #[test]
    fn a_patch_keeps_tier_and_figures_together() {
        let own = limits(5, 50);
        let enterprise = standing(PriceTier::Enterprise, own);
        let free = standing(PriceTier::Free, PriceTier::Free.default_limits());
        for (current, body, expected) in [
            (&enterprise, json!({"suspended": true}), own),
            (&enterprise, json!({"write_per_minute": 6}), limits(6, 50)),
            (&enterprise, json!({"tier": "enterprise"}), own),
            (&enterprise, json!({"tier": "pro"}), limits(600, 6000)),
            (&free, json!({"tier": "enterprise", "write_per_minute": 9}), limits(9, 60_000)),
            (&free, json!({}), limits(60, 600)),
        ] {
            assert_eq!(read_patch(&body, current).unwrap().limits, Some(expected), "{body}");
        }
        let error = read_patch(&json!({"tier": "pro", "write_per_minute": 5}), &enterprise).unwrap_err();
        assert_eq!(error.param, "write_per_minute");
    }
}

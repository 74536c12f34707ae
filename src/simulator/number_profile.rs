//! Properties of a business number, as a look at it shows them.
//!
//! Invariant: the defaults are those of a number in good standing. A number without properties shows its id alone.

use serde::Deserialize;
use serde_json::{Value, json};

use super::SimulatedNumber;

/// Properties of the business numbers. A script changes them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct NumberProfile {
    verified_name: Option<String>,
    name_status: Option<String>,
    quality_rating: Option<String>,
    messaging_limit_tier: Option<String>,
    /// Meta's error number with which looks are refused.
    pub(super) refusal: Option<i64>,
}

/// Properties that a step changes; everything else stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProfileWords {
    verified_name: Option<String>,
    name_status: Option<String>,
    quality_rating: Option<String>,
    messaging_limit_tier: Option<String>,
    /// Meta's error number; 0 for none.
    refuse: Option<i64>,
}

impl NumberProfile {
    /// Properties of a number in good standing.
    pub(super) fn in_good_standing() -> Self {
        Self {
            verified_name: Some("Simulated Shop".to_owned()),
            name_status: Some("APPROVED".to_owned()),
            quality_rating: Some("GREEN".to_owned()),
            messaging_limit_tier: Some("TIER_1K".to_owned()),
            refusal: None,
        }
    }

    /// Returns the profile after a step.
    pub(super) fn apply(self, words: ProfileWords) -> Self {
        let refusal = words.refuse.map_or(self.refusal, |code| (code != 0).then_some(code));
        Self {
            verified_name: words.verified_name.or(self.verified_name),
            name_status: words.name_status.or(self.name_status),
            quality_rating: words.quality_rating.or(self.quality_rating),
            messaging_limit_tier: words.messaging_limit_tier.or(self.messaging_limit_tier),
            refusal,
        }
    }

    /// Builds Meta's answer about a number.
    pub(super) fn to_meta(&self, number: &SimulatedNumber) -> Value {
        json!({
            "id": number.phone_number_id.as_str(),
            "display_phone_number": number.phone.as_str(),
            "verified_name": self.verified_name,
            "name_status": self.name_status,
            "quality_rating": self.quality_rating,
            "messaging_limit_tier": self.messaging_limit_tier,
            "whatsapp_business_manager_messaging_limit": self.messaging_limit_tier,
        })
    }
}

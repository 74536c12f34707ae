//! Properties of a business number, as a look at it shows them.
//!
//! Invariant: the defaults are those of a number in good standing.

use serde::Deserialize;
use serde_json::{Value, json};

use super::SimulatedNumber;

/// Properties of the business numbers. A script changes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NumberProfile {
    verified_name: String,
    name_status: String,
    quality_rating: String,
    messaging_limit_tier: String,
    /// Meta's error number with which looks are refused.
    pub(super) refusal: Option<i64>,
}

impl Default for NumberProfile {
    fn default() -> Self {
        Self {
            verified_name: "Simulated Shop".to_owned(),
            name_status: "APPROVED".to_owned(),
            quality_rating: "GREEN".to_owned(),
            messaging_limit_tier: "TIER_1K".to_owned(),
            refusal: None,
        }
    }
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
    /// Returns the profile after a step.
    pub(super) fn apply(self, words: ProfileWords) -> Self {
        let refusal = words.refuse.map_or(self.refusal, |code| (code != 0).then_some(code));
        Self {
            verified_name: words.verified_name.unwrap_or(self.verified_name),
            name_status: words.name_status.unwrap_or(self.name_status),
            quality_rating: words.quality_rating.unwrap_or(self.quality_rating),
            messaging_limit_tier: words.messaging_limit_tier.unwrap_or(self.messaging_limit_tier),
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

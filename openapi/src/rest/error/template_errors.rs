//! Errors of calls to WhatsApp about templates, converted into the contract's errors.

use kabar_actors::TemplateError;
use kabar_core::domain::template::TemplateStatus;
use kabar_core::meta::graph::TemplateCallError;

use super::{ApiError, ErrorCode};

impl From<TemplateError> for ApiError {
    fn from(error: TemplateError) -> Self {
        match error {
            TemplateError::NotConnected(status) => Self::new(
                ErrorCode::AccountNotConnected,
                format!(
                    "the account is {} and cannot call WhatsApp; have it connected first",
                    status.as_str()
                ),
            ),
            TemplateError::NoBusinessAccount => Self::new(
                ErrorCode::AccountNotConnected,
                "the WhatsApp Business Account of the number is not known yet; have it connected with waba_id, or wait \
                 for WhatsApp's next webhook",
            ),
            TemplateError::Call(TemplateCallError::AlreadyExists) => Self::new(
                ErrorCode::TemplateAlreadyExists,
                "there is a template of this name in this language; choose another name",
            )
            .with_param("name"),
            TemplateError::Call(TemplateCallError::Refused(error)) => {
                let message = format!("WhatsApp refuses this: {}", error.message);
                Self::new(ErrorCode::WhatsAppError, message).with_provider_code(error.provider_code)
            }
            TemplateError::Call(TemplateCallError::Unanswered(error)) => {
                let message = format!("{}; try again shortly", error.message);
                Self::new(ErrorCode::WhatsAppUpstreamError, message).with_provider_code(error.provider_code)
            }
            TemplateError::Account(error) => error.into(),
        }
    }
}

/// Builds the error of a send of a template in this state.
pub(super) fn refused_template(status: TemplateStatus) -> ApiError {
    let (code, message) = match status {
        TemplateStatus::Paused => {
            (ErrorCode::TemplatePaused, "WhatsApp has paused this template; send another one, or wait")
        }
        TemplateStatus::Disabled => {
            (ErrorCode::TemplateDisabled, "WhatsApp has disabled this template; send another one")
        }
        TemplateStatus::Approved | TemplateStatus::Pending | TemplateStatus::Rejected => (
            ErrorCode::TemplateNotApproved,
            "WhatsApp has not approved this template; send another one, or wait",
        ),
    };
    ApiError::new(code, message).with_param("template.name")
}

#[cfg(test)]
mod tests {
    use super::*;
    use kabar_core::domain::effect::template_refusal_code;
    use kabar_core::meta::errors::message_error;

    #[test]
    fn a_refusal_of_whatsapps_keeps_its_number() {
        let refused = TemplateCallError::Refused(message_error(Some(100), "Invalid parameter"));
        let error = ApiError::from(TemplateError::Call(refused));
        assert_eq!(error.code(), ErrorCode::WhatsAppError);
        let parts = serde_json::to_value(error.parts()).unwrap();
        assert_eq!((&parts["provider_code"], &parts["type"]), (&100.into(), &"invalid_request_error".into()));
        assert_eq!(ApiError::of_parts(&serde_json::from_value(parts).unwrap()), Some(error));
        let lost = TemplateCallError::Unanswered(message_error(None, "WhatsApp did not answer in time"));
        let parts = serde_json::to_value(ApiError::from(TemplateError::Call(lost)).parts()).unwrap();
        assert_eq!(parts["code"], "whatsapp_upstream_error");
        assert!(parts.get("provider_code").is_none());
    }

    #[test]
    fn sends_and_effects_are_refused_by_the_same_codes() {
        for &status in TemplateStatus::ALL {
            assert_eq!(refused_template(status).code().as_str(), template_refusal_code(status));
        }
    }
}

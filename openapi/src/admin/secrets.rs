//! The operator's rotation of the keys under which secrets are stored.
//!
//! Invariants: no response and no line of the log shows a key. A rotation that has begun goes on when the client
//! hangs up.

use std::sync::Arc;

use kabar_actors::{AccountError, FinishedRotation, RotationError};
use kabar_core::domain::account::Secret;
use kabar_core::domain::audit::{AuditAction, AuditTarget};
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};

use crate::app::AppState;
use crate::http::access::OperatorCaller;
use crate::rest::body_fields::BodyFields;
use crate::rest::envelope::DataResponse;
use crate::rest::error::{ApiError, ErrorCode, OperationError, code_list};
use crate::rest::json_body::JsonBody;
use crate::rest::tags::ApiTag;
use crate::rest::text::{TextValue, nouns};

nouns! {
    /// `object` of a rotation of keys.
    SecretRotationNoun = "secret_rotation";
}

code_list! {
    /// Error codes of rotating the keys of secrets.
    SecretRotateFails = [
        InvalidRequest, InvalidFieldValue, SecretKeyConflict, PayloadTooLarge, UnsupportedMediaType,
        StorageUnavailable, Overloaded,
    ];
}

const KEY_CHARS: std::ops::RangeInclusive<usize> = 44..=44;

/// A rotation to make.
#[derive(Debug, Clone, Object)]
#[oai(example, skip_serializing_if_is_none)]
pub(crate) struct RotateSecrets {
    /// The new key, 32 bytes in standard base64. The server makes one when absent, or takes the first of a file that
    /// the operator keeps.
    #[oai(validator(min_length = 44, max_length = 44))]
    pub(crate) new_key: Option<String>,
}

/// A rotation that is done.
#[derive(Debug, Clone, Object)]
#[oai(rename = "SecretRotation", example)]
pub(crate) struct SecretRotationBody {
    /// Always `secret_rotation`.
    object: TextValue<SecretRotationNoun>,
    /// Id of the key under which every secret is encrypted now. Ids tell nothing about keys.
    key_id: String,
    /// File of the keys, on the server.
    key_file: String,
    /// Values that were encrypted anew.
    values: u64,
    /// Ids of the other keys of the file, which only backups of the database need.
    older_key_ids: Vec<String>,
}

impl SecretRotationBody {
    fn from_rotation(done: &FinishedRotation) -> Self {
        Self {
            object: TextValue(SecretRotationNoun),
            key_id: done.key_id.to_string(),
            key_file: done.key_file.display().to_string(),
            values: done.values,
            older_key_ids: done.older_key_ids.iter().map(ToString::to_string).collect(),
        }
    }
}

impl Example for RotateSecrets {
    fn example() -> Self {
        Self { new_key: None }
    }
}

impl Example for SecretRotationBody {
    fn example() -> Self {
        Self {
            object: TextValue(SecretRotationNoun),
            key_id: "5d0c9a4be1f27836".to_owned(),
            key_file: "/var/lib/kabar/kabar.db.key".to_owned(),
            values: 42,
            older_key_ids: vec!["a19f3c07d2e8b645".to_owned()],
        }
    }
}

fn refusal(error: RotationError) -> ApiError {
    match error {
        RotationError::Account(error) => error.into(),
        error @ (RotationError::Keys(_) | RotationError::NodesBehind { .. }) => {
            let message = format!("{error}");
            tracing::warn!(error = message, "secrets not rotated");
            ApiError::new(ErrorCode::SecretKeyConflict, message)
        }
    }
}

/// Operation that rotates keys.
#[derive(Debug, Clone)]
pub(crate) struct SecretsAdmin(pub(crate) Arc<AppState>);

#[OpenApi(tag = "ApiTag::Operator")]
impl SecretsAdmin {
    /// Rotate the key of secrets
    ///
    /// Encrypts every stored secret anew under a new key, and answers when all are; the server serves on meanwhile. A
    /// key file that the server made gets the new key as its first line. To a file that the operator keeps
    /// (`secrets.key_file`, or a systemd credential) the line is added first, on every node. A call after one that was
    /// cut off goes on with its key.
    #[oai(path = "/admin/v1/secrets/rotate", method = "post", operation_id = "rotateSecrets")]
    async fn rotate_secrets(
        &self,
        operator: OperatorCaller,
        body: JsonBody<RotateSecrets>,
    ) -> Result<DataResponse<SecretRotationBody>, OperationError<SecretRotateFails>> {
        let fields = BodyFields::of_body(&body.value)?;
        let offered = fields.optional_text("new_key", &KEY_CHARS)?.map(Secret::new);
        let accounts = self.0.accounts.clone();
        let rotating = async move { Ok::<_, AccountError>(accounts.rotate_secrets(offered).await) };
        let done = self.0.accounts.run_to_end(rotating).await?.map_err(refusal)?;
        // What is compiled is signed under a key of the same file.
        self.0.toolchain.sweep();
        let (action, target) = (AuditAction::SecretsRotated, AuditTarget::SERVER);
        self.0.enter_audit(&operator.origin(), None, action, target).await?;
        tracing::info!(key_id = %done.key_id, values = done.values, "operator rotated the key of secrets");
        Ok(DataResponse(SecretRotationBody::from_rotation(&done)))
    }
}

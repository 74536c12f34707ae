//! Identity of the caller: the organization, the key, and the budgets in force.

pub(crate) mod body;

use poem_openapi::OpenApi;

use self::body::MeBody;
use crate::http::access::TenantCaller;
use crate::rest::envelope::DataResponse;
use crate::rest::tags::ApiTag;

/// Operation that returns the caller.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MeApi;

#[expect(clippy::unused_async, reason = "poem-openapi wants every operation asynchronous")]
#[OpenApi(tag = "ApiTag::Accounts")]
impl MeApi {
    /// Get the caller
    ///
    /// The organization and the key behind the request, and the budgets in force: a good first call.
    #[oai(path = "/v1/me", method = "get", operation_id = "getMe")]
    async fn get_caller(&self, tenant: TenantCaller) -> DataResponse<MeBody> {
        DataResponse(MeBody::from_key(&tenant.key, &tenant.organisation.get()))
    }
}

//! Who is calling: the organization, the key, and the budgets in force.

pub mod body;

use poem_openapi::OpenApi;

use self::body::MeBody;
use crate::access::Tenant;
use crate::envelope::Data;
use crate::tags::Tag;

/// The operation.
#[derive(Debug, Clone, Copy)]
pub struct MeApi;

#[expect(clippy::unused_async, reason = "poem-openapi wants every operation asynchronous")]
#[OpenApi(tag = "Tag::Accounts")]
impl MeApi {
    /// Get the caller
    ///
    /// The organization and the key behind the request, and the budgets in force: a good first call.
    #[oai(path = "/v1/me", method = "get", operation_id = "getMe")]
    async fn get(&self, tenant: Tenant) -> Data<MeBody> {
        Data(MeBody::of(&tenant.key, &tenant.organisation.get()))
    }
}

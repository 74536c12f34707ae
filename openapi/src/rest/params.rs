//! Parameters of paths and queries, parsed into the domain's types.
//!
//! Invariants: an unreadable parameter is refused with the contract's code and its own name; a parameter is
//! given at most once and never empty; unknown parameters are ignored. poem-openapi's own `Path` and `Query`
//! are not used: their errors have no codes, and their pattern validators compile an expression per request.

mod audit_kinds;
mod kinds;
mod percent;
mod template_kinds;

use poem::{Request, RequestBody, Result};
use poem_openapi::registry::{MetaParamIn, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use crate::rest::error::{ApiError, ErrorCode};

pub(crate) use audit_kinds::AnyId;
pub(crate) use kinds::id_pattern;
pub(crate) use kinds::{CursorText, OpaqueText, SearchText, SequenceNumber};
pub(crate) use template_kinds::{LanguageCode, TemplateName, TemplateStatusFilter};

/// A kind of parameter.
pub(crate) trait ParameterKind: Sized + Send {
    /// Text that continues "must be …".
    const EXPECTED: &'static str;

    /// Error code of an unreadable value.
    const CODE: ErrorCode = ErrorCode::InvalidFieldValue;

    /// Name of the parameter as a path segment; poem-openapi numbers those.
    const SEGMENT: &'static str = "id";

    /// `true` when an error may repeat the value: never for a possible secret or personal data.
    const ECHOED: bool = false;

    /// Reads a decoded value; `None` when it is invalid.
    fn read(text: &str) -> Option<Self>;

    /// Returns the schema.
    fn schema() -> MetaSchema;
}

/// Longest value that an error repeats.
const ECHO_CHARS: usize = 20;

fn refuse_value<T: ParameterKind>(name: &'static str, given: Option<&str>) -> ApiError {
    let given = given.filter(|text| T::ECHOED && text.len() <= ECHO_CHARS && !text.is_empty());
    let got = given.map(|text| format!(", got {}", text.escape_debug())).unwrap_or_default();
    ApiError::new(T::CODE, format!("{name} must be {}{got}", T::EXPECTED)).with_param(name)
}

fn schema_of<T: ParameterKind>() -> MetaSchemaRef {
    MetaSchemaRef::Inline(Box::new(T::schema()))
}

/// A segment of the path. It must be called `Path`: poem-openapi's macro numbers path parameters, and
/// knows them by the name of their type.
#[derive(Debug, Clone)]
pub(crate) struct Path<T>(pub(crate) T);

impl<'a, T: ParameterKind> ApiExtractor<'a> for Path<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    const PARAM_IS_REQUIRED: bool = true;

    type ParamType = NeverDefault;
    type ParamRawType = ();

    fn register(_registry: &mut Registry) {}

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Path)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(schema_of::<T>())
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        options: ExtractParamOptions<NeverDefault>,
    ) -> Result<Self> {
        let segment = request.raw_path_param(options.name).unwrap_or_default();
        let decoded = percent::decode_percent(segment, percent::PlusMeaning::IsPlus);
        let value = decoded.and_then(|text| T::read(&text));
        Ok(Self(value.ok_or_else(|| refuse_value::<T>(T::SEGMENT, None))?))
    }
}

/// A parameter of the query, which may be absent.
#[derive(Debug, Clone)]
pub(crate) struct QueryParam<T>(pub(crate) Option<T>);

impl<'a, T: ParameterKind> ApiExtractor<'a> for QueryParam<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    const PARAM_IS_REQUIRED: bool = false;

    type ParamType = NeverDefault;
    type ParamRawType = ();

    fn register(_registry: &mut Registry) {}

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Query)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(schema_of::<T>())
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        options: ExtractParamOptions<NeverDefault>,
    ) -> Result<Self> {
        Ok(Self(read_query(request.uri().query().unwrap_or_default(), options.name)?))
    }
}

/// Default of a parameter as poem-openapi asks for it; the parameters here have none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NeverDefault;

fn read_query<T: ParameterKind>(query: &str, name: &'static str) -> Result<Option<T>, ApiError> {
    let mut values = percent::query_values(query, name);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(ApiError::new(T::CODE, format!("give {name} once")).with_param(name));
    }
    let read = value.as_deref().and_then(T::read);
    read.map(Some).ok_or_else(|| refuse_value::<T>(name, value.as_deref()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kabar_core::domain::conversation::ConversationStatus;
    use kabar_core::domain::page::PageLimit;
    use kabar_core::domain::time::TimeBound;

    fn code<T: ParameterKind>(query: &str, name: &'static str) -> Option<ErrorCode> {
        read_query::<T>(query, name).err().map(|error| error.code())
    }

    #[test]
    fn a_parameter_is_given_once_and_never_empty() {
        let refused = Some(ErrorCode::InvalidFieldValue);
        for query in
            ["status=", "status", "status=open&status=open", "status=Open", "status=%ff", "status=%2"]
        {
            assert_eq!(code::<ConversationStatus>(query, "status"), refused, "{query}");
        }
        for query in ["", "other=%ff", "%ff=open", "&&", "x=1&status=open", "st%61tus=open"] {
            assert_eq!(code::<ConversationStatus>(query, "status"), None, "{query}");
        }
        let found = read_query::<ConversationStatus>("st%61tus=o%70en&&", "status").unwrap();
        assert_eq!(found, Some(ConversationStatus::Open));
    }

    #[test]
    fn limits_and_cursors_have_their_own_codes() {
        for query in ["limit=0", "limit=101", "limit=", "limit=x", "limit=1&limit=2", "limit=1e1", "limit=-1"]
        {
            assert_eq!(code::<PageLimit>(query, "limit"), Some(ErrorCode::InvalidLimit), "{query}");
        }
        assert_eq!(code::<CursorText>("cursor=", "cursor"), Some(ErrorCode::InvalidCursor));
        assert_eq!(code::<PageLimit>("limit=100", "limit"), None);
        let told = read_query::<PageLimit>("limit=500", "limit").unwrap_err().to_string();
        assert_eq!(told, "invalid_limit: limit must be 1 to 100, got 500");
        let told = read_query::<SearchText>(&format!("search={}", "x".repeat(201)), "search").unwrap_err();
        assert!(!told.to_string().contains("xx"), "{told}");
    }

    #[test]
    fn a_plus_in_a_query_is_a_blank_that_bounds_understand() {
        let read = |query| read_query::<TimeBound>(query, "since").unwrap().unwrap().strictly_after();
        let expected = read("since=2026-06-19T11:00:00Z");
        assert_eq!(read("since=2026-06-19T18:00:00+07:00"), expected);
        assert_eq!(read("since=2026-06-19T18:00:00%2B07:00"), expected);
        assert_eq!(read("since=2026-06-19T18%3A00%3A00.000%2b07:00"), expected);
    }
}

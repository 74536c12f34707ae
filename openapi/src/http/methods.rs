//! Allowed methods of each path, for 405 and its `Allow` header.
//!
//! Read off the operations themselves, so it cannot differ from the router.

use std::collections::{BTreeSet, HashMap};

use poem::http::header::HeaderValue;

use super::route::Resource;

/// `Allow` header of a page of the site.
pub(super) const SITE_METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD");

/// Table of the allowed methods of every resource with operations.
pub(crate) struct MethodTable(HashMap<Resource, HeaderValue>);

impl MethodTable {
    /// Builds the table from the path and the method of every operation.
    pub(crate) fn new(operations: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut methods = HashMap::<Resource, BTreeSet<String>>::new();
        for (path, method) in operations {
            let Some(resource) = Resource::from_path(&path) else { continue };
            let allowed = methods.entry(resource).or_default();
            if method == "GET" {
                allowed.insert("HEAD".to_owned());
            }
            allowed.insert(method);
        }
        let headers = methods.into_iter().filter_map(|(resource, allowed)| {
            let words: Vec<_> = allowed.iter().map(String::as_str).collect();
            Some((resource, HeaderValue::try_from(words.join(", ")).ok()?))
        });
        Self(headers.collect())
    }

    /// Returns the `Allow` header of a resource; `None` for one without operations.
    pub(crate) fn allowed_methods(&self, resource: Resource) -> Option<HeaderValue> {
        self.0.get(&resource).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_path_says_what_it_takes() {
        let operations = [
            ("/v1/{phone_number_id}/contacts", "GET"),
            ("/v1/{phone_number_id}/contacts", "POST"),
            ("/v1/{phone_number_id}/contacts/{contact_id}", "PATCH"),
            ("/v1/plugins/{plugin_id}", "DELETE"),
        ];
        let operations = operations.map(|(path, method)| (path.to_owned(), method.to_owned()));
        let table = MethodTable::new(operations);
        let allowed = |path| {
            let allow = table.allowed_methods(Resource::from_path(path)?);
            allow.map(|allow| allow.to_str().unwrap().to_owned())
        };
        assert_eq!(allowed("/v1/123456/contacts").as_deref(), Some("GET, HEAD, POST"));
        assert_eq!(allowed("/v1/123456/contacts/x").as_deref(), Some("PATCH"));
        assert_eq!(allowed("/v1/plugins/contacts").as_deref(), Some("DELETE"));
        for path in ["/", "/v1", "/v1//contacts", "/v1/1/contacts/", "/v1/1/contacts/2/3"] {
            assert_eq!(allowed(path), None, "{path}");
        }
    }
}

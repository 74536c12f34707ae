//! Allowed methods of each path, for 405 and its `Allow` header.
//!
//! Read off the operations themselves, so it cannot differ from the routes.

use std::collections::BTreeSet;

use poem::http::header::HeaderValue;

/// One documented path and a method of it.
pub(crate) type PathMethod = (String, String);

struct PathTemplate {
    segments: Vec<Option<String>>,
    allow: BTreeSet<String>,
}

impl PathTemplate {
    fn split_path(path: &str) -> Vec<Option<String>> {
        path.split('/').map(|part| (!part.starts_with('{')).then(|| part.to_owned())).collect()
    }

    fn count_literals(&self) -> usize {
        self.segments.iter().flatten().count()
    }

    fn matches_path(&self, path: &str) -> bool {
        let parts: Vec<_> = path.split('/').collect();
        let same = |(part, segment): (&&str, &Option<String>)| {
            segment.as_ref().map_or(!part.is_empty(), |literal| literal == part)
        };
        parts.len() == self.segments.len() && parts.iter().zip(&self.segments).all(same)
    }
}

/// Table of the allowed methods of every path.
pub(crate) struct MethodTable(Vec<PathTemplate>);

impl MethodTable {
    /// Builds the table of operations, and of pages that only take GET.
    pub(crate) fn new<'a>(
        operations: impl IntoIterator<Item = PathMethod>,
        pages: impl Iterator<Item = &'a str>,
    ) -> Self {
        let pages = pages.map(|path| (path.to_owned(), "GET".to_owned()));
        let mut templates: Vec<PathTemplate> = Vec::new();
        for (path, method) in operations.into_iter().chain(pages) {
            let segments = PathTemplate::split_path(&path);
            let allow = if method == "GET" { vec!["HEAD".to_owned(), method] } else { vec![method] };
            match templates.iter_mut().find(|template| template.segments == segments) {
                Some(template) => template.allow.extend(allow),
                None => templates.push(PathTemplate { segments, allow: allow.into_iter().collect() }),
            }
        }
        Self(templates)
    }

    /// Returns the `Allow` header of a path; `None` for an unknown path.
    pub(crate) fn allowed_methods(&self, path: &str) -> Option<HeaderValue> {
        let matching = self.0.iter().filter(|template| template.matches_path(path));
        let closest = matching.max_by_key(|template| template.count_literals())?;
        let methods: Vec<_> = closest.allow.iter().map(String::as_str).collect();
        HeaderValue::try_from(methods.join(", ")).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_path_says_what_it_takes() {
        let operations = [
            ("/v1/{id}/contacts", "GET"),
            ("/v1/{id}/contacts", "POST"),
            ("/v1/{id}/contacts/{id}", "PATCH"),
            ("/v1/me/contacts", "DELETE"),
        ];
        let operations = operations.map(|(path, method)| (path.to_owned(), method.to_owned()));
        let table = MethodTable::new(operations, ["/docs"].into_iter());
        let allowed = |path| table.allowed_methods(path).map(|allow| allow.to_str().unwrap().to_owned());
        assert_eq!(allowed("/v1/123456/contacts").as_deref(), Some("GET, HEAD, POST"));
        assert_eq!(allowed("/v1/123456/contacts/x").as_deref(), Some("PATCH"));
        assert_eq!(allowed("/v1/me/contacts").as_deref(), Some("DELETE"));
        assert_eq!(allowed("/docs").as_deref(), Some("GET, HEAD"));
        for path in ["/", "/v1", "/v1//contacts", "/v1/1/contacts/", "/v1/1/contacts/2/3"] {
            assert_eq!(allowed(path), None, "{path}");
        }
    }
}

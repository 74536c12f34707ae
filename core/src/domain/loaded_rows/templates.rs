//! Look-ups of templates.

use std::sync::Arc;

use super::LoadedRows;
use crate::domain::row_needs::{RowNeed, RowNotLoaded};
use crate::domain::template::{Template, TemplateKey};

impl LoadedRows {
    /// Adds, or replaces, a template.
    pub fn put_template(&mut self, template: Arc<Template>) {
        self.templates.put_row(template.key.clone(), template);
    }

    /// Records that there is no template of this name in this language, unless one was put.
    pub fn put_absent_template(&mut self, key: &TemplateKey) {
        self.templates.put_absent(key.clone());
    }

    /// Finds a template.
    ///
    /// # Errors
    /// [`RowNotLoaded`].
    pub fn find_template(&self, key: &TemplateKey) -> Result<Option<&Arc<Template>>, RowNotLoaded> {
        self.templates.find_row(key, || RowNeed::Template(key.clone()))
    }

    /// Iterates over the templates that were looked for, those that are absent included.
    pub fn loaded_templates(&self) -> impl Iterator<Item = (&TemplateKey, Option<&Arc<Template>>)> {
        self.templates.0.iter().map(|(key, row)| (key, row.as_ref()))
    }

    /// Records that a template was removed.
    pub(in crate::domain) fn remove_template(&mut self, key: &TemplateKey) {
        self.templates.0.insert(key.clone(), None);
    }
}

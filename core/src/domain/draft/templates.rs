//! Changes of a draft to templates.
//!
//! Invariant: no template is written and removed by one commit, so that no row is touched twice.

use std::sync::Arc;

use super::Draft;
use crate::domain::template::{Template, TemplateKey};
use crate::ids::TemplateId;

impl Draft<'_> {
    /// Returns the id of a new template. One that replaces a template of the same name, removed by this draft, takes that
    /// one's row.
    pub fn next_template_id(&mut self, key: &TemplateKey) -> TemplateId {
        let removed = self.changes.removed_templates.iter().find(|(_, gone)| *gone == key);
        match removed.map(|(id, _)| *id) {
            Some(id) => {
                self.changes.removed_templates.remove(&id);
                id
            }
            None => TemplateId::from_bits(self.next_bits()),
        }
    }

    /// Writes a template, stamped with the draft's instant.
    pub fn write_template(&mut self, mut template: Template) -> Arc<Template> {
        template.updated_at = self.now;
        let template = Arc::new(template);
        self.facts.put_template(template.clone());
        self.changes.templates.insert(template.id, template.clone());
        template
    }

    /// Removes a template that WhatsApp does not have any more.
    pub fn remove_template(&mut self, template: &Template) {
        self.facts.remove_template(&template.key);
        self.changes.templates.remove(&template.id);
        self.changes.removed_templates.insert(template.id, template.key.clone());
    }

    /// Requests that WhatsApp is asked for its list of templates, once the commit is durable.
    pub const fn ask_templates(&mut self) {
        self.changes.asks_templates = true;
    }
}

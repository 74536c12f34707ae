//! The guides of `docs/`, as pages: written once in Markdown, read in the repository and here.
//!
//! Links between guides lead from page to page. Links to other files of the repository have no target here,
//! and become plain text.

use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

use crate::http::route::Resource;

/// One guide.
pub(super) struct GuidePage {
    /// The last part of its path here, and its file's name.
    pub(super) name: &'static str,
    /// Title on the start page.
    pub(super) title: &'static str,
    /// Purpose of the guide.
    pub(super) says: &'static str,
    /// `true` for a guide for operators.
    pub(super) operators: bool,
    markdown: &'static str,
}

macro_rules! guides {
    ($($name:literal, $operators:literal, $title:literal, $says:literal;)*) => {
        /// All guides, in the order of the start page.
        pub(super) const ALL: &[GuidePage] = &[$(GuidePage {
            name: $name,
            title: $title,
            says: $says,
            operators: $operators,
            markdown: include_str!(concat!("../../../docs/", $name, ".md")),
        },)*];
    };
}

guides! {
    "polling", false, "Polling", "The loop to copy, and what each way of being told costs";
    "contract", false, "Contract", "What clients may rely on, exactly";
    "drop-in", false, "Coming from Kirimdev", "What is the same, what is better, what is missing";
    "switching", false, "Coming from Meta or Chatwoot", "Call by call, what takes its place";
    "webhooks", false, "Webhooks", "Be called, and know that it was this server";
    "hooks", false, "Hooks", "WebAssembly that runs where the events are";
    "simulator", false, "Simulator", "A WhatsApp to test against";
    "operations", true, "Operations", "Size it, back it up, upgrade it, watch it";
    "configuration", true, "Configuration", "Every setting";
    "benchmarks", true, "Benchmarks", "What was measured, and how to measure it yourself";
}

impl GuidePage {
    /// Renders the guide as HTML.
    pub(super) fn render_html(&self) -> String {
        let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
        let mut lost = false;
        let events = Parser::new_ext(self.markdown, options).filter_map(|event| {
            if let Event::Start(Tag::Link { link_type, dest_url, title, id }) = event {
                let here = local_link(&dest_url);
                lost = here.is_none();
                let link = |dest_url| Event::Start(Tag::Link { link_type, dest_url, title, id });
                return here.map(link);
            }
            let end = event == Event::End(TagEnd::Link) && std::mem::take(&mut lost);
            (!end).then_some(event)
        });
        let mut text = String::with_capacity(self.markdown.len().saturating_mul(2));
        html::push_html(&mut text, add_anchors(events.collect()).into_iter());
        text
    }

    /// Returns the path of the page.
    pub(super) fn page_path(&self) -> String {
        Resource::GuidePage.path_with(self.name)
    }
}

/// Returns the target on this server of a link in the repository.
fn local_link(link: &str) -> Option<CowStr<'static>> {
    if link.starts_with("https://") || link.starts_with('#') {
        return Some(link.to_owned().into());
    }
    let (file, fragment) = link.split_once('#').map_or((link, None), |(file, rest)| (file, Some(rest)));
    if file.ends_with("openapi/openapi.json") {
        return Some(Resource::JsonDocument.path_template().into());
    }
    let name = file.strip_suffix(".md")?;
    let guide = ALL.iter().find(|guide| guide.name == name)?;
    Some(
        fragment
            .map_or_else(|| guide.page_path(), |fragment| format!("{}#{fragment}", guide.page_path()))
            .into(),
    )
}

/// Gives each heading the anchor that it has in the repository: its words, joined by hyphens.
fn add_anchors(mut events: Vec<Event<'_>>) -> Vec<Event<'_>> {
    let mut heading = None;
    let mut ids: Vec<(usize, HeadingLevel, String)> = Vec::new();
    for (place, event) in events.iter().enumerate() {
        match (event, &mut heading) {
            (Event::Start(Tag::Heading { level, .. }), _) => heading = Some((place, *level, String::new())),
            (Event::Text(text) | Event::Code(text), Some((_, _, words))) => words.push_str(text),
            (Event::End(TagEnd::Heading(_)), _) => ids.extend(heading.take()),
            _ => {}
        }
    }
    for (place, level, words) in ids {
        let kept =
            words.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
        let id: String = kept.collect::<String>().to_lowercase().replace(' ', "-");
        if let Some(event) = events.get_mut(place) {
            let (classes, attrs) = (Vec::new(), Vec::new());
            *event = Event::Start(Tag::Heading { level, id: Some(id.into()), classes, attrs });
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_on_this_server_or_go_to_the_web() {
        let led = |link| local_link(link).map(|led| led.to_string());
        assert_eq!(led("contract.md#2-errors").as_deref(), Some("/guides/contract#2-errors"));
        assert_eq!(led("polling.md").as_deref(), Some("/guides/polling"));
        assert_eq!(led("../openapi/openapi.json").as_deref(), Some("/v1/openapi.json"));
        assert_eq!(led("#here").as_deref(), Some("#here"));
        for lost in ["ARCHITECTURE.md", "examples/simulator/flaky.toml", "../README.md"] {
            assert_eq!(led(lost), None, "{lost}");
        }
        for guide in ALL {
            let html = guide.render_html();
            assert!(html.contains("<h1 id=") && html.len() > 500, "{}", guide.name);
            assert!(!html.contains(".md\""), "{}", guide.name);
            assert_eq!(html.matches("<a ").count(), html.matches("</a>").count(), "{}", guide.name);
        }
    }
}

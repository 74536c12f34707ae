//! View of an account, as readers see it: its rows in memory, the queries on them, and the pages that were
//! rendered.

mod account_view;
mod conversations;
mod query;
mod response_cache;

pub(crate) use account_view::AccountView;
pub(crate) use conversations::Conversations;
pub use query::{
    CachedResponse, CompressedHead, LogReach, PageKind, QueryResult, ReadQuery, RenderRows, RenderedPage,
    ResponseKey,
};

//! Many accounts at once: each is loaded once however many ask, and commits of one do not show in
//! another.

use std::sync::Arc;

use super::fixture::{AccountFixture, every_thread, text_of};
use crate::context::AccountRegistryOptions;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_loaded_once_however_many_ask() {
    let fixture = Arc::new(AccountFixture::open(AccountRegistryOptions::default()).await);
    let asks = (0..50).map(|_| {
        let fixture = fixture.clone();
        fixture.clone().tasks.spawn(async move { text_of(&fixture.ask(&every_thread()).await) })
    });
    for asked in futures_util::future::join_all(asks).await {
        assert_eq!(asked.unwrap(), "");
    }
    fixture.until_metric("kabar_account_activations_total 1").await;
}

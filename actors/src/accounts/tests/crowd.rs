//! Many accounts at once: each is loaded once however many ask, and commits of one do not show in
//! another.

use std::sync::Arc;

use super::fixture::{Context, every_thread, text_of};
use crate::accounts::AccountRegistryOptions;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_loaded_once_however_many_ask() {
    let ground = Arc::new(Context::open(AccountRegistryOptions::default()).await);
    let asks = (0..50).map(|_| {
        let ground = ground.clone();
        ground.clone().tasks.spawn(async move { text_of(&ground.ask(&every_thread()).await) })
    });
    for asked in futures_util::future::join_all(asks).await {
        assert_eq!(asked.unwrap(), "");
    }
    ground.until_metric("kabar_account_activations_total 1").await;
}

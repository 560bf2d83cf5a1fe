//! Peers that the server must give up after some time.

use std::time::Duration;

use futures_util::future::join_all;

use crate::scene::{Form, Scene};

/// Awaits peers, each of which returns whether its connection is open after this time. In the long
/// form, reports those that are; the short form ends too soon.
pub(super) async fn expect_given_up(
    scene: &Scene,
    what: &str,
    within: Duration,
    peers: impl IntoIterator<Item = impl Future<Output = bool>>,
) {
    let are_open = join_all(peers).await;
    let open = are_open.iter().filter(|open| **open).count();
    scene.check(open == 0 || scene.form == Form::Short, || {
        format!(
            "{open} of {} {what} are open after {within:?}",
            are_open.len()
        )
    });
}

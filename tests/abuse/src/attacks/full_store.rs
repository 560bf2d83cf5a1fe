//! Streams without entries, as many as the memory of the server takes.

use std::collections::BTreeMap;
use std::time::Instant;

use streamgate_protocol::codec::Encoding;
use streamgate_protocol::{ClientMessage, Operation};

use crate::attack::Attack;
use crate::bounds::{Bounds, BystanderBound};
use crate::raw_socket::messages;
use crate::scene::Scene;

pub(super) const ATTACKS: &[Attack] = &[Attack::new(
    "full-store",
    "groups of streams without entries, until the memory is full: adds say so, and reads go on",
    |scene| Box::pin(fill(scene)),
)
.on_memory()
.bounds(Bounds::DEFAULT.bystander(BystanderBound::ReadsOn))];

/// Groups of a frame.
const PER_FRAME: u64 = 1_024;

/// Groups that take more than any store of this test.
const MAX_GROUPS: u64 = 400_000;

async fn fill(scene: &Scene) -> anyhow::Result<()> {
    let mut socket = scene.socket(Encoding::Binary).await?;
    let mut codes = BTreeMap::<String, u64>::new();
    let most = scene.pick(MAX_GROUPS / 4, MAX_GROUPS);
    let end = Instant::now() + scene.pick(scene.length() * 8, scene.length() * 4);
    for start in (0..most).step_by(PER_FRAME as usize) {
        let groups = (start..start + PER_FRAME).map(|id| ClientMessage::Request {
            id,
            operation: Operation::CreateGroup {
                stream: format!("empty:{id}").into(),
                group: "g".into(),
                id: "0".into(),
            },
        });
        socket.send(&messages(Encoding::Binary, groups)).await?;
        for code in socket.codes(PER_FRAME as usize).await? {
            *codes.entry(code).or_default() += 1;
        }
        if Instant::now() > end {
            break;
        }
    }
    // A store that removes idle empty streams refuses nothing.
    codes.remove("ok");
    codes.remove("OOM");
    codes.remove("OVERLOADED");
    scene.check(codes.is_empty(), || {
        format!("groups were answered with {codes:?}")
    });
    Ok(())
}

//! Makes the faults of one place, one after the other, and undoes each.

use std::sync::Arc;

use anyhow::ensure;
use streamgate_test_support::relay::{Cut, Flow, Scope, Way};
use streamgate_test_support::{Proxy, RedisServer, Relay};
use tokio::time::{sleep, sleep_until};

use crate::schedule::{Fault, Lane, Place, Planned};
use crate::world::{World, blocking};

/// What fails at a place, if it is a process.
pub(crate) enum Subject {
    Relay,
    Proxy(Proxy),
    Redis(RedisServer),
}

/// Makes all faults of a place. Afterwards it is well, and given back.
pub(crate) async fn run(
    world: Arc<World>,
    lane: Lane,
    mut subject: Subject,
) -> anyhow::Result<Subject> {
    for planned in lane.faults {
        sleep_until(world.begun() + planned.at).await;
        world.count(lane.place, planned.fault);
        subject = match (subject, lane.place) {
            (Subject::Proxy(proxy), Place::Proxy(place)) => {
                Subject::Proxy(fail_proxy(&world, place, proxy, planned).await?)
            }
            (Subject::Redis(redis), _) => Subject::Redis(fail_redis(redis, planned).await?),
            (subject, Place::Front(front)) => {
                fail_front(&world, front, planned).await;
                subject
            }
            (subject, Place::Back(back)) => {
                fail_relay(&world.backs[back], planned).await;
                subject
            }
            (subject, _) => subject,
        };
    }
    Ok(subject)
}

async fn fail_front(world: &World, front: usize, planned: Planned) {
    let relay = &world.fronts[front];
    if planned.fault == Fault::Elsewhere {
        world.divert(front);
        relay.cut(Cut::Close);
        sleep(planned.lasts).await;
        world.divert_no_more(front);
    } else {
        fail_relay(relay, planned).await;
    }
}

async fn fail_relay(relay: &Relay, Planned { fault, lasts, .. }: Planned) {
    let (scope, way, flow) = match fault {
        Fault::Cut(cut) => {
            relay.cut(cut);
            return;
        }
        Fault::Refuse => {
            relay.refuse(true);
            relay.cut(Cut::Reset);
            sleep(lasts).await;
            relay.refuse(false);
            return;
        }
        Fault::Stall(way) => (Scope::All, way, Flow::Stall),
        Fault::Delay(way, delay) => (Scope::All, way, Flow::Delay(delay)),
        Fault::Slow(way, rate) => (Scope::All, way, Flow::Slow(rate)),
        Fault::Halve(way, cut) => (Scope::Present, way, Flow::Halve(cut)),
        Fault::CutAfter(way, bytes, cut) => (Scope::Present, way, Flow::CutAfter(bytes, cut)),
        Fault::Elsewhere | Fault::Kill { .. } | Fault::Drain | Fault::Pause => return,
    };
    relay.set(scope, way, flow);
    sleep(lasts).await;
    relay.set(Scope::All, Way::Both, Flow::Pass);
}

async fn fail_proxy(
    world: &World,
    place: usize,
    proxy: Proxy,
    planned: Planned,
) -> anyhow::Result<Proxy> {
    match planned.fault {
        Fault::Kill { elsewhere } => {
            blocking(|| proxy.kill()).await?;
            if elsewhere {
                world.divert(place);
            }
            sleep(planned.lasts).await;
            let proxy = world.start_proxy(place).await?;
            world.serves(place, &proxy)?;
            if elsewhere {
                world.divert_no_more(place);
            }
            Ok(proxy)
        }
        Fault::Drain => {
            let next = world.start_proxy(place).await?;
            world.serves(place, &next)?;
            let status = blocking(|| proxy.terminate()).await?;
            ensure!(status.success(), "a proxy ended by SIGTERM with {status}");
            Ok(next)
        }
        _ => {
            proxy.pause()?;
            sleep(planned.lasts).await;
            proxy.resume()?;
            Ok(proxy)
        }
    }
}

async fn fail_redis(mut redis: RedisServer, planned: Planned) -> anyhow::Result<RedisServer> {
    if planned.fault == Fault::Pause {
        redis.pause()?;
        sleep(planned.lasts).await;
        redis.resume()?;
        return Ok(redis);
    }
    let mut redis = blocking(move || {
        redis.kill()?;
        Ok(redis)
    })
    .await?;
    sleep(planned.lasts).await;
    blocking(move || {
        redis.restart()?;
        Ok(redis)
    })
    .await
}

//! Injects the faults of one site, one after the other, and undoes each.

use std::sync::Arc;

use anyhow::ensure;
use streamgate_test_support::relay::{Cut, Direction, Flow, Scope};
use streamgate_test_support::{Proxy, RedisServer, Relay};
use tokio::time::{sleep, sleep_until};

use crate::deployment::{Deployment, blocking};
use crate::redis_inspector::RedisInspector;
use crate::schedule::{Fault, FaultSite, ScheduledFault, SiteSchedule};
use crate::tokens;

/// The process or relay of a site.
pub(crate) enum Subject {
    Relay,
    Proxy(Proxy),
    Redis(RedisServer),
    /// A direct connection to Redis, while there is one.
    DedupWindows(Option<RedisInspector>),
    /// The same.
    Tokens(Option<RedisInspector>),
}

/// Injects all faults of a site. Returns its subject, which is healthy again.
pub(crate) async fn run(
    deployment: Arc<Deployment>,
    schedule: SiteSchedule,
    mut subject: Subject,
) -> anyhow::Result<Subject> {
    for planned in schedule.faults {
        sleep_until(deployment.started() + planned.at).await;
        deployment.count_fault(schedule.site, planned.fault);
        subject = match (subject, schedule.site) {
            (Subject::Proxy(proxy), FaultSite::Proxy(index)) => {
                Subject::Proxy(fail_proxy(&deployment, index, proxy, planned).await?)
            }
            (Subject::DedupWindows(mut inspector), _) => {
                inspector = evict(&deployment, inspector).await;
                Subject::DedupWindows(inspector)
            }
            (Subject::Tokens(inspector), _) => {
                Subject::Tokens(revoke(&deployment, inspector, planned.fault).await)
            }
            (Subject::Redis(redis), _) => Subject::Redis(fail_redis(redis, planned).await?),
            (subject, FaultSite::ClientRelay(index)) => {
                fail_client_relay(&deployment, index, planned).await;
                subject
            }
            (subject, FaultSite::RedisRelay(index)) => {
                fail_relay(&deployment, &deployment.redis_relays[index], planned).await;
                subject
            }
            (subject, _) => subject,
        };
    }
    Ok(subject)
}

async fn fail_client_relay(deployment: &Deployment, index: usize, planned: ScheduledFault) {
    let relay = &deployment.client_relays[index];
    if let Fault::OtherProxy(cut) = planned.fault {
        deployment.divert(index);
        deployment.cut(relay, cut);
        sleep(planned.lasts).await;
        deployment.undivert(index);
    } else {
        fail_relay(deployment, relay, planned).await;
    }
}

/// Evicts all dedup windows. While Redis is unavailable, there is nothing to evict.
async fn evict(
    deployment: &Deployment,
    inspector: Option<RedisInspector>,
) -> Option<RedisInspector> {
    let mut inspector = match inspector {
        Some(inspector) => inspector,
        None => RedisInspector::open(deployment.redis_url()).await.ok()?,
    };
    let evicted = inspector.evict_dedup_windows().await.ok()?;
    deployment.count_evicted(evicted);
    Some(inspector)
}

/// Revokes tokens that were issued before now. While Redis is unavailable, nobody can.
async fn revoke(
    deployment: &Deployment,
    inspector: Option<RedisInspector>,
    fault: Fault,
) -> Option<RedisInspector> {
    let issuer = deployment.issuer()?;
    let mut inspector = match inspector {
        Some(inspector) => inspector,
        None => RedisInspector::open(deployment.redis_url()).await.ok()?,
    };
    let subject = match fault {
        Fault::RevokeSubject(number) => Some(number % issuer.subjects().max(1)),
        _ => None,
    };
    inspector.revoke(&tokens::field(subject)).await.ok()?;
    Some(inspector)
}

async fn fail_relay(
    deployment: &Deployment,
    relay: &Relay,
    ScheduledFault { fault, lasts, .. }: ScheduledFault,
) {
    let (scope, direction, flow) = match fault {
        Fault::Cut(cut) => {
            deployment.cut(relay, cut);
            return;
        }
        Fault::Refuse => {
            relay.refuse(true);
            relay.cut(Cut::Reset);
            sleep(lasts).await;
            relay.refuse(false);
            return;
        }
        Fault::Stall(direction) => (Scope::All, direction, Flow::Stall),
        Fault::Delay(direction, delay) => (Scope::All, direction, Flow::Delay(delay)),
        Fault::Slow(direction, rate) => (Scope::All, direction, Flow::Slow(rate)),
        Fault::CutHalfway(direction, cut) => (Scope::Present, direction, Flow::CutHalfway(cut)),
        Fault::CutAfter(direction, bytes, cut) => {
            (Scope::Present, direction, Flow::CutAfter(bytes, cut))
        }
        Fault::OtherProxy(_)
        | Fault::Kill { .. }
        | Fault::Drain
        | Fault::Pause
        | Fault::Evict
        | Fault::RevokeSubject(_)
        | Fault::RevokeAll => return,
    };
    relay.set(scope, direction, flow);
    sleep(lasts).await;
    relay.set(Scope::All, Direction::Both, Flow::Pass);
}

async fn fail_proxy(
    deployment: &Deployment,
    index: usize,
    proxy: Proxy,
    planned: ScheduledFault,
) -> anyhow::Result<Proxy> {
    match planned.fault {
        Fault::Kill { to_other_proxy } => {
            blocking(|| proxy.kill()).await?;
            if to_other_proxy {
                deployment.divert(index);
            }
            sleep(planned.lasts).await;
            let proxy = deployment.start_proxy(index).await?;
            deployment.set_proxy(index, &proxy)?;
            if to_other_proxy {
                deployment.undivert(index);
            }
            Ok(proxy)
        }
        Fault::Drain => {
            let next = deployment.start_proxy(index).await?;
            deployment.set_proxy(index, &next)?;
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

async fn fail_redis(
    mut redis: RedisServer,
    planned: ScheduledFault,
) -> anyhow::Result<RedisServer> {
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

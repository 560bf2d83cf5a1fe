//! One attack from start to end.

use std::fs;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::future::join;
use streamgate_protocol::{CacheError, StreamingBackend};
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

use crate::attack::Attack;
use crate::bounds::{
    BESIDE_BUDGET_MIB, BUDGET_MIB, BystanderBound, LOG_LINES, MAX_P99_RATIO, STORE_MIB,
};
use crate::bystander::Bystander;
use crate::cores::Cores;
use crate::deployment::{Deployment, Store, TOKEN};
use crate::figures::{Call, Figures, Growth};
use crate::process_memory::{peak, reset_peak, resident};
use crate::raw_socket::HANG_LIMIT;
use crate::report::{Report, mib};
use crate::scene::{Form, Scene};

/// An attack that ends sooner is measured for so long: the bystander makes several rounds of calls.
const SHORTEST_ATTACK: Duration = Duration::from_millis(200);

/// Most kinds of errors of the bystander that are shown.
const MAX_SHOWN_ERRORS: usize = 3;

/// Longest text of one that is shown, in characters.
const MAX_SHOWN_CHARS: usize = 200;

/// Runs an attack on a server of its own.
pub(crate) fn run(attack: &Attack, store: Store, form: Form, cores: &Cores) -> Report {
    let mut report = Report::new(attack, store);
    if let Err(error) = measure(&mut report, attack, store, form, cores) {
        report.problems.push(format!("{error:#}"));
    }
    report
}

fn measure(
    report: &mut Report,
    attack: &Attack,
    store: Store,
    form: Form,
    cores: &Cores,
) -> anyhow::Result<()> {
    let started = Instant::now();
    let attackers = attackers(cores)?;
    let mut deployment = Deployment::start(&attack.server, store, cores, &attackers)?;
    let server = deployment.proxy.pid();
    let redis = deployment.redis.as_ref().and_then(|redis| redis.pid());
    let scene = Scene {
        address: deployment.address()?,
        ws_url: deployment.proxy.ws_url(),
        token: attack.server.with_tokens.then_some(TOKEN),
        redis_url: deployment.redis.as_ref().map(|redis| redis.url()),
        form,
        relay: deployment.relay.take(),
        server_pid: server,
        problems: Mutex::default(),
    };
    if let Some(prepare) = attack.prepare {
        attackers
            .block_on(prepare(&scene))
            .context("cannot prepare the attack")?;
    }

    let bystander = Bystander::start(scene.ws_url.clone(), scene.token, cores)?;
    let start_before = Instant::now();
    thread::sleep(form.time_before());
    reset_peak(server)?;
    let redis_before = match redis {
        Some(redis) => {
            reset_peak(redis)?;
            Some(resident(redis)?)
        }
        None => None,
    };

    let start = Instant::now();
    let attacked = cores.on_attackers(|| {
        attackers.block_on(async {
            let attack = timeout(form.hang_limit(), (attack.run)(&scene));
            join(attack, sleep(SHORTEST_ATTACK)).await.0
        })
    })?;
    let end = Instant::now();
    report.server_peak = peak(server).context("the server did not survive")?;
    if let (Some(redis), Some(before)) = (redis, redis_before) {
        report.redis_growth = Some(peak(redis)?.saturating_sub(before));
    }
    match attacked {
        Ok(Ok(())) => {}
        Ok(Err(error)) => scene.problem(format!("the attack ended: {error:#}")),
        Err(_) => scene.problem("the attack hung"),
    }
    if let Some(relay) = &scene.relay {
        relay.clear_faults();
    }
    let newcomer = Runtime::new()?.block_on(async { timeout(HANG_LIMIT, newcomer(&scene)).await });
    match newcomer {
        Ok(Ok(())) => {}
        Ok(Err(error)) if is_full(attack, &error) => {}
        Ok(Err(error)) => scene.problem(format!("a newcomer after the attack: {error:#}")),
        Err(_) => scene.problem("a newcomer after the attack hung"),
    }
    let samples = bystander.stop()?;
    // Tasks of the attack that go on end with this.
    attackers.shutdown_background();
    let log = fs::read_to_string(deployment.log())?;
    report.log_lines = log.lines().count() as u64;
    let lines = LOG_LINES.0 + LOG_LINES.1 * started.elapsed().as_secs();
    scene.check(report.log_lines <= lines, || {
        format!("{} lines in the log; bound: {lines}", report.log_lines)
    });
    let problems = scene.problems.into_inner();
    for (problem, times) in problems.unwrap_or_else(PoisonError::into_inner) {
        report.problems.push(match times {
            1 => problem,
            _ => format!("{times} times: {problem}"),
        });
    }

    let before = Figures::of(&samples, start_before..start);
    let during = Figures::of(&samples, start..end);
    judge(report, attack, store, form, &before, &during);
    Ok(())
}

/// Whether an add is refused as the attack intends.
fn is_full(attack: &Attack, error: &anyhow::Error) -> bool {
    let code = error.downcast_ref::<CacheError>().map(CacheError::code);
    attack.bounds.bystander == BystanderBound::ReadsOn && code == Some("OOM")
}

/// Compares what was measured with the bounds.
fn judge(
    report: &mut Report,
    attack: &Attack,
    store: Store,
    form: Form,
    before: &Figures,
    during: &Figures,
) {
    let store_mib = if store == Store::Memory { STORE_MIB } else { 0 };
    let bound = (BUDGET_MIB + BESIDE_BUDGET_MIB + store_mib) << 20;
    report.p50 = during.worst_growth(before, 50);
    report.p99 = during.worst_growth(before, 99);
    report.failed_calls = during.failed();
    let mut problems = Vec::new();
    let mut check = |holds: bool, problem: String| {
        if !holds {
            problems.push(problem);
        }
    };
    check(
        report.server_peak <= bound,
        format!(
            "the server took {} MiB; bound: {}",
            mib(report.server_peak),
            mib(bound)
        ),
    );
    if let Some(growth) = report.redis_growth {
        check(
            growth <= attack.bounds.redis_mib << 20,
            format!(
                "Redis grew by {} MiB; bound: {}",
                mib(growth),
                attack.bounds.redis_mib
            ),
        );
    }
    let shown_errors = match attack.bounds.bystander {
        BystanderBound::Unharmed => MAX_SHOWN_ERRORS,
        BystanderBound::Recovers | BystanderBound::ReadsOn => 0,
    };
    check(
        before.failed() == 0 || shown_errors == 0,
        format!("before the attack: {:?}", before.errors),
    );
    for (error, count) in during.errors.iter().take(shown_errors) {
        let shown: String = error.chars().take(MAX_SHOWN_CHARS).collect();
        check(
            false,
            format!("{count} calls of the bystander failed: {shown}"),
        );
    }
    let mut unserved = during.unserved();
    if attack.bounds.bystander == BystanderBound::ReadsOn {
        unserved.retain(|call| *call == Call::Read);
    }
    check(
        unserved.is_empty(),
        format!("none of the bystander's calls succeeded: {unserved:?}"),
    );
    if let (Form::Long, BystanderBound::Unharmed, Some(p99)) =
        (form, attack.bounds.bystander, report.p99)
    {
        let Growth { call, ratio, ms } = p99;
        check(
            ratio <= MAX_P99_RATIO || ms <= attack.bounds.harmless_p99_ms,
            format!(
                "the p99 of the bystander's {call:?} grew {ratio:.1} times; bound: {MAX_P99_RATIO}"
            ),
        );
    }
    report.problems.extend(problems);
}

/// Returns the runtime of the attackers.
fn attackers(cores: &Cores) -> anyhow::Result<Runtime> {
    let cores = cores.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .on_thread_start(move || cores.become_attacker())
        .enable_all()
        .build()?;
    Ok(runtime)
}

/// Connects a new client, and lets it add an entry and read it.
async fn newcomer(scene: &Scene) -> anyhow::Result<()> {
    let client = scene.client().await?;
    let fields = vec![("f".to_owned(), "v".to_owned())];
    let id = client.stream_add("newcomer", fields, Some(100)).await?;
    let entries = client.stream_read_latest("newcomer", 1).await?;
    anyhow::ensure!(
        entries.iter().any(|(other, _)| *other == id),
        "its entry is not there"
    );
    Ok(())
}

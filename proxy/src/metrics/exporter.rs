//! The text of `/metrics`, in the format of Prometheus.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet, prometheus_text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use streamgate_backend::memory_budget::MemoryKind;

use crate::refusal::Refusal;
use crate::server_state::ServerState;
use crate::tls::CurrentTls;

/// Begins every name.
const PREFIX: &str = "streamgate";

/// Returns the figures of a server, as of now, and their content type.
pub(crate) fn render(server: &Arc<ServerState>) -> Result<(&'static str, String), fmt::Error> {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(ServerFigures(Arc::clone(server))));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry)?;
    Ok((prometheus_text::CONTENT_TYPE, text))
}

struct ServerFigures(Arc<ServerState>);

impl fmt::Debug for ServerFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerFigures").finish_non_exhaustive()
    }
}

impl Collector for ServerFigures {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families(encoder);
        process(&mut families, &self.0)?;
        connections(&mut families, &self.0)?;
        requests(&mut families, &self.0)?;
        entries(&mut families, &self.0)?;
        memory(&mut families, &self.0)?;
        backend(&mut families, &self.0)
    }
}

fn process(families: &mut Families<'_>, server: &ServerState) -> fmt::Result {
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    families.gauges("build_info", "The version that runs", [(version, 1)])?;
    let since_epoch = server.started_at.duration_since(SystemTime::UNIX_EPOCH);
    families.gauge(
        "start_time_seconds",
        "When the server started, in seconds since 1970",
        since_epoch.map_or(0, |time| time.as_secs()),
    )?;
    let failed = server.reload_errors.all().map(|(source, error)| {
        let source = [("source", source.as_str())];
        (source, u64::from(error.is_some()))
    });
    families.gauges(
        "reload_failed",
        "1 if a file could not be read again, so that the last good one is in force",
        failed,
    )?;
    let lines = [
        ("refusal", server.refusals.suppressed_lines()),
        ("close", server.close_log.total_suppressed()),
    ];
    families.counters(
        "log_lines_suppressed",
        "Lines that were not logged, because there were too many of their kind",
        lines.map(|(kind, count)| ([("kind", kind)], count)),
    )
}

fn connections(families: &mut Families<'_>, server: &ServerState) -> fmt::Result {
    let metrics = &server.metrics;
    families.gauge("sockets", "Open sockets", server.open_sockets().into())?;
    families.gauge(
        "sockets_max",
        "Bound on open sockets (--max-sockets)",
        server.config.socket_limit().into(),
    )?;
    let expires_at = server.tls.as_ref().and_then(CurrentTls::expires_at);
    let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH);
    families.gauges(
        "tls_certificate_expiry_seconds",
        "When the certificate of the listener expires, in seconds since 1970",
        expires_at.map(|time| {
            let seconds = seconds(time).map_or(0, |time| time.as_secs());
            ([("listener", "public")], seconds)
        }),
    )?;
    families.gauge(
        "handshakes",
        "Connections that are no sockets yet",
        server.handshake_places.taken() as u64,
    )?;
    families.gauge(
        "handshakes_max",
        "Bound on connections that are no sockets yet (--max-handshakes)",
        server.config.max_handshakes.into(),
    )?;
    families.counter(
        "sockets_opened",
        "Handshakes that became sockets",
        metrics.sockets_opened.value(),
    )?;
    let closed = [
        ("client", &metrics.sockets_closed_by_client),
        ("shutdown", &metrics.sockets_closed_by_shutdown),
        ("server", &metrics.sockets_closed_by_server),
    ];
    families.counters(
        "sockets_closed",
        "Closed sockets by who closed them; server: for a violation or a time-out",
        closed.map(|(by, count)| ([("by", by)], count.value())),
    )?;
    let refusals = Refusal::ALL.iter();
    families.counters(
        "refusals",
        "Refused connections, requests and handshakes by reason",
        refusals.map(|refusal| {
            (
                [("reason", refusal.name())],
                server.refusals.count(*refusal),
            )
        }),
    )?;
    families.counter(
        "accept_errors",
        "Failures to accept a connection, as when too many files are open",
        metrics.accept_errors.value(),
    )?;
    let bytes = "Payload bytes of the frames that clients";
    families.counter(
        "received_bytes",
        &format!("{bytes} sent"),
        metrics.bytes_received.value(),
    )?;
    families.counter(
        "sent_bytes",
        &format!("{bytes} were sent"),
        metrics.bytes_sent.value(),
    )
}

fn requests(families: &mut Families<'_>, server: &ServerState) -> fmt::Result {
    let metrics = &server.metrics;
    let by_code = metrics.requests.by_code();
    families.counters(
        "requests",
        "Answered requests by operation and code; subscriptions once they fail",
        by_code.map(|(operation, code, count)| {
            ([("operation", operation.name()), ("code", code)], count)
        }),
    )?;
    let mut encoder = families.family(
        "request_duration_seconds",
        "Time from a request's arrival to its answer, of requests that did not wait for an entry",
        MetricType::Histogram,
    )?;
    for (operation, histogram) in metrics.requests.durations() {
        let values = histogram.values();
        let label = [("operation", operation.name())];
        encoder
            .encode_family(&label)?
            .encode_histogram::<NoLabelSet>(
                values.sum_seconds,
                values.count,
                &values.buckets,
                None,
            )?;
    }
    let pauses = [
        ("socket", &metrics.pauses_of_sockets),
        ("subject", &metrics.pauses_of_subjects),
    ];
    families.counters(
        "rate_pauses",
        "Pauses in reading a socket because a rate of [limits] was used up, by whose",
        pauses.map(|(of, count)| ([("of", of)], count.value())),
    )?;
    families.gauge(
        "requests_in_flight",
        "Requests that are not answered, waits and subscriptions included",
        metrics.in_flight.value(),
    )?;
    families.gauge(
        "waits",
        "Requests that wait for an entry",
        metrics.waits.value(),
    )?;
    families.gauge(
        "subscriptions",
        "Tails and consumers that are open",
        metrics.subscriptions.value(),
    )
}

fn entries(families: &mut Families<'_>, server: &ServerState) -> fmt::Result {
    let metrics = &server.metrics;
    families.counter(
        "pushed_entries",
        "Entries that subscriptions pushed",
        metrics.pushed_entries.value(),
    )?;
    families.counter("gaps", "Gaps that tails reported", metrics.gaps.value())?;
    families.counter(
        "skipped_entries",
        "Entries that were too large for a subscription",
        metrics.skipped_entries.value(),
    )
}

fn memory(families: &mut Families<'_>, server: &ServerState) -> fmt::Result {
    let budget = &server.config.memory_budget;
    families.gauge(
        "memory_budget_bytes",
        "Memory budget for what peers make the server hold (--max-memory)",
        budget.max_bytes() as u64,
    )?;
    let kinds = MemoryKind::ALL.iter();
    families.gauges(
        "memory_used_bytes",
        "Bytes of the memory budget that are held, by what for",
        kinds.map(|kind| ([("kind", kind.name())], budget.used_bytes_of(*kind) as u64)),
    )?;
    families.counter(
        "memory_refusals",
        "Reservations that the memory budget refused",
        budget.refusals(),
    )
}

fn backend(families: &mut Families<'_>, server: &ServerState) -> fmt::Result {
    families.gauge(
        "ready",
        "1 while new clients should come, as /readyz says",
        u64::from(server.not_ready().is_none()),
    )?;
    families.gauge(
        "backend_available",
        "1 while the backend is available",
        u64::from(server.backend_error().is_none()),
    )?;
    let Some(counters) = server.backend.counters() else {
        return Ok(());
    };
    families.counter(
        "backend_round_trips",
        "Pipelines of commands that were sent to Redis",
        counters.round_trips.value(),
    )?;
    families.counter(
        "backend_reconnects",
        "Connections to Redis that were made again after a loss",
        counters.reconnects.value(),
    )?;
    families.counter(
        "reclaimed_entries",
        "Idle pending entries that other consumers took over",
        counters.reclaimed_entries.value(),
    )?;
    families.counter(
        "dead_letter_entries",
        "Entries that went to a dead-letter stream",
        counters.dead_letter_entries.value(),
    )
}

/// Writes one family of metrics after the other.
struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    fn family(
        &mut self,
        name: &'static str,
        help: &str,
        metric_type: MetricType,
    ) -> Result<MetricEncoder<'_>, fmt::Error> {
        self.0.encode_descriptor(name, help, None, metric_type)
    }

    fn counter(&mut self, name: &'static str, help: &str, value: u64) -> fmt::Result {
        let mut encoder = self.family(name, help, MetricType::Counter)?;
        encoder.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn gauge(&mut self, name: &'static str, help: &str, value: u64) -> fmt::Result {
        let mut encoder = self.family(name, help, MetricType::Gauge)?;
        encoder.encode_gauge(&value)
    }

    fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &'static str,
        help: &str,
        values: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut encoder = self.family(name, help, MetricType::Counter)?;
        for (labels, value) in values {
            let mut encoder = encoder.encode_family(&labels)?;
            encoder.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &'static str,
        help: &str,
        values: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut encoder = self.family(name, help, MetricType::Gauge)?;
        for (labels, value) in values {
            encoder.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }
}

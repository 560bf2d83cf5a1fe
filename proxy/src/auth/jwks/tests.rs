//! When a set is fetched, and from where.

use futures_util::FutureExt;

use super::*;

fn source() -> JwksSource {
    JwksSource::new("https://issuer.example:8443/keys?v=1").unwrap()
}

#[test]
fn a_source_is_an_https_url_without_a_password() {
    let source = source();
    assert_eq!((&*source.host, source.port), ("issuer.example", 8443));
    assert_eq!(source.url(), "https://issuer.example:8443/keys?v=1");
    assert_eq!(JwksSource::new("https://[::1]/").unwrap().host, "::1");
    for invalid in [
        "",
        "issuer",
        "http://issuer/keys",
        "https://",
        "ftp://issuer",
    ] {
        JwksSource::new(invalid).unwrap_err();
    }
    let error = JwksSource::new("https://user:hunter2@issuer/keys").unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
    source.extra_ca(b"no certificate").unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn unknown_keys_cause_one_fetch_in_ten_seconds_at_most() {
    let mut schedule = FetchSchedule::new(&source());
    let unknown_key = Notify::new();
    schedule.due(&unknown_key).now_or_never().unwrap();
    let began = Instant::now();
    schedule.fetched(began, Some(None));
    for _ in 0..100 {
        unknown_key.notify_one();
    }
    schedule.due(&unknown_key).await;
    assert_eq!(Instant::now() - began, Duration::from_secs(10));
    // That was for all of them.
    let began = Instant::now();
    schedule.fetched(began, Some(None));
    schedule.due(&unknown_key).await;
    assert_eq!(Instant::now() - began, FRESH_BY_DEFAULT);
}

#[tokio::test(start_paused = true)]
async fn a_notice_is_kept_while_something_else_happens() {
    let mut schedule = FetchSchedule::new(&source());
    let unknown_key = Notify::new();
    let began = Instant::now();
    schedule.fetched(began, Some(None));
    unknown_key.notify_one();
    // The policy changes while the fetch is not due yet.
    assert!(schedule.due(&unknown_key).now_or_never().is_none());
    schedule.due(&unknown_key).await;
    assert_eq!(Instant::now() - began, Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn the_issuer_says_when_within_bounds() {
    let unknown_key = Notify::new();
    let seconds = Duration::from_secs;
    for (fresh, pause) in [
        (Some(Some(seconds(0))), seconds(60)),
        (Some(Some(seconds(3600))), seconds(3600)),
        (Some(Some(Duration::MAX)), seconds(24 * 60 * 60)),
        (None, RETRY_PAUSE),
    ] {
        let mut schedule = FetchSchedule::new(&source());
        let began = Instant::now();
        schedule.fetched(began, fresh);
        schedule.due(&unknown_key).await;
        assert_eq!(Instant::now() - began, pause, "{fresh:?}");
    }
}

//! Origins and hosts, allowed and not.

use axum::http::HeaderValue;

use super::*;

const LOOPBACK: Option<ReachedBy> = Some(ReachedBy {
    loopback: true,
    tls: false,
});

const PUBLIC_TLS: Option<ReachedBy> = Some(ReachedBy {
    loopback: false,
    tls: true,
});

const PUBLIC: Option<ReachedBy> = Some(ReachedBy {
    loopback: false,
    tls: false,
});

fn permits(origins: &Origins, host: &str, origin: &str, reached_by: Option<ReachedBy>) -> bool {
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, host.parse().unwrap());
    headers.insert(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
    origins.permit_page(&headers, reached_by)
}

#[test]
fn pages_of_the_own_origin_may_use_the_server_and_no_others() {
    let default = Origins::new();
    for (host, origin, reached_by) in [
        ("localhost:8080", "http://localhost:8080", LOOPBACK),
        ("127.0.0.1", "http://127.0.0.1", LOOPBACK),
        ("127.0.0.1:80", "http://127.0.0.1", LOOPBACK),
        ("[::1]:8080", "http://[::1]:8080", LOOPBACK),
        ("Streams.Example", "https://streams.example", PUBLIC_TLS),
        ("streams.example:443", "https://streams.example", PUBLIC_TLS),
        ("10.0.0.1:8080", "http://10.0.0.1:8080", PUBLIC),
        ("a.example", "https://a.example", None),
        ("a.example", "http://a.example", None),
    ] {
        assert!(permits(&default, host, origin, reached_by), "{origin}");
    }
    for (host, origin, reached_by) in [
        ("localhost:8080", "http://localhost:5173", LOOPBACK),
        ("localhost:8080", "https://localhost:8080", LOOPBACK),
        ("localhost:8080", "http://127.0.0.1:8080", LOOPBACK),
        ("localhost:8080", "https://evil.example", LOOPBACK),
        (
            "localhost:8080",
            "http://localhost:8080.evil.example",
            LOOPBACK,
        ),
        ("localhost:8080", "http://localhost:8080/", LOOPBACK),
        ("localhost:8080", "http://user@localhost:8080", LOOPBACK),
        ("localhost:8080", "null", LOOPBACK),
        ("localhost:8080", "", LOOPBACK),
        ("streams.example", "http://streams.example", PUBLIC_TLS),
        ("streams.example", "https://app.streams.example", PUBLIC_TLS),
        // A rebound name.
        ("evil.example", "http://evil.example", PUBLIC),
        ("a.example", "https://evil.example", None),
    ] {
        assert!(!permits(&default, host, origin, reached_by), "{origin}");
    }
    let mut headers = HeaderMap::new();
    assert!(default.permit_page(&headers, LOOPBACK));
    for _ in 0..2 {
        headers.append(header::ORIGIN, HeaderValue::from_static("http://h"));
    }
    headers.insert(header::HOST, HeaderValue::from_static("h"));
    assert!(!default.permit_page(&headers, LOOPBACK));
}

#[test]
fn origins_are_added_and_a_proxy_may_change_the_own_one() {
    let origins = Origins::new()
        .allow_origin("https://App.example:443")
        .unwrap();
    let origins = origins.public_origin("https://streams.example").unwrap();
    let origins = origins.allow_origin("capacitor://localhost").unwrap();
    for origin in [
        "https://app.example",
        "https://streams.example",
        "capacitor://localhost",
        "http://127.0.0.1:1",
    ] {
        assert!(
            permits(&origins, "127.0.0.1:1", origin, LOOPBACK),
            "{origin}"
        );
    }
    for origin in ["http://app.example", "https://app.example:8443", "null"] {
        assert!(
            !permits(&origins, "127.0.0.1:1", origin, LOOPBACK),
            "{origin}"
        );
    }
    let named = Origins::new().allow_host("streams.example").unwrap();
    let own = "http://streams.example";
    assert!(permits(&named, "streams.example", own, PUBLIC));
    let any = Origins::new().allow_origin("*").unwrap();
    assert!(permits(&any, "h", "null", LOOPBACK));
    for invalid in [
        "app.example",
        "https://",
        "https://a/",
        "https://a/b",
        "https://u@a",
        "https://a:x",
        "https://a:99999",
        "null",
    ] {
        Origins::new().allow_origin(invalid).unwrap_err();
    }
}

#[test]
fn a_loopback_listener_is_reached_by_local_names_and_those_added() {
    let default = Origins::new();
    for local in [
        "localhost:1",
        "127.0.0.1:1",
        "[::1]:1",
        "localhost.",
        "10.0.0.1",
    ] {
        assert!(default.permit_host(local.as_bytes(), LOOPBACK), "{local}");
    }
    for foreign in ["evil.example", "evil.example:1", "localhost.evil.example"] {
        assert!(
            !default.permit_host(foreign.as_bytes(), LOOPBACK),
            "{foreign}"
        );
        assert!(default.permit_host(foreign.as_bytes(), PUBLIC_TLS));
        assert!(default.permit_host(foreign.as_bytes(), None));
    }
    let origins = Origins::new().allow_host("dev.example").unwrap();
    let origins = origins.public_origin("https://Streams.example").unwrap();
    for reached_by in [LOOPBACK, PUBLIC_TLS, None] {
        for known in ["dev.example:1", "STREAMS.example", "127.0.0.1"] {
            assert!(origins.permit_host(known.as_bytes(), reached_by), "{known}");
        }
        assert!(!origins.permit_host(b"evil.example", reached_by));
    }
    let any = Origins::new().allow_host("*").unwrap();
    assert!(any.permit_host(b"evil.example", LOOPBACK));
    for invalid in ["", "a:1", "https://a", "a/b", "u@a"] {
        Origins::new().allow_host(invalid).unwrap_err();
    }
}

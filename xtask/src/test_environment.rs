//! The environment variables by which test programs find servers, browsers and page.

use std::process::Command;

use crate::setup::browser::{CHROMIUM, FIREFOX};
use crate::setup::load_balancer::{HAPROXY, NGINX};
use crate::setup::{nats, redis};
use crate::workspace;

/// Tells a test program where the proxy, the Redis servers, NATS, the browsers and the page are.
pub(crate) fn set_test_environment(command: &mut Command) -> &mut Command {
    let places = [
        ("STREAMGATE_BIN", Some(workspace::binary("streamgate"))),
        ("STREAMGATE_WWW", Some(workspace::www())),
        ("STREAMGATE_RUNTIMES", Some(workspace::runtimes())),
        (CHROMIUM.variable, CHROMIUM.find()),
        (FIREFOX.variable, FIREFOX.find()),
        ("STREAMGATE_REDIS_7", redis::find_7()),
        ("STREAMGATE_REDIS_8", redis::find_8()),
        ("STREAMGATE_VALKEY", redis::find_valkey()),
        ("STREAMGATE_NATS", nats::find()),
        (NGINX.variable, NGINX.find()),
        (HAPROXY.variable, HAPROXY.find()),
    ];
    for (name, place) in places {
        if let Some(place) = place {
            command.env(name, place);
        }
    }
    command
}

//! Whether a server is one that serves streams: its version and its mode.

use crate::wire::answers::{Hello, ServerInfo};

/// The oldest version of Redis: tails need fields of `XINFO STREAM` that came with it. Servers that
/// follow Redis, such as Valkey, report a version that is not older.
const OLDEST: (u32, u32) = (7, 0);

/// Returns why a server cannot be used, and what to do; `None` if it can, or does not tell.
pub(super) fn refuse(hello: &Hello, info: &ServerInfo) -> Option<String> {
    let mode = hello.mode.as_ref().or(info.mode.as_ref());
    match mode.map(String::as_str) {
        Some("sentinel") => {
            return Some(
                "it is a Sentinel, which stores no streams; write \
                 redis+sentinel://host,host/name-of-the-master"
                    .to_owned(),
            );
        }
        Some("cluster") => {
            return Some(
                "it is a node of a Redis Cluster, which is not supported yet; name a Redis with \
                 `cluster-enabled no`"
                    .to_owned(),
            );
        }
        _ => {}
    }
    let version = hello.version.as_ref().or(info.version.as_ref())?;
    let is_too_old = number(version)? < OLDEST;
    is_too_old.then(|| {
        let (major, minor) = OLDEST;
        format!("its version is {version}; Redis {major}.{minor} or newer is needed, or Valkey")
    })
}

/// Returns the first two numbers of a version.
fn number(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next().flatten().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(version: &str, mode: &str) -> Hello {
        Hello {
            version: Some(version.to_owned()),
            mode: Some(mode.to_owned()),
            ..Hello::default()
        }
    }

    #[test]
    fn old_servers_sentinels_and_nodes_of_clusters_are_refused() {
        for (version, mode, why) in [
            ("6.2.14", "standalone", Some("6.2.14")),
            ("7.0.0", "standalone", None),
            ("7.0.15", "standalone", None),
            ("8.2.3", "standalone", None),
            ("10.0", "standalone", None),
            ("unstable", "standalone", None),
            ("7.0.15", "sentinel", Some("Sentinel")),
            ("8.2.3", "cluster", Some("Cluster")),
        ] {
            let refused = refuse(&server(version, mode), &ServerInfo::default());
            assert_eq!(refused.is_some(), why.is_some(), "{version} {mode}");
            assert!(refused.is_none_or(|text| text.contains(why.unwrap_or_default())));
        }
        // A server that does not know `HELLO`.
        let info = ServerInfo {
            version: Some("5.0.7".to_owned()),
            ..ServerInfo::default()
        };
        assert!(refuse(&Hello::default(), &info).is_some());
        assert_eq!(refuse(&Hello::default(), &ServerInfo::default()), None);
    }
}

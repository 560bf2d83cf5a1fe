//! HTTP requests that a server has to refuse.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use streamgate_protocol::codec::Encoding;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::attack::Attack;
use crate::deployment::ServerSetup;
use crate::raw_socket::{ATTACKER, HANG_LIMIT, RawSocket, handshake, read_head, status, tcp};
use crate::scene::Scene;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "http-requests",
        "long paths, files that are not for everybody, missing and double headers",
        |scene| Box::pin(requests(scene)),
    )
    .server(ServerSetup {
        serves_folder: true,
        ..ServerSetup::DEFAULT
    }),
    Attack::new(
        "too-many-sockets",
        "twice as many sockets as the server takes: each refusal closes its connection",
        |scene| Box::pin(too_many_sockets(scene)),
    )
    .server(ServerSetup {
        arguments: &["--max-sockets", "100"],
        ..ServerSetup::DEFAULT
    }),
];

/// Names for reports, a path, further header lines, and the statuses that are right. `Host` is
/// among the header lines.
type Case = (&'static str, String, String, &'static [u16]);

fn cases() -> Vec<Case> {
    const HOST: &str = "Host: localhost\r\n";
    let path = |name, path: &str, statuses: &'static [u16]| -> Case {
        (name, path.to_owned(), HOST.to_owned(), statuses)
    };
    let head = |name, head: String, statuses: &'static [u16]| -> Case {
        (name, "/healthz".to_owned(), head, statuses)
    };
    vec![
        path("the page", "/", &[200]),
        (
            "a long path",
            format!("/{}", "a".repeat(8_000)),
            HOST.to_owned(),
            &[404, 414],
        ),
        (
            "a longer path",
            format!("/{}", "a".repeat(100_000)),
            HOST.to_owned(),
            &[404, 414, 431],
        ),
        path(
            "a long name in a folder",
            &format!("/a/{}", "b".repeat(4_000)),
            &[404, 414],
        ),
        path("a dotfile", "/.env", &[403, 404]),
        path("an encoded dotfile", "/%2eenv", &[403, 404]),
        path("a file in a dot folder", "/.git/config", &[403, 404]),
        path("a link to the outside", "/link.txt", &[403, 404]),
        path("a FIFO", "/pipe", &[403, 404]),
        path("the folder above", "/../secret.txt", &[400, 403, 404]),
        path(
            "the folder above, encoded",
            "/%2e%2e/secret.txt",
            &[400, 403, 404],
        ),
        path(
            "the folder above, with its slash encoded",
            "/..%2fsecret.txt",
            &[400, 403, 404],
        ),
        path("a zero byte", "/index.html%00", &[400, 404]),
        head("no Host", String::new(), &[400]),
        head("two Hosts", format!("{HOST}Host: other\r\n"), &[400]),
        head(
            "a large header",
            format!("{HOST}X: {}\r\n", "x".repeat(1_000_000)),
            &[400, 431],
        ),
        head(
            "many headers",
            format!("{HOST}{}", "X: y\r\n".repeat(10_000)),
            &[400, 431],
        ),
        head(
            "two lengths",
            format!("{HOST}Content-Length: 1\r\nContent-Length: 2\r\n"),
            &[400],
        ),
    ]
}

async fn requests(scene: &Scene) -> anyhow::Result<()> {
    for (name, path, further, statuses) in cases() {
        let request = format!("GET {path} HTTP/1.1\r\n{further}Connection: close\r\n\r\n");
        let exchange = async {
            let mut stream = tcp(scene.address, ATTACKER).await?;
            // A server may answer and close before it has read all.
            let _ = stream.write_all(request.as_bytes()).await;
            let (head, rest) = read_head(&mut stream).await?;
            anyhow::Ok((status(&head), rest))
        };
        match timeout(HANG_LIMIT, exchange).await {
            Ok(Ok((Some(status), _))) if statuses.contains(&status) => {}
            Ok(Ok((status, _))) => {
                scene.problem(format!(
                    "{name}: status {status:?}, not one of {statuses:?}"
                ));
            }
            Ok(Err(error)) => scene.problem(format!("{name}: {error:#}")),
            Err(_) => scene.problem(format!("{name}: no answer within {HANG_LIMIT:?}")),
        }
    }
    Ok(())
}

async fn too_many_sockets(scene: &Scene) -> anyhow::Result<()> {
    const SOCKETS: usize = 200;
    let attempts = (0..SOCKETS).map(async |_| {
        let mut stream = tcp(scene.address, ATTACKER).await?;
        stream
            .write_all(handshake(Encoding::Binary, "").as_bytes())
            .await?;
        let (head, _) = timeout(HANG_LIMIT, read_head(&mut stream)).await??;
        anyhow::Ok((head, stream))
    });
    let answers = try_join_all(attempts).await?;
    let mut statuses = BTreeMap::<_, usize>::new();
    for (head, _) in &answers {
        *statuses.entry(status(head)).or_default() += 1;
        let head = head.to_lowercase();
        if status(&head) != Some(101) {
            scene.check(head.contains("connection: close"), || {
                format!("a refusal without Connection: close: {}", head.trim())
            });
        }
    }
    statuses.remove(&Some(101));
    let only_refusals = statuses
        .keys()
        .all(|status| matches!(status, Some(429 | 503)));
    scene.check(only_refusals && !statuses.is_empty(), || {
        format!("refusals: {statuses:?}")
    });
    drop(answers);
    // The room is given back.
    let again = async {
        while RawSocket::open(scene.address, ATTACKER, Encoding::Binary, "")
            .await
            .is_err()
        {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let served = timeout(HANG_LIMIT, again).await.is_ok();
    scene.check(served, || "no socket after all others had left".to_owned());
    Ok(())
}

//! The folder of `--www`: its files, and nothing else.

use std::path::Path;
use std::process::Command;

use streamgate::{Config, MIN_MEMORY_BYTES};
use streamgate_backend::MemoryBudget;
use streamgate_backend::memory_budget::MemoryKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http::{assert_headers, get};
use crate::test_server::TestServer;

#[tokio::test]
async fn a_folder_is_served_and_nothing_beside_it() {
    let parent = tempfile::tempdir().unwrap();
    let www = parent.path().join("www");
    std::fs::create_dir_all(www.join("npm")).unwrap();
    std::fs::write(parent.path().join("secret"), "secret").unwrap();
    let files = [
        ("index.html", "text/html"),
        ("npm/index.js", "text/javascript"),
        ("npm/glue.mjs", "application/javascript"),
        ("style.css", "text/css"),
        ("data.json", "application/json"),
        ("icon.svg", "image/svg+xml"),
        ("npm/streamgate.wasm", "application/wasm"),
    ];
    for (path, _) in files {
        std::fs::write(www.join(path), path).unwrap();
    }
    let server = TestServer::with(Config::default().www(www)).await;
    for (path, content_type) in files {
        let response = get(server.address, &format!("/{path}")).await;
        assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
        let expected = format!("content-type: {content_type}");
        assert!(response.contains(&expected), "{expected} in {response}");
        assert!(response.ends_with(path), "{response}");
        assert_headers(&response);
    }
    assert!(get(server.address, "/").await.ends_with("index.html"));
    for path in [
        "/../secret",
        "/%2e%2e/secret",
        "/npm/../../secret",
        "/..%2fsecret",
        "//secret",
    ] {
        let response = get(server.address, path).await;
        assert!(response.starts_with("HTTP/1.1 4"), "{path}: {response}");
        assert!(!response.ends_with("secret"), "{path}: {response}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn hidden_files_links_out_of_the_folder_and_special_files_are_not_served() {
    use std::os::unix::fs::symlink;

    let parent = tempfile::tempdir().unwrap();
    let www = parent.path().join("www");
    let write = |path: &Path| {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "secret").unwrap();
    };
    write(&parent.path().join("outside/index.html"));
    for hidden in [".env", ".git/config", "a/.hidden", "a/.b/c"] {
        write(&www.join(hidden));
    }
    std::fs::write(www.join("page.html"), "page").unwrap();
    symlink("page.html", www.join("inside")).unwrap();
    symlink(".env", www.join("to-hidden")).unwrap();
    symlink("../outside", www.join("folder")).unwrap();
    symlink("../outside/index.html", www.join("file")).unwrap();
    symlink("../outside/index.html", www.join("a/index.html")).unwrap();
    symlink("loop", www.join("loop")).unwrap();
    symlink("/dev/zero", www.join("zero")).unwrap();
    let fifo = Command::new("mkfifo").arg(www.join("fifo")).status();
    assert!(fifo.unwrap().success());
    std::fs::create_dir(www.join("fifos")).unwrap();
    symlink("../fifo", www.join("fifos/index.html")).unwrap();

    let server = TestServer::with(Config::default().www(www)).await;
    assert!(get(server.address, "/inside").await.ends_with("page"));
    for path in [
        "/.env",
        "/%2eenv",
        "/.git/config",
        "/a/.hidden",
        "/a/.b/c",
        "/to-hidden",
        "/folder",
        "/folder/",
        "/folder/index.html",
        "/file",
        "/a",
        "/a/",
        "/loop",
        "/zero",
        "/fifo",
        "/fifos/",
        "/page.html/",
        "/page.html%00",
    ] {
        let response = get(server.address, path).await;
        assert!(response.starts_with("HTTP/1.1 404 "), "{path}: {response}");
    }
}

#[tokio::test]
async fn a_download_counts_in_the_memory_budget_until_its_end() {
    let www = tempfile::tempdir().unwrap();
    std::fs::write(www.path().join("large"), vec![0; 32 << 20]).unwrap();
    let budget = MemoryBudget::new(MIN_MEMORY_BYTES);
    let config = Config::default().memory_budget(budget.clone());
    let server = TestServer::with(config.www(www.path())).await;
    let downloads = || budget.used_bytes_of(MemoryKind::Outgoing);
    let mut deaf = TcpStream::connect(server.address).await.unwrap();
    let request = b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n";
    deaf.write_all(request).await.unwrap();
    let mut first = [0; 4096];
    deaf.read_exact(&mut first).await.unwrap();
    assert!(downloads() >= 64 << 10, "{}", downloads());
    let free = MIN_MEMORY_BYTES - budget.used_bytes();
    let held = budget.try_reserve(MemoryKind::Replies, free).unwrap();
    let refused = get(server.address, "/large").await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    drop((deaf, held));
    while downloads() > 0 {
        get(server.address, "/healthz").await;
    }
}

//! TLS from files: the settings, `streamgate check`, and certificates that are replaced.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use streamgate_protocol::ServerMessage;
use streamgate_test_support::{Authority, TlsIdentity};

use crate::running_server::{BlockingClient, RunningServer, error_line, get_from, streamgate};
use crate::settings::{Folder, WITH_TOKENS};

type TlsStream = StreamOwned<ClientConnection, TcpStream>;

const WITH_TLS: &str = "listen = '127.0.0.1:0'\n[tls]\ncertificate = 'cert.pem'\nkey = 'key.pem'\n";

fn folder_with(settings: &str, identity: &TlsIdentity) -> Folder {
    let folder = Folder::with(settings);
    write(&folder, identity);
    folder
}

fn write(folder: &Folder, identity: &TlsIdentity) {
    folder.write("cert.pem", &identity.certificate);
    folder.write("key.pem", &identity.key);
}

/// Connects to a server whose certificate must be from this authority.
fn connect(address: SocketAddr, authority: &Authority) -> std::io::Result<TlsStream> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(authority.certificate().as_bytes()).unwrap();
    roots.add(root).unwrap();
    let settings = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = ClientConnection::new(Arc::new(settings), name).unwrap();
    let mut stream = TcpStream::connect(address)?;
    // A test that would hang fails instead.
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    connection.complete_io(&mut stream)?;
    Ok(StreamOwned::new(connection, stream))
}

fn client(address: SocketAddr, authority: &Authority) -> BlockingClient<TlsStream> {
    let mut client = BlockingClient::on(connect(address, authority).unwrap(), None);
    assert!(matches!(client.receive(), ServerMessage::Welcome(_)));
    client
}

#[test]
fn the_files_of_a_certificate_come_from_the_settings_the_environment_or_flags() {
    let (authority, other) = (Authority::new().unwrap(), Authority::new().unwrap());
    let identity = authority.issue(&["localhost"]).unwrap();
    let folder = folder_with(WITH_TLS, &identity);
    let server = RunningServer::start(folder.command(&["serve"]));
    assert!(server.line.contains("https://"), "{}", server.line);
    client(server.address, &authority).add(1).unwrap();

    let identity = other.issue(&["localhost"]).unwrap();
    let other_folder = folder_with("", &identity);
    let path = |name| other_folder.file().with_file_name(name);
    let mut command = folder.command(&["serve"]);
    command.env("STREAMGATE_TLS_CERTIFICATE", path("cert.pem"));
    command.env("STREAMGATE_TLS_KEY", path("key.pem"));
    let server = RunningServer::start(command);
    client(server.address, &other).add(1).unwrap();

    let mut command = streamgate(&["serve", "--listen", "127.0.0.1:0"]);
    command.arg("--tls-certificate").arg(path("cert.pem"));
    command.arg("--tls-key").arg(path("key.pem"));
    let server = RunningServer::start(command);
    client(server.address, &other).add(1).unwrap();
}

#[test]
fn invalid_files_end_each_command_with_one_sentence() {
    let authority = Authority::new().unwrap();
    let issue = || authority.issue(&["localhost"]).unwrap();
    let folder = folder_with(WITH_TLS, &issue());
    for (name, text, part) in [
        (
            "key.pem",
            &*issue().key,
            "key.pem: invalid key: it does not belong",
        ),
        ("key.pem", "", "no private key"),
        (
            "cert.pem",
            "x",
            "cert.pem: invalid certificate: it has no certificate",
        ),
        (
            "streamgate.toml",
            "[tls]\ncert = 'x'",
            ":2: unknown key 'cert'; did you mean 'certificate'?",
        ),
        ("streamgate.toml", "tls_key = 'x'", "unknown key 'tls_key'"),
        (
            "streamgate.toml",
            "tls = 'x'",
            ":1: 'tls' must be a section: [tls]",
        ),
        ("streamgate.toml", "[tls]\nkey = 1.5", ":2: invalid key"),
        (
            "streamgate.toml",
            "[tls]\nkey = 'key.pem'",
            "--tls-key without --tls-certificate",
        ),
        (
            "streamgate.toml",
            "[tls]\ncertificate = 'cert.pem'",
            "without --tls-key",
        ),
        (
            "streamgate.toml",
            "[tls]\nclient_ca = 'cert.pem'",
            "--tls-client-ca without",
        ),
        (
            "streamgate.toml",
            "[tls]\ncertificate = 'absent'\nkey = 'key.pem'",
            "absent': No such file",
        ),
    ] {
        let good = fs::read_to_string(folder.file().with_file_name(name)).unwrap();
        folder.write(name, text);
        for command in ["serve", "check"] {
            let line = error_line(folder.command(&[command]), 2);
            assert!(line.contains(part), "{part:?} in {line}");
        }
        folder.write(name, &good);
    }
}

#[test]
fn check_names_the_certificate_and_warns_if_it_has_expired() {
    let authority = Authority::new().unwrap();
    let check = |settings: &str, identity: &TlsIdentity| {
        let folder = folder_with(settings, identity);
        let output = folder.command(&["check"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let valid = authority.issue(&["localhost"]).unwrap();
    let text = check(WITH_TLS, &valid);
    assert!(
        text.contains("cert.pem, valid until 2100-01-01T00:00:00Z\n"),
        "{text}"
    );
    assert!(!text.contains("WARNING"), "{text}");
    let text = check(&format!("{WITH_TLS}client_ca = 'cert.pem'"), &valid);
    assert!(text.contains("every client needs a certificate"), "{text}");
    for (years, why) in [
        (
            2001..2002,
            "the certificate expired on 2002-01-01T00:00:00Z",
        ),
        (
            2090..2091,
            "the certificate is not valid before 2090-01-01T00:00:00Z",
        ),
    ] {
        let identity = authority.issue_for_years(&["localhost"], years).unwrap();
        let text = check(WITH_TLS, &identity);
        assert!(text.contains("WARNING: ") && text.contains(why), "{text}");
        // The server starts all the same, and says so.
        let (_server, mut log, _) = folder_with(WITH_TLS, &identity).start();
        log.until(why);
    }
}

#[test]
fn a_certificate_that_is_replaced_takes_effect_and_drops_no_socket() {
    let (old, new) = (Authority::new().unwrap(), Authority::new().unwrap());
    let folder = folder_with(WITH_TLS, &old.issue(&["localhost"]).unwrap());
    let (server, mut log, admin) = folder.start();
    log.until("TLS certificate in force");
    let mut open = client(server.address, &old);
    // The certificate alone does not belong to the key.
    let identity = new.issue(&["localhost"]).unwrap();
    folder.write("cert.pem", &identity.certificate);
    let line = log.until("the last good file stays in force");
    assert!(line.contains("source=tls"), "{line}");
    assert!(
        line.contains("key.pem: invalid key: it does not belong"),
        "{line}"
    );
    let ready = get_from(admin, "/readyz");
    assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
    assert!(ready.contains("\"reload_errors\":{\"tls\":\""), "{ready}");
    let metrics = get_from(admin, "/metrics");
    assert!(
        metrics.contains("streamgate_reload_failed{source=\"tls\"} 1"),
        "{metrics}"
    );
    client(server.address, &old).add(1).unwrap();

    folder.write("key.pem", &identity.key);
    log.until("TLS certificate in force");
    client(server.address, &new).add(1).unwrap();
    assert!(connect(server.address, &old).is_err());
    open.add(2).unwrap();
    assert!(get_from(admin, "/readyz").contains("\"reload_errors\":{}"));
    let metrics = get_from(admin, "/metrics");
    let expiry = "streamgate_tls_certificate_expiry_seconds{listener=\"public\"} 4102444800";
    assert!(metrics.contains(expiry), "{metrics}");
}

/// Kubernetes replaces a link to a folder, in which the files have links of their own.
#[cfg(unix)]
#[test]
fn a_link_that_is_replaced_is_a_change_and_so_is_a_signal() {
    use std::os::unix::fs::symlink;

    let authority = Authority::new().unwrap();
    let folder = Folder::with(WITH_TLS);
    let path = |name: &str| folder.file().with_file_name(name);
    let put = |version: &str| {
        let identity = authority.issue(&["localhost"]).unwrap();
        fs::create_dir(path(version)).unwrap();
        fs::write(path(version).join("cert.pem"), identity.certificate).unwrap();
        fs::write(path(version).join("key.pem"), identity.key).unwrap();
        symlink(version, path("..new")).unwrap();
        fs::rename(path("..new"), path("..data")).unwrap();
    };
    put("..1");
    for name in ["cert.pem", "key.pem"] {
        symlink(format!("..data/{name}"), path(name)).unwrap();
    }
    let (server, mut log, _) = folder.start();
    log.until("TLS certificate in force");
    let mut open = client(server.address, &authority);
    put("..2");
    log.until("TLS certificate in force");
    let hangup = Command::new("kill")
        .args(["-HUP", &server.child.id().to_string()])
        .status();
    assert!(hangup.unwrap().success());
    log.until("TLS certificate in force");
    open.add(1).unwrap();
}

#[test]
fn listening_beyond_loopback_needs_tls_or_a_proxy_that_has_it() {
    let identity = Authority::new().unwrap().issue(&["localhost"]).unwrap();
    let beyond = WITH_TOKENS.replace("127.0.0.1:0", "0.0.0.0:0");
    let tls = WITH_TLS.split_once('\n').unwrap().1;
    let folder = folder_with(&beyond, &identity);
    let line = error_line(folder.command(&["serve"]), 2);
    assert!(
        line.contains("missing: TLS (--tls-certificate and --tls-key, or"),
        "{line}"
    );
    folder.write("streamgate.toml", &format!("{beyond}{tls}"));
    let server = RunningServer::start(folder.command(&["serve"]));
    assert!(server.line.contains("https://0.0.0.0:"), "{}", server.line);
    folder.write("streamgate.toml", &format!("listen = '0.0.0.0:0'\n{tls}"));
    let line = error_line(folder.command(&["serve"]), 2);
    assert!(line.contains("missing: authentication"), "{line}");
    assert!(!line.contains("TLS ("), "{line}");
}

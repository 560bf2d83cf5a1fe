use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use redis::IntoConnectionInfo;
use streamgate_protocol::CacheResult;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::*;
use crate::connection::endpoint::RESPONSE_TIMEOUT;
use crate::connection::resp::open::start;
use crate::wire::commands;
use crate::wire::commands::CommandWriter;

/// A connection, the other end of it, and whether it told of its loss.
fn connect() -> (RespConnection, DuplexStream, oneshot::Receiver<()>) {
    let (ours, theirs) = tokio::io::duplex(64);
    let (ended, told) = oneshot::channel();
    let ended = move || {
        let _ = ended.send(());
    };
    (start(ours, Barrier::default(), ended), theirs, told)
}

fn length(stream: &str) -> PackedCommands {
    let mut packed = PackedCommands::default();
    commands::length(&mut packed, stream);
    packed
}

fn bytes(stream: &str) -> Vec<u8> {
    length(stream).bytes
}

async fn expect(theirs: &mut DuplexStream, bytes: &[u8]) {
    let mut read = vec![0; bytes.len()];
    theirs.read_exact(&mut read).await.unwrap();
    assert_eq!(read, bytes);
}

#[tokio::test]
async fn pipelines_are_answered_in_the_order_in_which_they_were_sent() {
    let (connection, mut theirs, _told) = connect();
    let names: Vec<_> = (0..100).map(|n| n.to_string()).collect();
    let sent = names.iter().map(|name| {
        let mut packed = length(name);
        commands::length(&mut packed, name);
        connection.send(packed)
    });
    let sent: Vec<_> = sent.collect();
    let serve = async {
        for (n, name) in names.iter().enumerate() {
            expect(&mut theirs, &[bytes(name), bytes(name)].concat()).await;
            let answer = format!(":{n}\r\n-ERR {n}\r\n");
            theirs.write_all(answer.as_bytes()).await.unwrap();
        }
    };
    let (answers, ()) = futures_util::future::join(join_all(sent), serve).await;
    for (n, answers) in answers.into_iter().enumerate() {
        let answers = answers.unwrap();
        assert_eq!(answers[0], Value::Int(n.try_into().unwrap()));
        assert!(
            matches!(&answers[1], Value::ServerError(e) if e.details() == Some(&n.to_string()))
        );
        assert_eq!(answers.len(), 2);
    }
}

#[tokio::test]
async fn it_ends_behind_its_last_answer_with_its_last_handle() {
    let (connection, mut theirs, told) = connect();
    let dropped = connection.send(length("dropped"));
    let awaited = connection.send(length("awaited"));
    drop((connection, dropped));
    expect(&mut theirs, &[bytes("dropped"), bytes("awaited")].concat()).await;
    theirs.write_all(b":1\r\n:2\r\n").await.unwrap();
    assert_eq!(awaited.await.unwrap(), [Value::Int(2)]);
    assert_eq!(theirs.read(&mut [0]).await.unwrap(), 0);
    // It was not lost.
    assert!(told.await.is_err());
}

#[tokio::test]
async fn with_its_loss_everything_ends_and_nothing_more_is_taken() {
    let (connection, theirs, told) = connect();
    let waiting = connection.send(length("s"));
    drop(theirs);
    assert!(waiting.await.unwrap_err().is_io_error());
    told.await.unwrap();
    let refused = connection.send(length("s")).now_or_never().unwrap();
    assert!(refused.is_err());
}

/// A Redis that answers `HELLO` and `PING`, and to the script like this.
async fn open_with_script(answer: &'static str) -> CacheResult<OpenConnection> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let info = url.into_connection_info().unwrap();
    let serve = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let answers = format!("+OK\r\n{answer}\r\n+PONG\r\n");
        socket.write_all(answers.as_bytes()).await.unwrap();
        // Held until all was asked, or what was not read would reset the connection.
        let _ = socket.read_to_end(&mut Vec::new()).await;
    };
    tokio::select! {
        opened = RespConnection::open(&info, Barrier::default(), || ()) => opened,
        () = serve => panic!("left early"),
    }
}

#[tokio::test]
async fn a_script_that_cannot_be_taken_now_is_not_refused() {
    for taken in [
        "-OOM command not allowed when used memory > 'maxmemory'",
        "$2\r\nab",
    ] {
        assert!(open_with_script(taken).await.unwrap().refused.is_none());
    }
    let refused = open_with_script("-NOPERM no permission")
        .await
        .unwrap()
        .refused;
    assert_eq!(refused.unwrap().code(), "NOPERM");
    let loading = "-LOADING Redis is loading the dataset in memory";
    let error = open_with_script(loading).await.map(drop).unwrap_err();
    assert_eq!(error.code(), "LOADING");
}

#[tokio::test]
async fn what_is_not_an_answer_ends_it() {
    for nonsense in [&b"HTTP/1.1 400 Bad Request\r\n"[..], b":1\r\n:2\r\n"] {
        let (connection, mut theirs, told) = connect();
        let answers = connection.send(length("s"));
        expect(&mut theirs, &bytes("s")).await;
        theirs.write_all(nonsense).await.unwrap();
        told.await.unwrap();
        // The answer to what was asked stands.
        assert_eq!(answers.await.is_ok(), nonsense[0] == b':');
        assert!(connection.send(length("s")).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn only_silence_while_something_is_asked_ends_it() {
    let (connection, mut theirs, told) = connect();
    // Longer than the time-out, for nobody asks anything.
    tokio::time::sleep(3 * RESPONSE_TIMEOUT).await;
    let answers = connection.send(length("s"));
    expect(&mut theirs, &bytes("s")).await;
    // A long answer comes slowly.
    theirs.write_all(b"*3\r\n").await.unwrap();
    for part in [":1\r\n", ":2\r\n", ":3\r\n"] {
        tokio::time::sleep(RESPONSE_TIMEOUT / 2).await;
        theirs.write_all(part.as_bytes()).await.unwrap();
    }
    let three = [1, 2, 3].map(Value::Int).to_vec();
    assert_eq!(answers.await.unwrap(), [Value::Array(three)]);

    let begun = Instant::now();
    let silent = connection.send(length("s"));
    assert!(silent.await.unwrap_err().is_timeout());
    // To the timer's millisecond.
    let late = begun.elapsed() - RESPONSE_TIMEOUT;
    assert!(late <= Duration::from_millis(1), "{late:?}");
    told.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_silent_too() {
    let (connection, _theirs, told) = connect();
    let mut packed = PackedCommands::default();
    packed.command("XLEN", 1);
    packed.argument(&[b'x'; 1000]);
    assert!(connection.send(packed).await.unwrap_err().is_timeout());
    told.await.unwrap();
}

#[test]
fn with_the_runtime_everything_ends() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let first = runtime();
    let (connection, theirs, _told) = first.block_on(async { connect() });
    let waiting = connection.send(length("s"));
    drop(first);
    let second = runtime();
    assert!(second.block_on(waiting).is_err());
    assert!(second.block_on(connection.send(length("s"))).is_err());
    drop(theirs);
}

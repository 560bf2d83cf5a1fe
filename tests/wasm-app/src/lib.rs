//! An application in Rust, compiled to wasm, that uses the traits alone.

use futures_util::StreamExt;
use futures_util::future::{FutureExt, join, join_all};
use js_sys::{Function, Promise};
use streamgate_wasm::{
    CacheError, CacheResult, ClientConfig, ConsumeOptions, StreamingBackend, SubscribingBackend,
    TailFrom, TailItem, WebSocketConnector, connect, connect_with,
};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::JsFuture;

/// Uses every operation, a tail and a consumer on the server at `url`. Gives what it saw, a line
/// for each step.
///
/// # Errors
///
/// The code and the message of the first operation that fails.
#[wasm_bindgen]
pub async fn run(url: String, stream: String) -> Result<String, JsValue> {
    let client = connect(&url).await.map_err(error_text)?;
    let seen = use_everything(&client, &stream).await.map_err(error_text)?;
    client.close().await;
    let closed = client.stream_read_latest(&stream, 1).await;
    let code = closed
        .err()
        .map_or_else(String::new, |error| error.code().to_owned());
    Ok(format!("{seen}\nclosed: {code}"))
}

/// Adds an entry to a stream by each of two clients with the same settings. Gives how many entries
/// the stream has then.
///
/// # Errors
///
/// The code and the message of the first operation that fails.
#[wasm_bindgen]
pub async fn two_clients(url: String, stream: String) -> Result<usize, JsValue> {
    entries_of_two_clients(&url, &stream)
        .await
        .map_err(error_text)
}

/// Reads an empty stream, with the tokens of `issue`, a function of `force` that returns promises.
/// Gives how many entries the stream has.
///
/// # Errors
///
/// The code and the message of the first operation that fails.
#[wasm_bindgen]
pub async fn read_with_tokens(url: String, issue: Function) -> Result<usize, JsValue> {
    let connector = WebSocketConnector::new(&url).map_err(error_text)?;
    let connector = connector.with_token_source(move |request| {
        let issued = issue.call1(&JsValue::UNDEFINED, &request.force.into());
        async move {
            let no_token = |_| CacheError::BackendError("NOAUTH nobody is signed in".to_owned());
            let promise = Promise::resolve(&issued.map_err(no_token)?);
            let token = JsFuture::from(promise).await.map_err(no_token)?;
            Ok(token.as_string().unwrap_or_default())
        }
    });
    let client = connect_with(connector, ClientConfig::default())
        .await
        .map_err(error_text)?;
    let read = client.stream_read_latest("s", 1).await;
    client.close().await;
    Ok(read.map_err(error_text)?.len())
}

/// Connects with one token.
///
/// # Errors
///
/// The code and the message of the error.
#[wasm_bindgen]
pub async fn connect_with_token(url: String, token: String) -> Result<(), JsValue> {
    let connector = WebSocketConnector::new(&url).map_err(error_text)?;
    let connector = connector.with_token(token);
    let connected = connect_with(connector, ClientConfig::default()).await;
    connected.map_err(error_text)?.close().await;
    Ok(())
}

async fn entries_of_two_clients(url: &str, stream: &str) -> CacheResult<usize> {
    let connect = async || {
        let config = ClientConfig::default().connect_timeout_ms(5_000);
        connect_with(WebSocketConnector::new(url)?, config).await
    };
    let (one, other) = (connect().await?, connect().await?);
    let fields = || vec![("f".to_owned(), "v".to_owned())];
    one.stream_add(stream, fields(), None).await?;
    other.stream_add(stream, fields(), None).await?;
    Ok(one.stream_read(stream, "0", 0, None).await?.len())
}

async fn use_everything(backend: &dyn SubscribingBackend, stream: &str) -> CacheResult<String> {
    let fields = |value: &str| vec![("f".to_owned(), value.to_owned())];
    let first = backend.stream_add(stream, fields("first"), None).await?;
    let newest = backend.stream_read_latest(stream, 1).await?;
    let found = newest.first().is_some_and(|(id, _)| *id == first);

    let wait = assert_send(backend.stream_read(stream, "$", 10, Some(10_000)));
    let (woken, second) = join(wait, backend.stream_add(stream, fields("second"), None)).await;
    let woken = woken?
        .first()
        .is_some_and(|(id, _)| Some(id) == second.as_ref().ok());

    let empty = backend
        .stream_read("nothing here", "$", 1, Some(50))
        .await?
        .len();

    // Dropped after its first poll: the entry below goes to the other consumer.
    backend.stream_create_group(stream, "g", "$").await?;
    drop(
        backend
            .stream_read_group(stream, "g", "gone", 1, Some(0))
            .now_or_never(),
    );
    let third = backend.stream_add(stream, fields("third"), None).await?;
    let taken = backend
        .stream_read_group(stream, "g", "here", 1, Some(10_000))
        .await?;
    let taken = taken.first().is_some_and(|(id, _)| *id == third);
    backend.stream_ack(stream, "g", &[third]).await?;

    let again = backend.stream_create_group(stream, "g", "$").await;
    let again = again
        .err()
        .map_or_else(String::new, |error| error.code().to_owned());

    let many = join_all((0..500).map(|i| backend.stream_add(stream, fields(&i.to_string()), None)));
    let many: Vec<String> = many.await.into_iter().collect::<CacheResult<_>>()?;
    let read = backend.stream_read(stream, &many[0], 0, None).await?;
    let in_order = read.iter().map(|(id, _)| id).eq(&many[1..]);

    let followed = follow(backend, stream, &many).await?;
    let consumed = consume(backend, stream, &many).await?;

    Ok(format!(
        "found: {found}\nwoken: {woken}\nempty: {empty}\ntaken: {taken}\nagain: {again}\nin order: {in_order}\nfollowed: {followed}\nconsumed: {consumed}"
    ))
}

/// Whether a tail after the first of these ids yields the others.
async fn follow(backend: &dyn SubscribingBackend, key: &str, ids: &[String]) -> CacheResult<bool> {
    let mut tail = assert_send(backend.tail(key, TailFrom::After(ids[0].clone())));
    let mut seen = Vec::new();
    while seen.len() < ids.len() - 1
        && let Some(item) = tail.next().await
    {
        if let TailItem::Entries { entries, .. } = item? {
            seen.extend(entries.into_iter().map(|entry| entry.id));
        }
    }
    Ok(seen == ids[1..])
}

/// Whether a consumer of a new group that starts after the first of these ids receives the others.
async fn consume(backend: &dyn SubscribingBackend, key: &str, ids: &[String]) -> CacheResult<bool> {
    backend.stream_create_group(key, "pushed", &ids[0]).await?;
    let options = ConsumeOptions::default();
    let mut deliveries = assert_send(backend.consume(key, "pushed", "one", options));
    let mut seen = Vec::new();
    while seen.len() < ids.len() - 1
        && let Some(entries) = deliveries.next().await
    {
        seen.extend(entries?.into_iter().map(|entry| entry.id));
    }
    backend.stream_ack(key, "pushed", &seen).await?;
    Ok(seen == ids[1..])
}

/// Compiles only for futures and streams that are `Send`, as the traits promise.
fn assert_send<F: Send>(future: F) -> F {
    future
}

fn error_text(error: CacheError) -> JsValue {
    error.to_string().into()
}

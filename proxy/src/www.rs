//! The files of `--www`: regular files below the folder, and nothing else.
//!
//! A file whose name begins with a dot is not served, as `.git` or `.env`. Neither is a symbolic
//! link that leaves the folder, nor a FIFO or a device, which a read may never return from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use percent_encoding::percent_decode_str;
use streamgate_backend::MemoryBudget;
use streamgate_backend::memory_budget::{MemoryKind, Reservation};
use tower_http::services::ServeDir;

use crate::handshake::unavailable;

/// The file that stands for its folder.
const INDEX: &str = "index.html";

/// Bytes of a file that are read at once.
const CHUNK_BYTES: usize = 32 * 1024;

/// Bytes that a download takes of the memory budget until its end: a chunk that is being read, and
/// those that hyper has yet to write.
const DOWNLOAD_BYTES: usize = 4 * CHUNK_BYTES;

/// A folder that is served.
#[derive(Debug, Clone)]
pub(crate) struct Www {
    folder: Arc<Path>,
    files: ServeDir,
    memory: MemoryBudget,
}

impl Www {
    pub(crate) fn new(folder: &Path, memory: MemoryBudget) -> Self {
        Self {
            folder: folder.into(),
            files: ServeDir::new(folder).with_buf_chunk_size(CHUNK_BYTES),
            memory,
        }
    }

    /// Answers with a file, or with 404; with 503 if the memory budget has no room for a download.
    pub(crate) async fn serve(mut self, request: Request) -> Response {
        let Some(path) = path_below(&self.folder, request.uri().path()) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let folder = Arc::clone(&self.folder);
        let may_serve = tokio::task::spawn_blocking(move || is_servable(&folder, &path)).await;
        if !may_serve.unwrap_or(false) {
            return StatusCode::NOT_FOUND.into_response();
        }
        let Ok(room) = self
            .memory
            .try_reserve(MemoryKind::Outgoing, DOWNLOAD_BYTES)
        else {
            return unavailable("no memory is left on this server");
        };
        let response = self.files.try_call(request).await;
        response.map_or_else(
            |error| {
                tracing::debug!(%error, "cannot read a file of --www");
                StatusCode::NOT_FOUND.into_response()
            },
            |response| {
                response
                    .map(|body| holding(Body::new(body), room))
                    .into_response()
            },
        )
    }
}

/// Returns a body that gives its room back when it is dropped.
fn holding(body: Body, room: Reservation) -> Body {
    if body.is_end_stream() {
        return body;
    }
    Body::from_stream(body.into_data_stream().map(move |chunk| {
        let _held = &room;
        chunk
    }))
}

/// Returns the path that a request names; `None` if it names a hidden file, or none.
fn path_below(folder: &Path, path: &str) -> Option<PathBuf> {
    let path = percent_decode_str(path).decode_utf8().ok()?;
    let mut below = folder.to_path_buf();
    for name in path.split('/').filter(|name| !name.is_empty()) {
        if name.starts_with('.') || name.contains(['\\', '\0', ':']) {
            return None;
        }
        below.push(name);
    }
    Some(below)
}

/// Returns whether a path is a regular file in the folder, or has an index that is one.
fn is_servable(folder: &Path, path: &Path) -> bool {
    // Without symbolic links. A name that is too long for the file system is an error here too.
    let (Ok(folder), Ok(path)) = (folder.canonicalize(), path.canonicalize()) else {
        return false;
    };
    let is_in_folder = |path: &Path| {
        let below = path.strip_prefix(&folder);
        below.is_ok_and(|below| !below.iter().any(|n| n.as_encoded_bytes().starts_with(b".")))
    };
    if path.is_dir() {
        let index = path.join(INDEX).canonicalize();
        index.is_ok_and(|index| is_in_folder(&index) && index.is_file())
    } else {
        is_in_folder(&path) && path.is_file()
    }
}

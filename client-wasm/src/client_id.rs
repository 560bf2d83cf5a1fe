//! Draws the id of a client in a page or a worker.

use streamgate_client::internals::ClientId;
use streamgate_client::{CacheError, CacheResult};
use streamgate_protocol::error::code;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(catch, js_namespace = crypto, js_name = getRandomValues)]
    fn fill_random(bytes: &mut [u8]) -> Result<(), JsValue>;
}

/// Draws an id from the runtime. Each client draws its own when it connects, so that copies of
/// a process or of a machine that were made before that do not share one.
pub(crate) fn new_client_id() -> CacheResult<ClientId> {
    let mut bits = [0; 16];
    match fill_random(&mut bits) {
        Ok(()) => Ok(ClientId::from_random(bits)),
        Err(_) => Err(CacheError::from_code(
            code::CONFIG,
            "the runtime has no Web Crypto",
        )),
    }
}

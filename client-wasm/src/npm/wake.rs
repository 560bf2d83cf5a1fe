//! A waker that calls a JavaScript function.

use std::cell::RefCell;
use std::sync::Arc;
use std::task::{Wake, Waker};

use js_sys::Function;
use wasm_bindgen::JsValue;

thread_local! {
    /// Wakers may be sent to other threads, JavaScript's functions may not. So a waker holds only
    /// the index of its function in this list, which is empty on any other thread.
    static FUNCTIONS: RefCell<Vec<Option<Function>>> = const { RefCell::new(Vec::new()) };
}

/// A JavaScript function that asks for a pump, and a waker that calls it. Removed when dropped.
#[derive(Debug)]
pub(super) struct WakeFunction {
    index: usize,
    waker: Waker,
}

impl WakeFunction {
    pub(super) fn new(function: Function) -> Self {
        let index = FUNCTIONS.with_borrow_mut(|functions| {
            let index = functions
                .iter()
                .position(Option::is_none)
                .unwrap_or(functions.len());
            if index == functions.len() {
                functions.push(None);
            }
            functions[index] = Some(function);
            index
        });
        Self {
            index,
            waker: Arc::new(FunctionWaker(index)).into(),
        }
    }

    pub(super) const fn waker(&self) -> &Waker {
        &self.waker
    }
}

impl Drop for WakeFunction {
    fn drop(&mut self) {
        FUNCTIONS.with_borrow_mut(|functions| functions[self.index] = None);
    }
}

/// The index of a function.
struct FunctionWaker(usize);

impl Wake for FunctionWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let function = FUNCTIONS.with_borrow(|functions| functions.get(self.0).cloned().flatten());
        if let Some(function) = function {
            // The function only records that a pump is due, and does not throw.
            let _ = function.call0(&JsValue::UNDEFINED);
        }
    }
}

//! A waker that calls a JavaScript function.

use std::cell::RefCell;
use std::sync::Arc;
use std::task::{Wake as StdWake, Waker};

use js_sys::Function;
use wasm_bindgen::JsValue;

thread_local! {
    /// Wakers may be sent to other threads, JavaScript's functions may not: so a waker holds only
    /// the place of its function here, which is empty on any other thread.
    static FUNCTIONS: RefCell<Vec<Option<Function>>> = const { RefCell::new(Vec::new()) };
}

/// A function's place, freed when dropped.
#[derive(Debug)]
pub(super) struct Wake {
    place: usize,
    waker: Waker,
}

impl Wake {
    pub(super) fn new(function: Function) -> Self {
        let place = FUNCTIONS.with_borrow_mut(|functions| {
            let place = functions
                .iter()
                .position(Option::is_none)
                .unwrap_or(functions.len());
            if place == functions.len() {
                functions.push(None);
            }
            functions[place] = Some(function);
            place
        });
        Self {
            place,
            waker: Arc::new(Place(place)).into(),
        }
    }

    pub(super) const fn waker(&self) -> &Waker {
        &self.waker
    }
}

impl Drop for Wake {
    fn drop(&mut self) {
        FUNCTIONS.with_borrow_mut(|functions| functions[self.place] = None);
    }
}

struct Place(usize);

impl StdWake for Place {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let function = FUNCTIONS.with_borrow(|functions| functions.get(self.0).cloned().flatten());
        if let Some(function) = function {
            // It only notes that a pump is due, and does not throw.
            let _ = function.call0(&JsValue::UNDEFINED);
        }
    }
}

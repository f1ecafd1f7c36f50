//! What the generated bindings need of a runtime, in place of the `wit-bindgen` crate.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;

/// Memory that is given back when dropped, unless forgotten.
pub struct Cleanup {
    at: NonNull<u8>,
    layout: Layout,
}

impl Cleanup {
    /// Memory of this layout; nothing to clean up when it is empty.
    pub fn new(layout: Layout) -> (*mut u8, Option<Self>) {
        if layout.size() == 0 {
            return (std::ptr::null_mut(), None);
        }
        // SAFETY: the layout has a size, which is all that `alloc` asks for.
        let at = unsafe { alloc(layout) };
        match NonNull::new(at) {
            Some(at) => (at.as_ptr(), Some(Self { at, layout })),
            None => handle_alloc_error(layout),
        }
    }

    /// Leaves the memory to whoever has the pointer.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        // SAFETY: `new` got it from `alloc` with this layout, and nobody else gives it back.
        unsafe { dealloc(self.at.as_ptr(), self.layout) }
    }
}

/// Nothing to do: `guest` exports `cabi_realloc` by itself.
pub fn maybe_link_cabi_realloc() {}

/// Nothing to do: a policy has no C constructors.
#[cfg(target_arch = "wasm32")]
pub fn run_ctors_once() {}

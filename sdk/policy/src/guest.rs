//! What runs inside of the sandbox around a policy: the three exported functions, and on wasm32 the
//! allocator.
//!
//! The unsafe code of the SDK is here, in `rt` and in the generated `bindings`, and nowhere else.
//!
//! A sandbox lives for one verdict, so its memory is never given back: the allocator hands out one
//! piece after the other. That makes a verdict twice as fast as a general allocator does. And since
//! the module says so, the server asks for memory once and writes the whole question into it. A
//! panic is a trap (on wasm32 there is no unwinding), and a trap denies.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;

use crate::bindings::exports::writ::policy::evaluator::Guest;
use crate::{Descriptor, Named, Outcome, Policy, Problem, Request, Settings};

/// What the contract's exports do, for a policy.
#[derive(Debug)]
pub struct Exported<P>(PhantomData<P>);

impl<P: Policy> Guest for Exported<P> {
    fn describe() -> Descriptor {
        P::descriptor()
    }

    fn validate(settings: Vec<Named>) -> Result<(), Vec<Problem>> {
        validate::<P::Settings>(&settings)
    }

    fn evaluate(request: Request, settings: Vec<Named>) -> Result<Outcome, String> {
        // Neither is dropped: memory is not given back here, so there is nothing to walk through.
        let (request, settings) = (ManuallyDrop::new(request), ManuallyDrop::new(settings));
        evaluate::<P>(&request, &settings)
    }
}

/// What the server asks when a binding's settings change.
///
/// # Errors
/// Everything that is wrong with them, each with the setting's name.
pub fn validate<S: Settings>(settings: &[Named]) -> Result<(), Vec<Problem>> {
    let schema = S::schema();
    let mut problems = match S::read(settings) {
        Ok(_) => Vec::new(),
        Err(problems) => problems,
    };
    for given in settings {
        if !schema.iter().any(|setting| setting.name == given.name) {
            problems.push(Problem::new(&given.name, "this policy has no such setting"));
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

/// What the server asks for every token.
///
/// # Errors
/// The text of the policy's fault, or of settings that do not fit: the token is denied.
pub fn evaluate<P: Policy>(request: &Request, settings: &[Named]) -> Result<Outcome, String> {
    match P::Settings::read(settings) {
        Ok(settings) => P::evaluate(request, &settings).map_err(|fault| fault.to_string()),
        Err(problems) => Err(match problems.first() {
            Some(problem) => format!("setting {}: {}", problem.setting, problem.message),
            None => "the settings do not fit".to_owned(),
        }),
    }
}

#[cfg(target_arch = "wasm32")]
#[expect(unsafe_code, reason = "an allocator, and the border to the server")]
mod memory {
    use std::alloc::{GlobalAlloc, Layout};
    use std::cell::Cell;
    use std::ptr::null_mut;

    /// Memory that is there from the start, so that an ordinary verdict never asks for more:
    /// growing costs more than the verdict. Pages of it that are not touched cost nothing.
    const ARENA: usize = 64 * 1024;

    #[repr(align(16))]
    struct Arena([Cell<u8>; ARENA]);

    /// Hands out memory from `next` up to `end`.
    struct Bump {
        next: Cell<usize>,
        end: Cell<usize>,
    }

    // SAFETY: a policy has one thread: the target has no others without shared memory, which the
    // server refuses.
    unsafe impl Sync for Arena {}
    // SAFETY: as above.
    unsafe impl Sync for Bump {}

    static MEMORY: Arena = Arena([const { Cell::new(0) }; ARENA]);

    #[global_allocator]
    static BUMP: Bump = Bump {
        next: Cell::new(0),
        end: Cell::new(0),
    };

    /// Read by `writ policy inspect`: what made this module.
    #[used]
    #[unsafe(link_section = "writ-policy-sdk")]
    static MADE_BY: [u8; 5] = *b"0.1.0";

    /// Read by the server: nothing is ever given back here. So it asks `cabi_realloc` once for all
    /// that it passes, and the texts and lists of a question are parts of one piece. To allocate
    /// otherwise, take this away: `dealloc` and `realloc` would get what they never gave.
    #[used]
    #[unsafe(link_section = "writ-policy-allocator")]
    static ALLOCATOR: [u8; 4] = *b"bump";

    const PAGE: usize = 64 * 1024;

    impl Bump {
        /// Makes room for `size` more bytes after `next`; false when there is none.
        #[cold]
        fn more(&self, size: usize) -> bool {
            if self.end.get() == 0 {
                let start = MEMORY.0.as_ptr().addr();
                self.next.set(start);
                self.end.set(start + ARENA);
                if size <= ARENA {
                    return true;
                }
            }
            // 16 more than asked for, since what follows may have to be aligned.
            let pages = size.saturating_add(16).div_ceil(PAGE);
            let before = core::arch::wasm32::memory_grow::<0>(pages);
            if before == usize::MAX {
                return false;
            }
            let start = before * PAGE;
            if self.end.get() != start {
                self.next.set(start);
            }
            self.end.set(start + pages * PAGE);
            true
        }
    }

    // SAFETY: every piece handed out lies in memory that is nobody else's (the arena, or pages just
    // grown), is aligned as asked, and is never handed out again.
    unsafe impl GlobalAlloc for Bump {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            loop {
                let at = (self.next.get() + layout.align() - 1) & !(layout.align() - 1);
                match at.checked_add(layout.size()) {
                    Some(end) if end <= self.end.get() => {
                        self.next.set(end);
                        return at as *mut u8;
                    }
                    Some(_) if self.more(layout.size().saturating_add(layout.align())) => {}
                    _ => return null_mut(),
                }
            }
        }

        /// Also for what is inside of a piece: see `ALLOCATOR`.
        unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}

        /// The memory of a sandbox starts as zeros and none is used twice.
        unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
            // SAFETY: the caller's promise is that of `alloc`.
            unsafe { self.alloc(layout) }
        }

        /// The last piece grows where it is: that is the usual case, a text or list being built.
        /// What is inside of a piece is copied, unless it ends where that does.
        unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            // INVARIANT: `next` never goes back, or `alloc_zeroed` would give out what is not zero.
            if size <= layout.size() {
                return old;
            }
            let start = old.addr();
            if start + layout.size() == self.next.get()
                && let Some(end) = start.checked_add(size)
                && end <= self.end.get()
            {
                self.next.set(end);
                return old;
            }
            // SAFETY: a size that the caller vouches for, with an alignment that was accepted
            // before.
            let layout_new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
            // SAFETY: `size` is above the old size, hence not zero.
            let new = unsafe { self.alloc(layout_new) };
            if !new.is_null() {
                // SAFETY: both are ours, do not overlap, and have at least the old size.
                unsafe { std::ptr::copy_nonoverlapping(old, new, layout.size()) };
            }
            new
        }
    }

    /// How the server gets memory for what it passes (canonical ABI of the component model).
    #[unsafe(no_mangle)]
    unsafe extern "C" fn cabi_realloc(
        old: *mut u8,
        old_size: usize,
        align: usize,
        size: usize,
    ) -> *mut u8 {
        let at = if size == 0 {
            align as *mut u8
        } else {
            // SAFETY: the ABI promises a power of two; `old` is a piece of `old_size` from here, or
            // there is none.
            unsafe {
                if old_size == 0 {
                    BUMP.alloc(Layout::from_size_align_unchecked(size, align))
                } else {
                    let layout = Layout::from_size_align_unchecked(old_size, align);
                    BUMP.realloc(old, layout, size)
                }
            }
        };
        if at.is_null() {
            core::arch::wasm32::unreachable()
        }
        at
    }
}

//! An allocator that makes it show when freed memory is used.
//!
//! What is freed is filled with a pattern and waits in a ring before the system gets it back:
//!
//! ```text
//!   free ─> [ filled | filled | filled | .. | filled ] ─> is it still filled? ─> system
//!             newest                          oldest       no: stop the process
//! ```
//!
//! So a read of freed memory finds the pattern (and a canary dies), and a write to it is found when it leaves the ring.
//!
//! - **\[Q1]** A block in the ring belongs to the ring alone, and is as long as its layout says.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;
use std::sync::{Mutex, PoisonError};

const PATTERN: u8 = 0xde;
const PATTERN_PAGE: [u8; 4096] = [PATTERN; 4096];
/// Blocks that wait at most.
const RING_BLOCKS: usize = 8192;
/// Bytes that wait at most.
const RING_BYTES: usize = 32 << 20;

/// The system's allocator behind a ring of poisoned blocks.
pub(crate) struct Poisoning {
    ring: Mutex<Ring>,
}

#[derive(Clone, Copy)]
struct Block {
    memory: *mut u8,
    layout: Layout,
}

struct Ring {
    blocks: [Block; RING_BLOCKS],
    oldest: usize,
    count: usize,
    bytes: usize,
}

// SAFETY: [Q1] blocks are only passed on, by whoever holds the lock.
unsafe impl Send for Ring {}

impl Poisoning {
    pub(crate) const fn new() -> Self {
        let none = Block { memory: ptr::null_mut(), layout: Layout::new::<()>() };
        Poisoning { ring: Mutex::new(Ring { blocks: [none; RING_BLOCKS], oldest: 0, count: 0, bytes: 0 }) }
    }
}

impl Ring {
    fn is_full(&self) -> bool {
        self.count == RING_BLOCKS || self.bytes > RING_BYTES
    }

    fn push(&mut self, block: Block) {
        self.blocks[(self.oldest + self.count) % RING_BLOCKS] = block;
        self.count += 1;
        self.bytes += block.layout.size();
    }

    fn pop(&mut self) -> Block {
        let block = self.blocks[self.oldest];
        self.oldest = (self.oldest + 1) % RING_BLOCKS;
        self.count -= 1;
        self.bytes -= block.layout.size();
        block
    }
}

fn is_untouched(block: Block) -> bool {
    // SAFETY: [Q1]
    let bytes = unsafe { std::slice::from_raw_parts(block.memory, block.layout.size()) };
    bytes.chunks(PATTERN_PAGE.len()).all(|chunk| chunk == &PATTERN_PAGE[..chunk.len()])
}

// SAFETY: blocks come from the system's allocator and go back to it with the layout they came with.
unsafe impl GlobalAlloc for Poisoning {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        let memory = unsafe { System.alloc(layout) };
        if !memory.is_null() {
            // SAFETY: [Q1] fresh and so long.
            unsafe { memory.write_bytes(!PATTERN, layout.size()) };
        }
        memory
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: [Q1] the caller gives it up.
        unsafe { memory.write_bytes(PATTERN, layout.size()) };
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        while ring.is_full() {
            let block = ring.pop();
            if !is_untouched(block) {
                std::process::abort();
            }
            // SAFETY: [Q1]
            unsafe { System.dealloc(block.memory, block.layout) };
        }
        ring.push(Block { memory, layout });
    }
}

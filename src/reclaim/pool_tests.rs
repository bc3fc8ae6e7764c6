//! The pool by itself, at one workbench.

use super::pool::{Class, Depot, Workbench};

fn with_one_slot(class: Class, work: impl FnOnce(&mut Workbench, &Depot, std::ptr::NonNull<u8>)) {
    let (depot, mut workbench) = (Depot::new(), Workbench::new());
    workbench.reserve(&depot, 1, 1).unwrap();
    let slot = workbench.take(class).unwrap();
    work(&mut workbench, &depot, slot);
}

/// The slot given back last is the next to be taken, and is looked at then.
fn write_to_a_free_slot(class: Class) {
    with_one_slot(class, |workbench, depot, slot| {
        // SAFETY: [P1] from `take`, and used by nobody; what is written below is within the slot, whose slab stays.
        unsafe {
            workbench.give(class, slot, depot);
            slot.add(class.slot_bytes() - 2 * size_of::<u64>()).write(7);
        }
        workbench.take(class);
    });
}

#[test]
#[should_panic(expected = "written to while it was free")]
fn a_write_to_a_free_leaf_is_noticed() {
    write_to_a_free_slot(Class::Leaf);
}

#[test]
#[should_panic(expected = "written to while it was free")]
fn a_write_to_a_free_large_slot_is_noticed() {
    write_to_a_free_slot(Class::Large);
}

#[test]
fn a_slot_that_was_left_alone_is_handed_out_again() {
    for class in [Class::Leaf, Class::Large] {
        with_one_slot(class, |workbench, depot, slot| {
            // SAFETY: [P1] from `take`, and used by nobody.
            unsafe { workbench.give(class, slot, depot) };
            assert_eq!(workbench.take(class), Some(slot));
        });
    }
}

//! Doubly linked lists through slots: in and out in constant time, without allocation.

/// No slot.
pub(super) const NIL: u32 = u32::MAX;

/// A slot, where there is one.
pub(super) fn present(slot: u32) -> Option<u32> {
    (slot != NIL).then_some(slot)
}

/// A slot's place in one list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) previous: u32,
    pub(super) next: u32,
}

impl Link {
    pub(super) const NONE: Self = Self { previous: NIL, next: NIL };
}

/// The ends of a list. Each call is given the slots and the way to a slot's link of this list.
#[derive(Clone, Debug)]
pub(super) struct List {
    first: u32,
    last: u32,
    pub(super) count: u32,
}

impl List {
    pub(super) fn new() -> Self {
        Self { first: NIL, last: NIL, count: 0 }
    }

    pub(super) fn first(&self) -> Option<u32> {
        present(self.first)
    }

    /// Puts a slot that is in no such list at the end.
    pub(super) fn push_back<T>(&mut self, slot: u32, slots: &mut [T], link: fn(&mut T) -> &mut Link) {
        *link(&mut slots[slot as usize]) = Link { previous: self.last, next: NIL };
        match present(self.last) {
            Some(last) => link(&mut slots[last as usize]).next = slot,
            None => self.first = slot,
        }
        self.last = slot;
        self.count += 1;
    }

    /// Takes a slot of this list out of it.
    pub(super) fn remove<T>(&mut self, slot: u32, slots: &mut [T], link: fn(&mut T) -> &mut Link) {
        let Link { previous, next } = std::mem::replace(link(&mut slots[slot as usize]), Link::NONE);
        match present(previous) {
            Some(previous) => link(&mut slots[previous as usize]).next = next,
            None => self.first = next,
        }
        match present(next) {
            Some(next) => link(&mut slots[next as usize]).previous = previous,
            None => self.last = previous,
        }
        self.count -= 1;
    }

    /// Walks the list, panics where links do not fit; how many slots there were.
    pub(super) fn check(&self, link: impl Fn(u32) -> Link, mut each: impl FnMut(u32)) -> usize {
        let (mut previous, mut at, mut count) = (NIL, self.first, 0);
        while let Some(slot) = present(at) {
            assert_eq!(link(slot).previous, previous, "a link does not fit");
            each(slot);
            (previous, at, count) = (slot, link(slot).next, count + 1);
            assert!(count <= self.count as usize, "a list is longer than it says");
        }
        assert_eq!((previous, count), (self.last, self.count as usize), "a list ends elsewhere");
        count
    }
}

//! Room for bytes: a bound on what is held in memory by many together.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::StoreError;

/// So many bytes may be held at a time. Who finds no room is told so at once.
#[derive(Clone, Debug)]
pub(super) struct Room(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    size: u32,
    free: Semaphore,
}

/// What one holds of a room; it is free again when this is dropped.
#[derive(Debug)]
pub struct Held {
    room: Room,
    bytes: u32,
}

impl Room {
    pub(super) fn new(size: u32) -> Self {
        Room(Arc::new(Inner { size, free: Semaphore::new(size as usize) }))
    }

    /// Holds nothing yet.
    pub(super) fn enter(&self) -> Held {
        Held { room: self.clone(), bytes: 0 }
    }
}

impl Held {
    /// Holds so many bytes in all. What is larger than the room is held as if it just filled it, so that it is not
    /// refused for ever.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] if others hold too much; what was held still is.
    pub(super) fn grow_to(&mut self, bytes: usize) -> Result<(), StoreError> {
        let Inner { size, free } = &*self.room.0;
        let wanted = u32::try_from(bytes).unwrap_or(u32::MAX).min(*size);
        let more = wanted.saturating_sub(self.bytes);
        free.try_acquire_many(more).map_err(|_| StoreError::Overloaded)?.forget();
        self.bytes += more;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.room.0.free.add_permits(self.bytes as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_not_free_until_it_is_dropped() {
        let room = Room::new(100);
        let (mut one, mut other) = (room.enter(), room.enter());
        one.grow_to(60).expect("there is room");
        one.grow_to(50).expect("it is held");
        other.grow_to(41).expect_err("there is no room");
        other.grow_to(40).expect("there is room");
        one.grow_to(61).expect_err("there is no room");
        drop(one);
        other.grow_to(1000).expect("it fills the room");
        room.enter().grow_to(1).expect_err("there is no room");
        drop(other);
        room.enter().grow_to(100).expect("all is free");
    }
}

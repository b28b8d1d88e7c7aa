//! What is to leave the house: events that wait for a receiver, and those that none has taken.

use std::sync::Arc;

use crate::time::Timestamp;

/// Where deliveries go: an address of an app.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The app.
    pub app_id: Arc<str>,
    /// The address.
    pub url: Arc<str>,
}

/// A target's number.
pub type TargetId = i64;

/// A delivery's number; those of a lane are delivered in its order.
pub type DeliveryId = i64;

/// An event to be put in the queue.
#[derive(Clone, Debug)]
pub struct NewDelivery {
    /// Where it goes.
    pub target: Target,
    /// What it is kept in order with: its channel.
    pub lane: String,
    /// What tells the event from all others.
    pub event_id: String,
    /// The event's name.
    pub event: &'static str,
    /// What is sent of it.
    pub body: String,
}

/// Someone of whom an app's backend is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Told {
    /// A channel: occupied, or vacated.
    Channel {
        /// The app.
        app_id: Arc<str>,
        /// The channel.
        channel: String,
    },
    /// A member of a presence channel: added, or removed.
    Member {
        /// The app.
        app_id: Arc<str>,
        /// The channel.
        channel: String,
        /// The user.
        user_id: Arc<str>,
    },
}

/// What a backend believes from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToldChange {
    /// They are there.
    Came(Told),
    /// They are not.
    Went(Told),
}

/// What is put in the queue at once.
#[derive(Clone, Debug, Default)]
pub struct NewDeliveries {
    /// Events, in their order.
    pub events: Vec<NewDelivery>,
    /// What the backends believe once they have them.
    pub told: Vec<ToldChange>,
}

/// A delivery that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its number.
    pub id: DeliveryId,
    /// What is sent.
    pub body: String,
    /// When it was put in the queue.
    pub queued_at: Timestamp,
    /// How often it has been tried.
    pub attempts: u32,
}

/// The first deliveries of a lane, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Its name.
    pub name: String,
    /// At least one.
    pub deliveries: Vec<Delivery>,
}

/// What is to be done for a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// The lanes whose first delivery is due.
    pub lanes: Vec<Lane>,
    /// When the next will be, where none of these is concerned.
    pub next: Option<Timestamp>,
}

/// Which of the due lanes come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// Those that have been due for the longest.
    LongestDue,
    /// Those that have failed least often: a target that may be back is not asked to take what it never took.
    LeastTried,
}

/// How much of a target's queue is read at a time.
#[derive(Clone, Copy, Debug)]
pub struct Portion {
    /// The most lanes.
    pub lanes: usize,
    /// The most deliveries of a lane.
    pub per_lane: u32,
    /// So many bytes of bodies; the one that is over is the last.
    pub bytes: usize,
}

/// What has become of a lane's first deliveries.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The lane.
    pub lane: String,
    /// Those that were taken.
    pub taken: Vec<DeliveryId>,
    /// The one that was not, if it came to that.
    pub failed: Option<Failed>,
}

/// A delivery that was not taken.
#[derive(Clone, Debug)]
pub struct Failed {
    /// Which.
    pub id: DeliveryId,
    /// Why.
    pub error: String,
    /// What follows.
    pub then: Then,
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It is tried again.
    Retry {
        /// When.
        at: Timestamp,
    },
    /// It is a dead letter.
    Die,
}

/// A delivery as it is kept, for whoever looks into the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDelivery {
    /// Its number.
    pub id: DeliveryId,
    /// Where it goes.
    pub target: Target,
    /// Its channel.
    pub lane: String,
    /// What tells the event from all others.
    pub event_id: String,
    /// The event's name.
    pub event: String,
    /// What is sent.
    pub body: String,
    /// When it was put in the queue.
    pub queued_at: Timestamp,
    /// How often it has been tried.
    pub attempts: u32,
    /// When it is due, if it is the first of its lane.
    pub due_at: Option<Timestamp>,
    /// Why it was not taken.
    pub last_error: Option<String>,
    /// Since when it is a dead letter, if it is one.
    pub died_at: Option<Timestamp>,
}

/// Which deliveries are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// Those that wait.
    Waiting,
    /// The dead letters.
    Dead,
}

/// Which dead letters go back into the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replay {
    /// This one.
    One(DeliveryId),
    /// All.
    All,
    /// All of an app.
    OfApp(String),
}

/// A target's queue in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// The target.
    pub target: Target,
    /// How many wait.
    pub waiting: u64,
    /// How many are dead letters.
    pub dead: u64,
}

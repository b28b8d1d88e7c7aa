//! The rows of deliveries. Of each lane the first that waits has a `due_at`, and no other.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::SharedStore;
use crate::{
    StoreError,
    deliveries::{
        Backlog, Delivery, DeliveryId, DeliveryState, Due, Failed, First, Lane, NewDeliveries, NewDelivery,
        Portion, Replay, Settled, StoredDelivery, Target, TargetId, Then, Told, ToldChange,
    },
    time::Timestamp,
};

/// How many rows one commit buries or replays, so that others come in between.
const CHUNK: u32 = 500;
const STORED: &str =
    "seq, app_id, url, lane, event_id, event, body, queued_at, attempts, due_at, last_error, died_at
     FROM deliveries JOIN targets ON targets.id = target_id";

impl SharedStore {
    /// Puts events in the queue, and notes what the backends believe then.
    ///
    /// # Errors
    /// If they could not be stored.
    pub async fn add_deliveries(&self, new: Arc<NewDeliveries>, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |work| {
            new.events.iter().try_for_each(|delivery| add(work.connection, delivery, now))?;
            new.told.iter().try_for_each(|change| note(work.connection, change))
        })
        .await
    }

    /// Of whom backends believe that they are there.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn told(&self) -> Result<Vec<Told>, StoreError> {
        self.read(|connection| {
            let mut channels = connection.prepare_cached("SELECT app_id, channel FROM told_channels")?;
            let channels = channels
                .query_map([], |row| Ok(Told::Channel { app_id: row.get(0)?, channel: row.get(1)? }))?;
            let mut members =
                connection.prepare_cached("SELECT app_id, channel, user_id FROM told_members")?;
            let members = members.query_map([], |row| {
                Ok(Told::Member { app_id: row.get(0)?, channel: row.get(1)?, user_id: row.get(2)? })
            })?;
            // Members first: a channel that is told vacated has none.
            members.chain(channels).collect()
        })
        .await
    }

    /// The number of a target, which is given one if it has none.
    ///
    /// # Errors
    /// If it could not be stored.
    pub async fn target(&self, target: Target) -> Result<TargetId, StoreError> {
        self.write(move |work| target_id(work.connection, &target)).await
    }

    /// Every target that there ever was.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn targets(&self) -> Result<Vec<(TargetId, Target)>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT id, app_id, url FROM targets ORDER BY id")?
                .query_map([], |row| Ok((row.get(0)?, Target { app_id: row.get(1)?, url: row.get(2)? })))?
                .collect()
        })
        .await
    }

    /// What is due for a target, but for the lanes that are being served.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn due_deliveries(
        &self,
        target: TargetId,
        served: Vec<String>,
        first: First,
        portion: Portion,
        now: Timestamp,
    ) -> Result<Due, StoreError> {
        self.read(move |connection| due(connection, target, &served, first, portion, now)).await
    }

    /// Notes what has become of deliveries; the next of their lanes are due.
    ///
    /// # Errors
    /// If it could not be stored.
    pub async fn settle_deliveries(
        &self,
        target: TargetId,
        settled: Vec<Settled>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(move |work| {
            settled.into_iter().try_for_each(|lane| settle(work.connection, target, lane, now))
        })
        .await
    }

    /// Makes all that a target has waiting due now: it takes again what it is sent.
    ///
    /// # Errors
    /// If it could not be stored.
    pub async fn hurry_deliveries(&self, target: TargetId, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |work| {
            work.connection
                .prepare_cached("UPDATE deliveries SET due_at = ?2 WHERE target_id = ?1 AND due_at > ?2")?
                .execute((target, now))?;
            Ok(())
        })
        .await
    }

    /// Makes dead letters of some that were put in the queue before `before`; how many, none if there are no more.
    ///
    /// # Errors
    /// If it could not be stored.
    pub async fn bury_deliveries(
        &self,
        target: TargetId,
        before: Timestamp,
        reason: &'static str,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        self.write(move |work| {
            let lanes: Vec<String> = work
                .connection
                .prepare_cached(
                    "UPDATE deliveries SET died_at = ?4, due_at = NULL, last_error = coalesce(last_error, ?3)
                     WHERE seq IN (SELECT seq FROM deliveries WHERE target_id = ?1 AND died_at IS NULL
                                   AND queued_at < ?2 LIMIT ?5)
                     RETURNING lane",
                )?
                .query_map((target, before, reason, now, CHUNK), |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            for lane in &lanes {
                promote(work.connection, target, lane, now)?;
            }
            Ok(lanes.len())
        })
        .await
    }

    /// Forgets dead letters that have been some since before `before`.
    ///
    /// # Errors
    /// If it could not be stored.
    pub async fn forget_dead_letters(&self, before: Timestamp) -> Result<(), StoreError> {
        self.write(move |work| {
            work.connection.prepare_cached("DELETE FROM deliveries WHERE died_at < ?1")?.execute([before])?;
            Ok(())
        })
        .await
    }

    /// Deliveries in this state, of one app or of all, the newest first, older than `before`.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn deliveries(
        &self,
        state: DeliveryState,
        app_id: Option<String>,
        before: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Vec<StoredDelivery>, StoreError> {
        let state = match state {
            DeliveryState::Waiting => "IS NULL",
            DeliveryState::Dead => "IS NOT NULL",
        };
        self.read(move |connection| {
            connection
                .prepare_cached(&format!(
                    "SELECT {STORED} WHERE died_at {state} AND (?1 IS NULL OR app_id = ?1)
                     AND (?2 IS NULL OR seq < ?2) ORDER BY seq DESC LIMIT ?3"
                ))?
                .query_map((app_id, before, limit), stored)?
                .collect()
        })
        .await
    }

    /// A delivery, waiting or dead; nothing once it has been made.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn delivery(&self, id: DeliveryId) -> Result<Option<StoredDelivery>, StoreError> {
        self.read(move |connection| {
            connection
                .prepare_cached(&format!("SELECT {STORED} WHERE seq = ?1"))?
                .query_row([id], stored)
                .optional()
        })
        .await
    }

    /// Puts dead letters back into the queue, each at its old place in its lane; how many they were.
    ///
    /// # Errors
    /// If it could not be stored; what was put back before is.
    pub async fn replay_dead_letters(&self, which: Replay, now: Timestamp) -> Result<u64, StoreError> {
        let mut count = 0;
        loop {
            let which = which.clone();
            let replayed = self.write(move |work| replay(work.connection, &which, now)).await?;
            count += u64::from(replayed);
            if replayed < CHUNK {
                return Ok(count);
            }
        }
    }

    /// How many deliveries wait, for whatever target.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn waiting_deliveries(&self) -> Result<u64, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT count(*) FROM deliveries WHERE died_at IS NULL")?
                .query_row([], |row| row.get::<_, i64>(0))
                .map(i64::unsigned_abs)
        })
        .await
    }

    /// How much waits and how much is dead, for each target that has any.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn backlogs(&self) -> Result<Vec<Backlog>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT app_id, url, count(*) - count(died_at), count(died_at)
                     FROM deliveries JOIN targets ON targets.id = target_id GROUP BY target_id ORDER BY target_id",
                )?
                .query_map([], |row| {
                    Ok(Backlog {
                        target: Target { app_id: row.get(0)?, url: row.get(1)? },
                        waiting: row.get::<_, i64>(2)?.unsigned_abs(),
                        dead: row.get::<_, i64>(3)?.unsigned_abs(),
                    })
                })?
                .collect()
        })
        .await
    }
}

fn add(connection: &Connection, new: &NewDelivery, now: Timestamp) -> rusqlite::Result<()> {
    let NewDelivery { target, lane, event_id, event, body } = new;
    let target = target_id(connection, target)?;
    let due_at = head(connection, target, lane)?.is_none().then_some(now);
    connection
        .prepare_cached(
            "INSERT INTO deliveries (target_id, lane, event_id, event, body, queued_at, due_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute((target, lane, event_id, event, body, now, due_at))?;
    Ok(())
}

fn note(connection: &Connection, change: &ToldChange) -> rusqlite::Result<()> {
    match change {
        ToldChange::Came(Told::Channel { app_id, channel }) => connection
            .prepare_cached("INSERT OR IGNORE INTO told_channels (app_id, channel) VALUES (?1, ?2)")?
            .execute((app_id, channel))?,
        ToldChange::Went(Told::Channel { app_id, channel }) => connection
            .prepare_cached("DELETE FROM told_channels WHERE app_id = ?1 AND channel = ?2")?
            .execute((app_id, channel))?,
        ToldChange::Came(Told::Member { app_id, channel, user_id }) => connection
            .prepare_cached(
                "INSERT OR IGNORE INTO told_members (app_id, channel, user_id) VALUES (?1, ?2, ?3)",
            )?
            .execute((app_id, channel, user_id))?,
        ToldChange::Went(Told::Member { app_id, channel, user_id }) => connection
            .prepare_cached("DELETE FROM told_members WHERE app_id = ?1 AND channel = ?2 AND user_id = ?3")?
            .execute((app_id, channel, user_id))?,
    };
    Ok(())
}

fn target_id(connection: &Connection, target: &Target) -> rusqlite::Result<TargetId> {
    let known = connection
        .prepare_cached("SELECT id FROM targets WHERE app_id = ?1 AND url = ?2")?
        .query_row((&target.app_id, &target.url), |row| row.get(0))
        .optional()?;
    if let Some(id) = known {
        return Ok(id);
    }
    connection
        .prepare_cached("INSERT INTO targets (app_id, url) VALUES (?1, ?2)")?
        .execute((&target.app_id, &target.url))?;
    Ok(connection.last_insert_rowid())
}

/// The first that waits in a lane.
fn head(connection: &Connection, target: TargetId, lane: &str) -> rusqlite::Result<Option<DeliveryId>> {
    connection
        .prepare_cached(
            "SELECT seq FROM deliveries WHERE target_id = ?1 AND lane = ?2 AND died_at IS NULL ORDER BY seq LIMIT 1",
        )?
        .query_row((target, lane), |row| row.get(0))
        .optional()
}

/// Sees to it that the first of a lane is due some time.
fn promote(connection: &Connection, target: TargetId, lane: &str, now: Timestamp) -> rusqlite::Result<()> {
    let Some(head) = head(connection, target, lane)? else { return Ok(()) };
    connection
        .prepare_cached("UPDATE deliveries SET due_at = ?2 WHERE seq = ?1 AND due_at IS NULL")?
        .execute((head, now))?;
    Ok(())
}

fn due(
    connection: &Connection,
    target: TargetId,
    served: &[String],
    first: First,
    portion: Portion,
    now: Timestamp,
) -> rusqlite::Result<Due> {
    let order = match first {
        First::LongestDue => "due_at, seq",
        First::LeastTried => "attempts, due_at, seq",
    };
    let mut heads = connection.prepare_cached(&format!(
        "SELECT lane FROM deliveries WHERE target_id = ?1 AND due_at <= ?2 ORDER BY {order}"
    ))?;
    let mut heads = heads.query((target, now))?;
    let mut statement = connection.prepare_cached(
        "SELECT seq, body, queued_at, attempts FROM deliveries
         WHERE target_id = ?1 AND lane = ?2 AND died_at IS NULL ORDER BY seq LIMIT ?3",
    )?;
    let (mut lanes, mut room) = (Vec::new(), portion.bytes);
    while lanes.len() < portion.lanes
        && room > 0
        && let Some(head) = heads.next()?
    {
        let name: String = head.get(0)?;
        if served.contains(&name) {
            continue;
        }
        let mut rows = statement.query((target, &name, portion.per_lane))?;
        let mut deliveries = Vec::new();
        while room > 0
            && let Some(row) = rows.next()?
        {
            let delivery = Delivery {
                id: row.get(0)?,
                body: row.get(1)?,
                queued_at: row.get(2)?,
                attempts: row.get(3)?,
            };
            room = room.saturating_sub(delivery.body.len());
            deliveries.push(delivery);
        }
        lanes.push(Lane { name, deliveries });
    }
    let next = connection
        .prepare_cached("SELECT min(due_at) FROM deliveries WHERE target_id = ?1 AND due_at > ?2")?
        .query_row((target, now), |row| row.get(0))?;
    Ok(Due { lanes, next })
}

fn settle(
    connection: &Connection,
    target: TargetId,
    settled: Settled,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let Settled { lane, taken, failed } = settled;
    for id in taken {
        connection.prepare_cached("DELETE FROM deliveries WHERE seq = ?1")?.execute([id])?;
    }
    if let Some(Failed { id, error, then }) = failed {
        let (due_at, died_at) = match then {
            // What was replayed meanwhile may be before it now.
            Then::Retry { at } => {
                (head(connection, target, &lane)?.filter(|head| *head == id).map(|_| at), None)
            }
            Then::Die => (None, Some(now)),
        };
        connection
            .prepare_cached(
                "UPDATE deliveries SET attempts = attempts + 1, last_error = ?2, due_at = ?3, died_at = ?4
                 WHERE seq = ?1 AND died_at IS NULL",
            )?
            .execute((id, error, due_at, died_at))?;
    }
    promote(connection, target, &lane, now)
}

fn replay(connection: &Connection, which: &Replay, now: Timestamp) -> rusqlite::Result<u32> {
    let (one, app_id) = match which {
        Replay::One(id) => (Some(*id), None),
        Replay::All => (None, None),
        Replay::OfApp(app_id) => (None, Some(app_id)),
    };
    let dead: Vec<(DeliveryId, TargetId, String)> = connection
        .prepare_cached(
            "SELECT seq, target_id, lane FROM deliveries WHERE died_at <= ?1 AND (?2 IS NULL OR seq = ?2)
             AND (?3 IS NULL OR target_id IN (SELECT id FROM targets WHERE app_id = ?3)) LIMIT ?4",
        )?
        .query_map((now, one, app_id, CHUNK), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (id, target, lane) in &dead {
        let head = head(connection, *target, lane)?;
        let is_first = head.is_none_or(|head| *id < head);
        if is_first {
            connection
                .prepare_cached("UPDATE deliveries SET due_at = NULL WHERE seq = ?1")?
                .execute([head])?;
        }
        connection
            .prepare_cached(
                "UPDATE deliveries SET died_at = NULL, attempts = 0, queued_at = ?2, due_at = ?3 WHERE seq = ?1",
            )?
            .execute((id, now, is_first.then_some(now)))?;
    }
    Ok(u32::try_from(dead.len()).unwrap_or(CHUNK))
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredDelivery> {
    Ok(StoredDelivery {
        id: row.get(0)?,
        target: Target { app_id: row.get(1)?, url: row.get(2)? },
        lane: row.get(3)?,
        event_id: row.get(4)?,
        event: row.get(5)?,
        body: row.get(6)?,
        queued_at: row.get(7)?,
        attempts: row.get(8)?,
        due_at: row.get(9)?,
        last_error: row.get(10)?,
        died_at: row.get(11)?,
    })
}

#[cfg(test)]
mod tests;

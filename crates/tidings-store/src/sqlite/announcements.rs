//! The announcements' rows: written with the change, deleted when it has been told.

use rusqlite::{Connection, Row};

use super::{notifications, writer::Work};
use crate::{Announcement, Ids, News, NotificationId, Set, UserKey, time::Timestamp};

/// The word for a new notification in the column of changes.
const CREATED: &str = "created";
const ALL: &str = "all";

/// Notes a change, in the table and for when it is committed.
pub(super) fn announce(
    work: &mut Work<'_>,
    owner: UserKey,
    news: News,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let (change, ids) = match &news {
        News::Created(notification) => (CREATED, notification.id.to_string()),
        News::Changed { set, ids } => (set.word(), text(ids)),
        News::Counts => return Ok(()),
    };
    work.connection
        .prepare_cached(
            "INSERT INTO announcements (brand_id, user_id, change, ids, at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute((owner.brand, owner.user, change, ids, now))?;
    let seq = work.connection.last_insert_rowid();
    let counts = notifications::counts(work.connection, owner, now)?;
    work.announce(Announcement { seq, owner, news, counts, is_left_over: false });
    Ok(())
}

/// What has been announced after `seq`, by this process or another.
pub(super) fn after(
    connection: &Connection,
    seq: i64,
    is_left_over: bool,
) -> rusqlite::Result<Vec<Announcement>> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, brand_id, user_id, change, ids, at FROM announcements WHERE seq > ?1 ORDER BY seq",
    )?;
    let mut rows = statement.query([seq])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(connection, row, is_left_over)?);
    }
    Ok(found)
}

/// Deletes what has been told.
pub(super) fn forget(connection: &Connection, up_to: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM announcements WHERE seq <= ?1")?.execute([up_to])?;
    Ok(())
}

/// Whether there is nothing left to tell.
pub(super) fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT NOT EXISTS (SELECT 1 FROM announcements)")?
        .query_row([], |row| row.get(0))
}

fn read(connection: &Connection, row: &Row<'_>, is_left_over: bool) -> rusqlite::Result<Announcement> {
    let owner = UserKey { brand: row.get(1)?, user: row.get(2)? };
    let (change, ids): (String, String) = (row.get(3)?, row.get(4)?);
    let ids = ids_of(&ids);
    let news = match (Set::of_word(&change), ids) {
        (Some(set), ids) => News::Changed { set, ids },
        (None, Ids::These(ids)) if !ids.is_empty() => {
            // It may have been deleted since.
            let notification = notifications::row(connection, owner, ids[0])?;
            notification.map_or(News::Counts, |notification| News::Created(Box::new(notification)))
        }
        (None, _) => News::Counts,
    };
    let counts = notifications::counts(connection, owner, row.get(5)?)?;
    Ok(Announcement { seq: row.get(0)?, owner, news, counts, is_left_over })
}

fn text(ids: &Ids) -> String {
    match ids {
        Ids::All => ALL.to_owned(),
        Ids::These(ids) => ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
    }
}

fn ids_of(text: &str) -> Ids {
    if text == ALL {
        return Ids::All;
    }
    Ids::These(text.split(',').filter_map(|id| id.parse().ok().and_then(NotificationId::new)).collect())
}

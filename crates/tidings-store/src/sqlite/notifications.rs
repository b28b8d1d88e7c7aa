//! The notifications' rows.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row, named_params};

use super::{SharedStore, announcements::announce, room::Held, users, writer::Work};
use crate::{
    Added, BrandId, Changed, Content, Counts, Filter, INBOX_MAX, Ids, Listed, NewNotification, News,
    Notification, NotificationId, Recipient, Set, SourceKey, StoreError, UserKey, Which,
    notifications::{Button, Display, Kind},
    time::Timestamp,
};

const COLUMNS: &str = "id, brand_id, user_id, event, display, title, body, preview, footer, button_link, button_text,
    button2_link, button2_text, image_url, data, category, tags, created_at, expires_at, seen_at, read_at, archived_at";
/// Whether a row is to be seen at `:now`.
const THERE: &str = "deleted_at IS NULL AND (expires_at IS NULL OR expires_at > :now)";
/// Nothing of these is left in a tombstone.
const BURY: &str = "UPDATE notifications SET deleted_at = :now, title = '', body = '', preview = '', footer = '',
    button_link = '', button_text = '', button2_link = '', button2_text = '', image_url = '', data = '', category = '',
    tags = '[]' WHERE id = :id";
/// How long tombstones, senders' keys, calls and broadcasts that are over are kept: as long as a sender may repeat itself.
const KEPT: Duration = Duration::from_hours(30 * 24);
/// A list of so many bytes is not large: it holds none of the room for those.
const SMALL_LIST: usize = 1024 * 1024;
/// How many rows one round of sweeping takes, so that writers do not wait long.
const SWEEP: u32 = 500;

impl Held {
    /// Holds a list of so many bytes; a small one is nothing.
    ///
    /// # Errors
    /// As [`SharedStore::list`].
    pub fn grow_to_list(&mut self, bytes: usize) -> Result<(), StoreError> {
        self.grow_to(bytes.saturating_sub(SMALL_LIST))
    }
}

impl SharedStore {
    /// Stores notifications, each for itself: one that cannot be stored does not keep the others back. What their
    /// senders have sent before is not stored again.
    ///
    /// # Errors
    /// If nothing could be stored.
    pub async fn add(
        &self,
        new: Vec<NewNotification>,
        now: Timestamp,
    ) -> Result<Vec<Result<Added, StoreError>>, StoreError> {
        let path = self.path.clone();
        let bytes = new.iter().map(|new| size_of::<NewNotification>() + new.content.size()).sum();
        self.write_long(bytes, move |work| {
            let one = |new| work.attempt(|work| add(work, new, now)).map_err(|e| super::report(&path, e));
            Ok(new.into_iter().map(one).collect())
        })
        .await
    }

    /// What was stored under these keys of senders, if anything: the same number of answers, in order.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn known(
        &self,
        brand: BrandId,
        keys: Vec<SourceKey>,
    ) -> Result<Vec<Option<NotificationId>>, StoreError> {
        self.read(move |connection| keys.iter().map(|key| known(connection, brand, key)).collect()).await
    }

    /// A part of an inbox, newest first, and at most so many.
    ///
    /// # Errors
    /// If the store cannot be read; [`StoreError::Overloaded`] if it is large, and others that are in memory leave it no
    /// room.
    pub async fn list(
        &self,
        owner: UserKey,
        filter: Filter,
        limit: u32,
        now: Timestamp,
    ) -> Result<Listed, StoreError> {
        let mut held = self.enter_lists();
        self.read(move |connection| {
            let mut size = 0;
            let one = |row: &Row<'_>| {
                let notification = read(row)?;
                size += size_of::<Notification>() + notification.content.size();
                Ok(held.grow_to_list(size).map(|()| notification))
            };
            let found: Result<Vec<_>, _> = select(connection, COLUMNS, owner, &filter, limit, now, one)?;
            Ok(found.map(|notifications| Listed { notifications, size, held }))
        })
        .await?
    }

    /// One notification, archived or not.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn notification(
        &self,
        owner: UserKey,
        id: NotificationId,
        now: Timestamp,
    ) -> Result<Option<Notification>, StoreError> {
        self.read(move |connection| {
            let found = row(connection, owner, id)?;
            Ok(found.filter(|found| found.content.expires_at.is_none_or(|end| end > now)))
        })
        .await
    }

    /// What an inbox holds.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn counts(&self, owner: UserKey, now: Timestamp) -> Result<Counts, StoreError> {
        self.read(move |connection| counts(connection, owner, now)).await
    }

    /// Changes some of an inbox.
    ///
    /// # Errors
    /// If it could not be stored.
    pub async fn change(
        &self,
        owner: UserKey,
        which: Which,
        set: Set,
        now: Timestamp,
    ) -> Result<Changed, StoreError> {
        self.write(move |work| change(work, owner, &which, set, now)).await
    }

    /// Buries what has expired and forgets what has been dead for long; true if there may be more.
    ///
    /// # Errors
    /// If it could not be stored.
    pub async fn sweep(&self, now: Timestamp) -> Result<bool, StoreError> {
        if !self.read(move |connection| is_sweep_due(connection, now)).await? {
            return Ok(false);
        }
        self.write(move |work| sweep(work, now)).await
    }
}

/// Stores one notification, unless it is known.
pub(super) fn add(work: &mut Work<'_>, new: NewNotification, now: Timestamp) -> rusqlite::Result<Added> {
    let NewNotification { recipient, content, source_key } = new;
    let brand = recipient.brand();
    if let Some(key) = &source_key
        && let Some(id) = known(work.connection, brand, key)?
    {
        return Ok(Added::Known(id));
    }
    let owner = match recipient {
        Recipient::User(key) => users::expect(work.connection, key)?,
        Recipient::External { external_id, .. } => {
            users::find_or_add(work.connection, brand, &external_id, now)?
        }
    };
    // A sender may come again when it is too late: then it is known, and nobody sees it.
    let is_over = content.expires_at.is_some_and(|end| end <= now);
    if !is_over {
        make_room(work, owner, now)?;
    }
    let id = NotificationId::after(work.last_id, now);
    insert(work.connection, id, owner, &content, now)?;
    work.last_id = id.get();
    if let Some(SourceKey { source, key }) = source_key {
        work.connection
            .prepare_cached(
                "INSERT INTO source_keys (brand_id, source, key, notification_id, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute((brand, source, key, id, now))?;
    }
    if is_over {
        work.connection.prepare_cached(BURY)?.execute(named_params! {":id": id, ":now": now})?;
        return Ok(Added::New(id));
    }
    work.count_created();
    let notification =
        Notification { id, owner, content, created_at: now, seen_at: None, read_at: None, archived_at: None };
    announce(work, owner, News::Created(Box::new(notification)), now)?;
    Ok(Added::New(id))
}

fn known(
    connection: &Connection,
    brand: BrandId,
    key: &SourceKey,
) -> rusqlite::Result<Option<NotificationId>> {
    connection
        .prepare_cached(
            "SELECT notification_id FROM source_keys WHERE brand_id = ?1 AND source = ?2 AND key = ?3",
        )?
        .query_row((brand, key.source, &key.key), |row| row.get(0))
        .optional()
}

fn insert(
    connection: &Connection,
    id: NotificationId,
    owner: UserKey,
    content: &Content,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let [first, second] = &content.buttons;
    connection
        .prepare_cached(
            "INSERT INTO notifications (id, brand_id, user_id, event, display, title, body, preview, footer,
                button_link, button_text, button2_link, button2_text, image_url, data, category, tags, created_at,
                expires_at)
             VALUES (:id, :brand, :user, :event, :display, :title, :body, :preview, :footer, :link, :text, :link2,
                :text2, :image, :data, :category, :tags, :now, :expires)",
        )?
        .execute(named_params! {
            ":id": id,
            ":brand": owner.brand,
            ":user": owner.user,
            ":event": content.kind.word(),
            ":display": content.display.word(),
            ":title": content.title,
            ":body": content.body,
            ":preview": content.preview,
            ":footer": content.footer,
            ":link": first.link,
            ":text": first.text,
            ":link2": second.link,
            ":text2": second.text,
            ":image": content.image_url,
            ":data": content.data,
            ":category": content.category,
            ":tags": serde_json::Value::from(content.tags.clone()).to_string(),
            ":now": now,
            ":expires": content.expires_at,
        })?;
    Ok(())
}

/// Deletes what is too much for one more: the oldest that was read, else the oldest.
fn make_room(work: &mut Work<'_>, owner: UserKey, now: Timestamp) -> rusqlite::Result<()> {
    let kept: u32 = work
        .connection
        .prepare_cached(&format!(
            "SELECT count(*) FROM notifications WHERE user_id = :user AND brand_id = :brand AND {THERE}"
        ))?
        .query_row(named_params! {":user": owner.user, ":brand": owner.brand, ":now": now}, |row| {
            row.get(0)
        })?;
    if kept < INBOX_MAX {
        return Ok(());
    }
    let ids: Vec<NotificationId> = work
        .connection
        .prepare_cached(&format!(
            "SELECT id FROM notifications WHERE user_id = :user AND brand_id = :brand AND {THERE}
             ORDER BY read_at IS NULL, id LIMIT :surplus"
        ))?
        .query_map(
            named_params! {
                ":user": owner.user,
                ":brand": owner.brand,
                ":now": now,
                ":surplus": kept + 1 - INBOX_MAX,
            },
            |row| row.get(0),
        )?
        .collect::<rusqlite::Result<_>>()?;
    bury(work, owner, ids, now)
}

/// Turns notifications of one inbox into tombstones.
fn bury(
    work: &mut Work<'_>,
    owner: UserKey,
    ids: Vec<NotificationId>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let mut statement = work.connection.prepare_cached(BURY)?;
    for id in &ids {
        statement.execute(named_params! {":id": id, ":now": now})?;
    }
    drop(statement);
    announce(work, owner, News::Changed { set: Set::Deleted, ids: Ids::These(ids) }, now)
}

pub(super) fn counts(connection: &Connection, owner: UserKey, now: Timestamp) -> rusqlite::Result<Counts> {
    connection
        .prepare_cached(&format!(
            "SELECT count(*) - count(read_at), count(*) - count(seen_at), count(*) FROM notifications
             WHERE user_id = :user AND brand_id = :brand AND archived_at IS NULL AND {THERE}"
        ))?
        .query_row(named_params! {":user": owner.user, ":brand": owner.brand, ":now": now}, |row| {
            Ok(Counts { unread: row.get(0)?, unseen: row.get(1)?, total: row.get(2)? })
        })
}

/// A notification that is not deleted.
pub(super) fn row(
    connection: &Connection,
    owner: UserKey,
    id: NotificationId,
) -> rusqlite::Result<Option<Notification>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM notifications
             WHERE id = ?1 AND user_id = ?2 AND brand_id = ?3 AND deleted_at IS NULL"
        ))?
        .query_row((id, owner.user, owner.brand), read)
        .optional()
}

/// Reads columns of a part of an inbox, newest first.
fn select<T, C: FromIterator<T>>(
    connection: &Connection,
    columns: &str,
    owner: UserKey,
    filter: &Filter,
    limit: u32,
    now: Timestamp,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<C> {
    connection
        .prepare_cached(&format!(
            "SELECT {columns} FROM notifications
             WHERE user_id = :user AND brand_id = :brand AND {THERE}
                 AND (archived_at IS NOT NULL) = :archived
                 AND (:read IS NULL OR (read_at IS NOT NULL) = :read)
                 AND (:kind IS NULL OR event = :kind)
                 AND (:category IS NULL OR category = :category)
                 AND (:tag IS NULL OR EXISTS (SELECT 1 FROM json_each(tags) WHERE value = :tag))
                 AND (:before IS NULL OR id < :before)
             ORDER BY id DESC LIMIT :limit"
        ))?
        .query_map(
            named_params! {
                ":user": owner.user,
                ":brand": owner.brand,
                ":now": now,
                ":archived": filter.archived,
                ":read": filter.read,
                ":kind": filter.kind.map(Kind::word),
                ":category": filter.category,
                ":tag": filter.tag,
                ":before": filter.before,
                ":limit": limit,
            },
            read,
        )?
        .collect()
}

fn read(row: &Row<'_>) -> rusqlite::Result<Notification> {
    let (kind, display): (String, String) = (row.get(3)?, row.get(4)?);
    let tags: String = row.get(16)?;
    Ok(Notification {
        id: row.get(0)?,
        owner: UserKey { brand: row.get(1)?, user: row.get(2)? },
        content: Content {
            kind: Kind::of_word(&kind).unwrap_or_default(),
            display: Display::of_word(&display).unwrap_or_default(),
            title: row.get(5)?,
            body: row.get(6)?,
            preview: row.get(7)?,
            footer: row.get(8)?,
            buttons: [
                Button { link: row.get(9)?, text: row.get(10)? },
                Button { link: row.get(11)?, text: row.get(12)? },
            ],
            image_url: row.get(13)?,
            data: row.get(14)?,
            category: row.get(15)?,
            tags: serde_json::from_str(&tags).unwrap_or_default(),
            expires_at: row.get(18)?,
        },
        created_at: row.get(17)?,
        seen_at: row.get(19)?,
        read_at: row.get(20)?,
        archived_at: row.get(21)?,
    })
}

/// What has become of a notification.
struct State {
    id: NotificationId,
    is_seen: bool,
    is_read: bool,
    is_archived: bool,
}

impl State {
    const COLUMNS: &str = "id, seen_at IS NOT NULL, read_at IS NOT NULL, archived_at IS NOT NULL";

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(State { id: row.get(0)?, is_seen: row.get(1)?, is_read: row.get(2)?, is_archived: row.get(3)? })
    }

    fn is(&self, set: Set) -> bool {
        match set {
            Set::Seen => self.is_seen,
            Set::Read => self.is_read,
            Set::Unread => !self.is_read,
            Set::Archived => self.is_archived,
            Set::Unarchived => !self.is_archived,
            Set::Deleted => false,
        }
    }
}

/// Changes some of an inbox; only what was not so already counts as changed and is announced.
fn change(
    work: &mut Work<'_>,
    owner: UserKey,
    which: &Which,
    set: Set,
    now: Timestamp,
) -> rusqlite::Result<Changed> {
    let found: Vec<State> = match which {
        Which::One(id) => state(work.connection, owner, *id, now)?.into_iter().collect(),
        Which::All(filter) => {
            select(work.connection, State::COLUMNS, owner, filter, INBOX_MAX, now, State::read)?
        }
    };
    let ids: Vec<NotificationId> =
        found.iter().filter(|state| !state.is(set)).map(|state| state.id).collect();
    let changed = ids.len();
    if ids.is_empty() {
        // Nothing is news.
    } else if set == Set::Deleted {
        bury(work, owner, ids, now)?;
    } else {
        update(work.connection, set, &ids, now)?;
        let is_whole = *which == Which::All(Filter::default());
        let ids = if is_whole { Ids::All } else { Ids::These(ids) };
        announce(work, owner, News::Changed { set, ids }, now)?;
    }
    Ok(Changed { found: found.len(), changed, counts: counts(work.connection, owner, now)? })
}

fn state(
    connection: &Connection,
    owner: UserKey,
    id: NotificationId,
    now: Timestamp,
) -> rusqlite::Result<Option<State>> {
    connection
        .prepare_cached(&format!(
            "SELECT {} FROM notifications WHERE id = :id AND user_id = :user AND brand_id = :brand AND {THERE}",
            State::COLUMNS
        ))?
        .query_row(
            named_params! {
                ":id": id,
                ":user": owner.user,
                ":brand": owner.brand,
                ":now": now,
            },
            State::read,
        )
        .optional()
}

fn update(connection: &Connection, set: Set, ids: &[NotificationId], now: Timestamp) -> rusqlite::Result<()> {
    let (column, value) = match set {
        Set::Seen => ("seen_at", Some(now)),
        Set::Read => ("read_at", Some(now)),
        Set::Unread => ("read_at", None),
        Set::Archived => ("archived_at", Some(now)),
        Set::Unarchived => ("archived_at", None),
        Set::Deleted => unreachable!("what is deleted is buried"),
    };
    let also = if set == Set::Read { ", seen_at = coalesce(seen_at, ?1)" } else { "" };
    let mut statement =
        connection.prepare_cached(&format!("UPDATE notifications SET {column} = ?1{also} WHERE id = ?2"))?;
    for id in ids {
        statement.execute((value, id))?;
    }
    Ok(())
}

fn is_sweep_due(connection: &Connection, now: Timestamp) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM notifications WHERE deleted_at IS NULL AND expires_at <= :now)
                OR EXISTS (SELECT 1 FROM notifications WHERE deleted_at <= :old)
                OR EXISTS (SELECT 1 FROM source_keys WHERE created_at <= :old)
                OR EXISTS (SELECT 1 FROM calls WHERE created_at <= :old)
                OR EXISTS (SELECT 1 FROM broadcasts WHERE state IN ('done', 'cancelled') AND due_at <= :old)
                OR EXISTS (SELECT 1 FROM logins WHERE expires_at <= :now)",
        )?
        .query_row(named_params! {":now": now, ":old": now.before(KEPT)}, |row| row.get(0))
}

fn sweep(work: &mut Work<'_>, now: Timestamp) -> rusqlite::Result<bool> {
    let expired: Vec<(UserKey, NotificationId)> = work
        .connection
        .prepare_cached(
            "SELECT brand_id, user_id, id FROM notifications WHERE deleted_at IS NULL AND expires_at <= ?1
             ORDER BY expires_at LIMIT ?2",
        )?
        .query_map((now, SWEEP), |row| Ok((UserKey { brand: row.get(0)?, user: row.get(1)? }, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut rest = &expired[..];
    while let Some((owner, _)) = rest.first() {
        let run = rest.iter().take_while(|(other, _)| other == owner).count();
        let ids = rest[..run].iter().map(|(_, id)| *id).collect();
        bury(work, *owner, ids, now)?;
        rest = &rest[run..];
    }
    let old = now.before(KEPT);
    let mut most = expired.len();
    for (sql, before) in [
        (
            "DELETE FROM notifications WHERE id IN
                (SELECT id FROM notifications WHERE deleted_at <= ?1 LIMIT ?2)",
            old,
        ),
        (
            "DELETE FROM source_keys WHERE (brand_id, source, key) IN
                (SELECT brand_id, source, key FROM source_keys WHERE created_at <= ?1 LIMIT ?2)",
            old,
        ),
        (
            "DELETE FROM calls WHERE (brand_id, key) IN
                (SELECT brand_id, key FROM calls WHERE created_at <= ?1 LIMIT ?2)",
            old,
        ),
        (
            "DELETE FROM broadcasts WHERE id IN
                (SELECT id FROM broadcasts WHERE state IN ('done', 'cancelled') AND due_at <= ?1 LIMIT ?2)",
            old,
        ),
        (
            "DELETE FROM logins WHERE token_hash IN
                (SELECT token_hash FROM logins WHERE expires_at <= ?1 LIMIT ?2)",
            now,
        ),
    ] {
        most = most.max(work.connection.prepare_cached(sql)?.execute((before, SWEEP))?);
    }
    Ok(most == SWEEP as usize)
}

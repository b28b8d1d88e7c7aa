//! The rows of users and their logins.

use rusqlite::{Connection, OptionalExtension as _, Row, named_params};

use super::SharedStore;
use crate::{BrandId, NewLogin, Profile, SecretHash, StoreError, User, UserId, UserKey, time::Timestamp};

const COLUMNS: &str =
    "brand_id, id, external_id, first_name, last_name, email, phone, locale, is_test, created_at";

/// What is forgotten with a user.
pub(super) const FORGET: [&str; 4] = [
    // Tombstones say nothing, and are found by age.
    "DELETE FROM notifications WHERE brand_id = ?1 AND user_id = ?2 AND deleted_at IS NULL",
    "DELETE FROM logins WHERE brand_id = ?1 AND user_id = ?2",
    // The lists of broadcasts that are over are gone.
    "DELETE FROM broadcast_users WHERE user_id = ?2 AND broadcast_id IN
        (SELECT id FROM broadcasts WHERE brand_id = ?1 AND state IN ('scheduled', 'running'))",
    "DELETE FROM users WHERE brand_id = ?1 AND id = ?2",
];

/// The most logins of one user; the one that ends first makes room.
const LOGINS_MAX: u32 = 1000;

impl SharedStore {
    /// Keeps a login, and the user if they are new.
    ///
    /// # Errors
    /// If it could not be stored.
    pub async fn add_login(&self, login: NewLogin, now: Timestamp) -> Result<User, StoreError> {
        self.write(move |work| {
            let connection = work.connection;
            let key = find_or_add(connection, login.brand, &login.external_id, now)?;
            if login.is_test {
                connection
                    .prepare_cached("UPDATE users SET is_test = 1 WHERE id = ?1")?
                    .execute([key.user])?;
            }
            connection
                .prepare_cached(
                    "INSERT INTO logins (token_hash, brand_id, user_id, sid_hash, expires_at)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute((login.token_hash, key.brand, key.user, login.sid_hash, login.expires_at))?;
            connection
                .prepare_cached(
                    "DELETE FROM logins WHERE user_id = ?1 AND expires_at < (
                         SELECT expires_at FROM logins WHERE user_id = ?1
                         ORDER BY expires_at DESC LIMIT 1 OFFSET ?2)",
                )?
                .execute((key.user, LOGINS_MAX - 1))?;
            known(connection, key)
        })
        .await
    }

    /// Whose token this is the hash of.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn token_owner(
        &self,
        token_hash: SecretHash,
        now: Timestamp,
    ) -> Result<Option<UserKey>, StoreError> {
        self.read(move |connection| {
            connection
                .prepare_cached(
                    "SELECT brand_id, user_id FROM logins WHERE token_hash = ?1 AND expires_at > ?2",
                )?
                .query_row((token_hash, now), |row| Ok(UserKey { brand: row.get(0)?, user: row.get(1)? }))
                .optional()
        })
        .await
    }

    /// Who has logged in to the brand with the sid that this is the hash of, as long as such a login lasts.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn sid_owner(
        &self,
        brand: BrandId,
        sid_hash: SecretHash,
        now: Timestamp,
    ) -> Result<Option<User>, StoreError> {
        self.read(move |connection| {
            let user: Option<UserId> = connection
                .prepare_cached(
                    "SELECT user_id FROM logins WHERE sid_hash = ?1 AND brand_id = ?2 AND expires_at > ?3
                     ORDER BY expires_at DESC LIMIT 1",
                )?
                .query_row((sid_hash, brand, now), |row| row.get(0))
                .optional()?;
            user.map_or(Ok(None), |user| by_key(connection, UserKey { brand, user }))
        })
        .await
    }

    /// A user by number.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn user(&self, key: UserKey) -> Result<Option<User>, StoreError> {
        self.read(move |connection| by_key(connection, key)).await
    }

    /// A user by what the operator calls them.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn user_called(&self, brand: BrandId, external_id: String) -> Result<Option<User>, StoreError> {
        self.read(move |connection| {
            let key = find(connection, brand, &external_id)?;
            key.map_or(Ok(None), |key| by_key(connection, key))
        })
        .await
    }

    /// Those users that there are of those whom the operator calls so.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn users_called(
        &self,
        brand: BrandId,
        external_ids: Vec<String>,
    ) -> Result<Vec<User>, StoreError> {
        self.read(move |connection| {
            let mut users = Vec::new();
            for external_id in &external_ids {
                if let Some(key) = find(connection, brand, external_id)? {
                    users.extend(by_key(connection, key)?);
                }
            }
            Ok(users)
        })
        .await
    }

    /// Users of a brand by number, from after `after`.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn users(
        &self,
        brand: BrandId,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<User>, StoreError> {
        self.read(move |connection| {
            let users: Vec<User> = connection
                .prepare_cached(&format!(
                    "SELECT {COLUMNS} FROM users WHERE brand_id = ?1 AND id > ?2 ORDER BY id LIMIT ?3"
                ))?
                .query_map((brand, after.map_or(0, UserId::get), limit), read)?
                .collect::<rusqlite::Result<_>>()?;
            users.into_iter().map(|user| with_tags(connection, user)).collect()
        })
        .await
    }

    /// Says what is known of a user, who is made if need be. `tags` are the segments they are in from now on.
    ///
    /// # Errors
    /// If it could not be stored.
    pub async fn put_user(
        &self,
        brand: BrandId,
        external_id: String,
        profile: Profile,
        tags: Vec<String>,
        now: Timestamp,
    ) -> Result<User, StoreError> {
        self.write(move |work| {
            let connection = work.connection;
            let key = find_or_add(connection, brand, &external_id, now)?;
            connection
                .prepare_cached(
                    "UPDATE users SET first_name = :first_name, last_name = :last_name, email = :email,
                         phone = :phone, locale = :locale
                     WHERE id = :id",
                )?
                .execute(named_params! {
                    ":id": key.user,
                    ":first_name": profile.first_name,
                    ":last_name": profile.last_name,
                    ":email": profile.email,
                    ":phone": profile.phone,
                    ":locale": profile.locale,
                })?;
            forget_tags(connection, key)?;
            for tag in &tags {
                connection
                    .prepare_cached(
                        "INSERT OR IGNORE INTO user_tags (brand_id, tag, user_id) VALUES (?1, ?2, ?3)",
                    )?
                    .execute((key.brand, tag, key.user))?;
            }
            known(connection, key)
        })
        .await
    }

    /// Forgets a user and all that is theirs; false if there is none.
    ///
    /// # Errors
    /// If it could not be stored.
    pub async fn delete_user(&self, brand: BrandId, external_id: String) -> Result<bool, StoreError> {
        self.write(move |work| {
            let connection = work.connection;
            let Some(key) = find(connection, brand, &external_id)? else { return Ok(false) };
            forget_tags(connection, key)?;
            for sql in FORGET {
                connection.prepare_cached(sql)?.execute((key.brand, key.user))?;
            }
            Ok(true)
        })
        .await
    }
}

/// The user that the operator calls so; made if need be.
pub(super) fn find_or_add(
    connection: &Connection,
    brand: BrandId,
    external_id: &str,
    now: Timestamp,
) -> rusqlite::Result<UserKey> {
    if let Some(known) = find(connection, brand, external_id)? {
        return Ok(known);
    }
    let user = connection
        .prepare_cached(
            "INSERT INTO users (brand_id, external_id, created_at) VALUES (?1, ?2, ?3) RETURNING id",
        )?
        .query_row((brand, external_id, now), |row| row.get(0))?;
    Ok(UserKey { brand, user })
}

fn find(connection: &Connection, brand: BrandId, external_id: &str) -> rusqlite::Result<Option<UserKey>> {
    connection
        .prepare_cached("SELECT id FROM users WHERE brand_id = ?1 AND external_id = ?2")?
        .query_row((brand, external_id), |row| Ok(UserKey { brand, user: row.get(0)? }))
        .optional()
}

/// The same key, if there is such a user; it is an error if there is none.
pub(super) fn expect(connection: &Connection, key: UserKey) -> rusqlite::Result<UserKey> {
    connection
        .prepare_cached("SELECT 1 FROM users WHERE id = ?1 AND brand_id = ?2")?
        .query_row((key.user, key.brand), |_| Ok(key))
}

/// The user of this number, if it is this brand's.
pub(super) fn by_key(connection: &Connection, key: UserKey) -> rusqlite::Result<Option<User>> {
    known(connection, key).optional()
}

/// The user of this number; it is an error if there is none.
fn known(connection: &Connection, key: UserKey) -> rusqlite::Result<User> {
    let user = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM users WHERE id = ?1 AND brand_id = ?2"))?
        .query_row((key.user, key.brand), read)?;
    with_tags(connection, user)
}

fn read(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        key: UserKey { brand: row.get(0)?, user: row.get(1)? },
        external_id: row.get(2)?,
        profile: Profile {
            first_name: row.get(3)?,
            last_name: row.get(4)?,
            email: row.get(5)?,
            phone: row.get(6)?,
            locale: row.get(7)?,
        },
        is_test: row.get(8)?,
        tags: Vec::new(),
        created_at: row.get(9)?,
    })
}

fn with_tags(connection: &Connection, mut user: User) -> rusqlite::Result<User> {
    user.tags = connection
        .prepare_cached("SELECT tag FROM user_tags WHERE user_id = ?1 ORDER BY tag")?
        .query_map([user.key.user], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(user)
}

fn forget_tags(connection: &Connection, key: UserKey) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM user_tags WHERE user_id = ?1")?.execute([key.user])?;
    Ok(())
}

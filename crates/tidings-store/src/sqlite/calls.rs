//! The rows of calls that may be repeated: what a sender said under its `Idempotency-Key`.

use rusqlite::{Connection, OptionalExtension as _};

use super::SharedStore;
use crate::{BrandId, SecretHash, StoreError, time::Timestamp};

impl SharedStore {
    /// The hash of what was said under this key, if it has been used.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn said_under(&self, brand: BrandId, key: String) -> Result<Option<SecretHash>, StoreError> {
        self.read(move |connection| said(connection, brand, &key)).await
    }

    /// Keeps the hash of what is said under this key, unless the key has been used; gives what is kept then.
    ///
    /// # Errors
    /// If it could not be stored.
    pub async fn keep_said(
        &self,
        brand: BrandId,
        key: String,
        hash: SecretHash,
        now: Timestamp,
    ) -> Result<SecretHash, StoreError> {
        self.write(move |work| {
            if let Some(kept) = said(work.connection, brand, &key)? {
                return Ok(kept);
            }
            work.connection
                .prepare_cached(
                    "INSERT INTO calls (brand_id, key, hash, created_at) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute((brand, key, hash, now))?;
            Ok(hash)
        })
        .await
    }
}

fn said(connection: &Connection, brand: BrandId, key: &str) -> rusqlite::Result<Option<SecretHash>> {
    connection
        .prepare_cached("SELECT hash FROM calls WHERE brand_id = ?1 AND key = ?2")?
        .query_row((brand, key), |row| row.get(0))
        .optional()
}

//! The rows of brands and keys.

use rusqlite::{Connection, OptionalExtension as _, Row, ffi, named_params};

use super::{SharedStore, Store};
use crate::{
    Brand, BrandId, KeyScope, SecretHash, StoreError, StoredKey, settings::Origins, time::Timestamp,
};

const COLUMNS: &str = "id, name, app_id, region, sid_url, test_sid, allowed_origins";

/// Whether a brand may take the place of the one with its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is new, or an error.
    Add,
    /// It takes the place of what is there.
    Replace,
}

/// Why a brand is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrandTaken {
    /// There is one with its id.
    Id,
    /// There is one with its name.
    Name,
}

/// All that is kept of brands and keys.
pub type BrandsAndKeys = (Vec<Brand>, Vec<StoredKey>);

impl Store {
    /// All brands, by id, and all keys, by age.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn brands_and_keys(&self) -> Result<BrandsAndKeys, StoreError> {
        all(&self.connection).map_err(|source| self.report(source))
    }

    /// Keeps a brand.
    ///
    /// # Errors
    /// If it could not be stored. What is taken is an answer.
    pub fn put_brand(
        &self,
        brand: &Brand,
        put: Put,
        now: Timestamp,
    ) -> Result<Result<(), BrandTaken>, StoreError> {
        put_brand(&self.connection, brand, put, now).map_err(|source| self.report(source))
    }

    /// Keeps a key.
    ///
    /// # Errors
    /// If it could not be stored.
    pub fn add_key(&self, key: &StoredKey) -> Result<(), StoreError> {
        add_key(&self.connection, key).map_err(|source| self.report(source))
    }
}

impl SharedStore {
    /// All brands, by id, and all keys, by age.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn brands_and_keys(&self) -> Result<BrandsAndKeys, StoreError> {
        self.read(all).await
    }

    /// Keeps a brand.
    ///
    /// # Errors
    /// If it could not be stored. What is taken is an answer.
    pub async fn put_brand(
        &self,
        brand: Brand,
        put: Put,
        now: Timestamp,
    ) -> Result<Result<(), BrandTaken>, StoreError> {
        self.write(move |work| put_brand(work.connection, &brand, put, now)).await
    }

    /// Keeps a key.
    ///
    /// # Errors
    /// If it could not be stored.
    pub async fn add_key(&self, key: StoredKey) -> Result<(), StoreError> {
        self.write(move |work| add_key(work.connection, &key)).await
    }

    /// Forgets a key; false if there is none.
    ///
    /// # Errors
    /// If it could not be stored.
    pub async fn delete_key(&self, hash: SecretHash) -> Result<bool, StoreError> {
        self.write(move |work| {
            let deleted =
                work.connection.prepare_cached("DELETE FROM api_keys WHERE hash = ?1")?.execute([hash])?;
            Ok(deleted == 1)
        })
        .await
    }
}

fn all(connection: &Connection) -> rusqlite::Result<BrandsAndKeys> {
    let brands = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM brands ORDER BY id"))?
        .query_map([], read)?
        .collect::<rusqlite::Result<_>>()?;
    let keys = connection
        .prepare_cached("SELECT hash, hint, brand_id, created_at FROM api_keys ORDER BY created_at, hash")?
        .query_map([], |row| {
            let brand: Option<BrandId> = row.get(2)?;
            Ok(StoredKey {
                hash: row.get(0)?,
                hint: row.get(1)?,
                scope: brand.map_or(KeyScope::Installation, KeyScope::Brand),
                created_at: row.get(3)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok((brands, keys))
}

fn put_brand(
    connection: &Connection,
    brand: &Brand,
    put: Put,
    now: Timestamp,
) -> rusqlite::Result<Result<(), BrandTaken>> {
    let named: Option<BrandId> = connection
        .prepare_cached("SELECT id FROM brands WHERE name = ?1")?
        .query_row([&brand.name], |row| row.get(0))
        .optional()?;
    if named.is_some_and(|id| id != brand.id) {
        return Ok(Err(BrandTaken::Name));
    }
    let on_conflict = match put {
        Put::Add => "",
        Put::Replace => {
            "ON CONFLICT (id) DO UPDATE SET name = :name, app_id = :app_id, region = :region, sid_url = :sid_url,
             test_sid = :test_sid, allowed_origins = :allowed_origins"
        }
    };
    let done = connection
        .prepare_cached(&format!(
            "INSERT INTO brands ({COLUMNS}, created_at)
             VALUES (:id, :name, :app_id, :region, :sid_url, :test_sid, :allowed_origins, :now) {on_conflict}"
        ))?
        .execute(named_params! {
            ":id": brand.id,
            ":name": brand.name,
            ":app_id": brand.app_id,
            ":region": brand.region,
            ":sid_url": brand.sid_url,
            ":test_sid": brand.test_sid,
            ":allowed_origins": serde_json::Value::from(brand.allowed_origins.texts().to_vec()).to_string(),
            ":now": now,
        });
    match done {
        Ok(_) => Ok(Ok(())),
        Err(error) => match error.sqlite_error().map(|error| error.extended_code) {
            Some(ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID) => Ok(Err(BrandTaken::Id)),
            Some(ffi::SQLITE_CONSTRAINT_UNIQUE) => Ok(Err(BrandTaken::Name)),
            _ => Err(error),
        },
    }
}

fn add_key(connection: &Connection, key: &StoredKey) -> rusqlite::Result<()> {
    let brand = match key.scope {
        KeyScope::Brand(id) => Some(id),
        KeyScope::Installation => None,
    };
    connection
        .prepare_cached("INSERT INTO api_keys (hash, hint, brand_id, created_at) VALUES (?1, ?2, ?3, ?4)")?
        .execute((key.hash, &key.hint, brand, key.created_at))?;
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<Brand> {
    let origins: String = row.get(6)?;
    let origins: Vec<String> = serde_json::from_str(&origins).unwrap_or_default();
    Ok(Brand {
        id: row.get(0)?,
        name: row.get(1)?,
        app_id: row.get(2)?,
        region: row.get(3)?,
        sid_url: row.get(4)?,
        test_sid: row.get(5)?,
        allowed_origins: Origins::parse(origins).expect("only patterns are inserted"),
    })
}

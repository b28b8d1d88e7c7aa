//! The brands in operation, and what keys open.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use sha2::{Digest as _, Sha256};
use tidings_store::{Brand, BrandId, BrandsAndKeys, KeyScope, SecretHash, StoredKey, time::Timestamp};

/// What pages are told as the `cluster` where nothing else is said.
pub const DEFAULT_REGION: &str = "eu";

/// The hash under which a secret is looked up: nothing that is compared depends on the secret itself.
#[must_use]
pub fn hash(secret: &str) -> SecretHash {
    Sha256::digest(secret.as_bytes()).into()
}

/// A new key, made of bytes that nobody can guess, and what is kept of it.
#[must_use]
pub fn new_key(random: [u8; 32], scope: KeyScope, now: Timestamp) -> (String, StoredKey) {
    const HINT: usize = 8;
    let key = format!("ak_{}", data_encoding::BASE64URL_NOPAD.encode(&random));
    let stored = StoredKey { hash: hash(&key), hint: key[..HINT].to_owned(), scope, created_at: now };
    (key, stored)
}

/// The configured brands, and those of the store that do not claim the id or name of one of them.
#[must_use]
pub fn merge(configured: &[Brand], stored: Vec<Brand>) -> Vec<Brand> {
    let is_hidden =
        |brand: &Brand| configured.iter().any(|other| other.id == brand.id || other.name == brand.name);
    let kept = stored.into_iter().filter(|brand| !is_hidden(brand));
    configured.iter().cloned().chain(kept).collect()
}

/// All brands, by id and by name, and all keys: those of the configuration, which stay, and those of the store, which
/// are replaced as a whole.
#[derive(Debug, Default)]
pub struct Brands {
    configured: Vec<Brand>,
    configured_keys: Vec<(SecretHash, KeyScope)>,
    readings: AtomicU64,
    index: RwLock<Index>,
}

/// Stands for a reading of the store: of two that go on at a time, the one that began later is newer.
#[derive(Clone, Copy, Debug)]
pub struct Reading(u64);

#[derive(Debug, Default)]
struct Index {
    /// The reading that it is made of.
    reading: u64,
    by_id: HashMap<BrandId, Arc<Brand>>,
    by_name: HashMap<String, Arc<Brand>>,
    default: Option<Arc<Brand>>,
    keys: HashMap<SecretHash, KeyScope>,
}

impl Brands {
    /// What the configuration has. Nothing is in operation before the store has been read.
    #[must_use]
    pub fn new(configured: Vec<Brand>, keys: Vec<(SecretHash, KeyScope)>) -> Self {
        Brands { configured, configured_keys: keys, ..Brands::default() }
    }

    /// To be called before the store is read for [`take`](Self::take).
    #[must_use]
    pub fn begin_reading(&self) -> Reading {
        Reading(self.readings.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Takes what was read of the store beside what is configured, unless what was read later has been taken. Where a
    /// path names no brand, the first is meant.
    pub fn take(&self, reading: Reading, stored: BrandsAndKeys) {
        let (stored, stored_keys) = stored;
        let stored_keys = stored_keys.into_iter().map(|key| (key.hash, key.scope));
        let keys = stored_keys.chain(self.configured_keys.iter().copied()).collect();
        let mut index = Index { reading: reading.0, keys, ..Index::default() };
        for brand in merge(&self.configured, stored).into_iter().map(Arc::new) {
            index.default.get_or_insert_with(|| brand.clone());
            index.by_name.insert(brand.name.clone(), brand.clone());
            index.by_id.insert(brand.id, brand);
        }
        let mut current = self.index.write().unwrap_or_else(PoisonError::into_inner);
        if current.reading < index.reading {
            *current = index;
        }
    }

    /// Whether the brand stands in the configuration, where it alone can be changed.
    pub(crate) fn is_configured(&self, id: BrandId) -> bool {
        self.configured.iter().any(|brand| brand.id == id)
    }

    /// All brands, by id.
    pub(crate) fn all(&self) -> Vec<Arc<Brand>> {
        let mut all: Vec<_> = self.read(|index| index.by_id.values().cloned().collect());
        all.sort_unstable_by_key(|brand| brand.id);
        all
    }

    pub(crate) fn by_id(&self, id: BrandId) -> Option<Arc<Brand>> {
        self.read(|index| index.by_id.get(&id).cloned())
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<Arc<Brand>> {
        self.read(|index| index.by_name.get(name).cloned())
    }

    pub(crate) fn first(&self) -> Option<Arc<Brand>> {
        self.read(|index| index.default.clone())
    }

    /// What a key opens.
    pub(crate) fn scope(&self, key: &str) -> Option<KeyScope> {
        let hash = hash(key);
        self.read(|index| index.keys.get(&hash).copied())
    }

    fn read<T>(&self, read: impl FnOnce(&Index) -> T) -> T {
        read(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use tidings_store::settings::Origins;

    use super::*;

    fn brand(id: i64, name: &str, region: &str) -> Brand {
        Brand {
            id: BrandId::new(id).expect("id"),
            name: name.to_owned(),
            app_id: "1".to_owned(),
            region: region.to_owned(),
            sid_url: None,
            test_sid: false,
            allowed_origins: Origins::default(),
        }
    }

    #[test]
    fn the_configuration_hides_brands_of_the_store() {
        let brands = Brands::new(vec![brand(7, "acorn", "configured")], Vec::new());
        let stored = [brand(7, "oak", "stored"), brand(8, "acorn", "stored"), brand(3, "birch", "stored")];
        brands.take(brands.begin_reading(), (stored.to_vec(), Vec::new()));
        let all: Vec<i64> = brands.all().iter().map(|brand| brand.id.get()).collect();
        assert_eq!(all, [3, 7]);
        assert_eq!(brands.first().expect("a brand").region, "configured");
        assert!(brands.is_configured(BrandId::new(7).expect("id")));
        assert!(!brands.is_configured(BrandId::new(3).expect("id")));
    }

    #[test]
    fn what_was_read_later_stays() {
        let brands = Brands::default();
        let (earlier, later) = (brands.begin_reading(), brands.begin_reading());
        brands.take(later, (vec![brand(1, "new", "")], Vec::new()));
        brands.take(earlier, (vec![brand(2, "old", "")], Vec::new()));
        assert!(brands.by_name("new").is_some() && brands.by_name("old").is_none());
    }
}

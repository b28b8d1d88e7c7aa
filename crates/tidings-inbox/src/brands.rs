//! The brands in operation, and what keys open.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use sha2::{Digest as _, Sha256};
use tidings_store::{Brand, BrandId, KeyScope, SecretHash, StoredKey, time::Timestamp};

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

/// All brands, by id and by name, and all keys. They are replaced as a whole.
#[derive(Debug, Default)]
pub struct Brands(RwLock<Index>);

#[derive(Debug, Default)]
struct Index {
    by_id: HashMap<BrandId, Arc<Brand>>,
    by_name: HashMap<String, Arc<Brand>>,
    default: Option<Arc<Brand>>,
    keys: HashMap<SecretHash, KeyScope>,
}

impl Brands {
    /// Takes these brands and keys and no others. Where a path names no brand, the first is meant.
    pub fn replace(&self, brands: Vec<Brand>, keys: impl IntoIterator<Item = (SecretHash, KeyScope)>) {
        let mut index = Index { keys: keys.into_iter().collect(), ..Index::default() };
        for brand in brands.into_iter().map(Arc::new) {
            index.default.get_or_insert_with(|| brand.clone());
            index.by_name.insert(brand.name.clone(), brand.clone());
            index.by_id.insert(brand.id, brand);
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = index;
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
        read(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

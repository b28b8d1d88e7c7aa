//! Calls under an `Idempotency-Key`: the same again is answered as it was, whatever has changed since; something else
//! under the same key is refused.

use serde_json::Value;
use tidings_store::{Brand, SecretHash};

use crate::{Inbox, brands, problem::Problem};

/// A call that may be repeated.
pub(super) struct Keyed {
    /// The door and its sender's key.
    pub(super) key: String,
    said: SecretHash,
}

impl Keyed {
    /// What is said at a door under a key: as it was sent, for a template may change.
    pub(super) fn new(door: &str, key: &str, said: &Value) -> Self {
        Keyed { key: format!("{door}:{key}"), said: brands::hash(&said.to_string()) }
    }

    fn check(&self, said: SecretHash) -> Result<(), Problem> {
        if said == self.said {
            Ok(())
        } else {
            Err(Problem::Unacceptable("this Idempotency-Key was used for something else".to_owned()))
        }
    }
}

impl Inbox {
    /// Whether the same has been said before. Something else under the key is refused.
    pub(super) async fn is_repeated(&self, brand: &Brand, keyed: &Keyed) -> Result<bool, Problem> {
        match self.store.said_under(brand.id, keyed.key.clone()).await? {
            Some(said) => keyed.check(said).map(|()| true),
            None => Ok(false),
        }
    }

    /// Uses the key, once it is known that the call can be carried out. Of two that race, the first has it.
    pub(super) async fn use_key(&self, brand: &Brand, keyed: &Keyed) -> Result<(), Problem> {
        let said = self.store.keep_said(brand.id, keyed.key.clone(), keyed.said, self.now()).await?;
        keyed.check(said)
    }
}

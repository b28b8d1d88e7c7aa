//! The apps and brands that are known: those of the configuration and those of the store.

use tidings_inbox::Brands;
use tidings_protocol::App;
use tidings_store::{Brand, KeyScope, Store, StoredApp};

use super::error::CliError;
use tidings_server::config::{BrandConfig, Config};

/// The apps of the configuration, and those of the store that do not claim the id or key of one of them.
pub(super) fn merge(configured: &[App], stored: &[StoredApp]) -> Vec<App> {
    let kept = stored.iter().filter(|app| !is_hidden(configured, app)).map(StoredApp::to_app);
    configured.iter().cloned().chain(kept).collect()
}

/// Whether the configuration has an app of the same id or key.
pub(super) fn is_hidden(configured: &[App], stored: &StoredApp) -> bool {
    configured.iter().any(|app| app.id == stored.id || app.key == stored.key)
}

/// The brands of the configuration, and those of the store that do not claim the id or name of one of them.
pub(super) fn merge_brands(configured: &[BrandConfig], stored: Vec<Brand>) -> Vec<Brand> {
    let configured: Vec<Brand> = configured.iter().map(|config| config.brand.clone()).collect();
    tidings_inbox::merge(&configured, stored)
}

/// The brands and keys of the configuration, for a server.
pub(super) fn configured_brands(configured: &[BrandConfig]) -> Brands {
    let keys = configured.iter().flat_map(|config| {
        let scope = KeyScope::Brand(config.brand.id);
        config.api_keys.iter().map(move |key| (tidings_inbox::hash(key), scope))
    });
    Brands::new(configured.iter().map(|config| config.brand.clone()).collect(), keys.collect())
}

/// The brand to act for: the one of this id or name, or else the only one that there is.
pub(super) fn choose_brand(
    mut brands: Vec<Brand>,
    wanted: Option<&str>,
    config: &Config,
) -> Result<Brand, CliError> {
    let names = || brands.iter().map(|brand| brand.name.clone()).collect();
    match wanted {
        Some(wanted) => {
            let is_it = |brand: &Brand| brand.name == wanted || brand.id.to_string() == wanted;
            match brands.iter().position(is_it) {
                Some(at) => Ok(brands.swap_remove(at)),
                None => Err(CliError::UnknownBrand { wanted: wanted.to_owned(), names: names() }),
            }
        }
        None if brands.len() > 1 => Err(CliError::WhichBrand { names: names() }),
        None => brands.pop().ok_or_else(|| CliError::NoBrand { data_dir: config.data_dir.clone() }),
    }
}

/// All apps of this configuration and its store, which is not made if it is not there.
pub(super) fn all(config: &Config) -> Result<Vec<App>, CliError> {
    let stored = match Store::open_existing(&config.data_dir)? {
        Some(store) => store.apps()?,
        None => Vec::new(),
    };
    Ok(merge(&config.apps, &stored))
}

/// The app to act for: the one of this id, or else the only one that there is.
pub(super) fn choose(mut apps: Vec<App>, id: Option<&str>, config: &Config) -> Result<App, CliError> {
    let ids = || apps.iter().map(|app| app.id.clone()).collect();
    match id {
        Some(id) => match apps.iter().position(|app| app.id == id) {
            Some(at) => Ok(apps.swap_remove(at)),
            None => Err(CliError::UnknownApp { id: id.to_owned(), ids: ids() }),
        },
        None if apps.len() > 1 => Err(CliError::WhichApp { ids: ids() }),
        None => apps.pop().ok_or_else(|| CliError::NoApp { data_dir: config.data_dir.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidings_protocol::app::AppSecret;
    use tidings_store::AppSettings;

    use super::*;

    fn stored(id: &str, key: &str) -> StoredApp {
        StoredApp {
            id: id.to_owned(),
            key: key.to_owned(),
            secret: AppSecret::new("s"),
            settings: AppSettings::default(),
            created_at: Duration::ZERO,
        }
    }

    #[test]
    fn the_configuration_hides_apps_of_the_store() {
        let configured = [stored("1", "a").to_app()];
        let merged = merge(&configured, &[stored("1", "x"), stored("2", "a"), stored("3", "c")]);
        assert_eq!(merged.iter().map(|app| &*app.id).collect::<Vec<_>>(), ["1", "3"]);
    }
}

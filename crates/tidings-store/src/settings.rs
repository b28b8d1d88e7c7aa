//! What can be set for an app besides its credentials: one list of names for the configuration file, the command
//! line and the store.

use serde_json::{Map, Value};
use tidings_protocol::{
    App,
    app::{AppSecret, Features, Limits},
    limit::Limit,
    origin::{AllowedOrigins, OriginPatternError},
    webhook::Webhooks,
};

/// The name of the list of origins.
pub const ALLOWED_ORIGINS: &str = "allowed_origins";
/// The name of the table of limits.
pub const LIMITS_TABLE: &str = "limits";

/// All of it.
#[derive(Clone, Debug, PartialEq)]
pub struct AppSettings {
    /// Whether the app may be used at all.
    pub enabled: bool,
    /// What its clients may do.
    pub features: Features,
    /// The pages that may connect.
    pub allowed_origins: Origins,
    /// How much of everything.
    pub limits: Limits,
}

/// Origin patterns, and their text as it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    texts: Vec<String>,
    patterns: AllowedOrigins,
}

/// One setting: its name, and how to get at it.
pub struct Setting<T> {
    /// The name in the configuration file.
    pub name: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    read: fn(&AppSettings) -> T,
    write: fn(&mut AppSettings, T),
}

/// Why settings cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// They are no JSON object.
    #[error("they are no JSON object")]
    NotAnObject,
    /// A setting that this version does not know; to pass over it might open what was meant to be closed.
    #[error("{0:?} is no setting that this version knows")]
    Unknown(String),
    /// A value of another type.
    #[error("{name} must be {expected}")]
    Type {
        /// The setting.
        name: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A text that is no origin.
    #[error(transparent)]
    Origin(#[from] OriginPatternError),
}

macro_rules! setting {
    ($($section:ident)? . $name:ident, $about:literal) => {
        Setting {
            name: stringify!($name),
            about: $about,
            read: |settings| settings$(.$section)?.$name,
            write: |settings, value| settings$(.$section)?.$name = value,
        }
    };
}

/// Every setting that is on or off.
pub static SWITCHES: [Setting<bool>; 6] = [
    setting!(.enabled, "The app may be used"),
    setting!(features.client_events, "Clients may send client events"),
    setting!(features.user_authentication, "Clients may sign in"),
    setting!(features.watchlist_events, "Signed-in users are told who of their watchlist comes and goes"),
    setting!(features.subscription_count, "Subscribers are told how many they are"),
    setting!(features.authorized_connections, "Connections that stay unauthorized are closed"),
];

/// Every limit; 0 is none.
pub static LIMITS: [Setting<Limit>; 10] = [
    setting!(limits.connections, "Connections at a time"),
    setting!(limits.backend_events_per_second, "Events published over HTTP per second"),
    setting!(limits.client_events_per_second, "Client events per second and connection"),
    setting!(limits.reads_per_second, "GET requests per second"),
    setting!(limits.event_bytes, "Bytes of one event's data"),
    setting!(limits.channels_per_event, "Channels of one trigger"),
    setting!(limits.events_per_batch, "Events of one batch"),
    setting!(limits.presence_members, "Members of a presence channel"),
    setting!(limits.presence_member_bytes, "Bytes of a member's user_info"),
    setting!(limits.channels_per_connection, "Channels of one connection at a time"),
];

impl<T> Setting<T> {
    /// Its value.
    #[must_use]
    pub fn of(&self, settings: &AppSettings) -> T {
        (self.read)(settings)
    }

    /// Gives it a value.
    pub fn set(&self, settings: &mut AppSettings, value: T) {
        (self.write)(settings, value);
    }
}

impl Default for AppSettings {
    fn default() -> Self {
        AppSettings {
            enabled: true,
            features: Features::default(),
            allowed_origins: Origins::default(),
            limits: Limits::default(),
        }
    }
}

impl AppSettings {
    /// The settings of an app.
    #[must_use]
    pub fn of(app: &App) -> Self {
        let patterns = app.allowed_origins.clone();
        AppSettings {
            enabled: app.enabled,
            features: app.features,
            allowed_origins: Origins { texts: patterns.to_texts(), patterns },
            limits: app.limits,
        }
    }

    /// The app with these settings and credentials.
    #[must_use]
    pub fn to_app(&self, id: String, key: String, secret: AppSecret) -> App {
        App {
            id,
            key,
            secret,
            enabled: self.enabled,
            features: self.features,
            allowed_origins: self.allowed_origins.patterns.clone(),
            limits: self.limits,
            webhooks: Webhooks::default(),
        }
    }

    /// Every setting under its name, as in the configuration file.
    #[must_use]
    pub fn to_json(&self) -> Map<String, Value> {
        let mut json = Map::new();
        for switch in &SWITCHES {
            json.insert(switch.name.to_owned(), switch.of(self).into());
        }
        json.insert(ALLOWED_ORIGINS.to_owned(), self.allowed_origins.texts.clone().into());
        let limits = LIMITS.iter().map(|limit| (limit.name.to_owned(), number(limit.of(self)).into()));
        json.insert(LIMITS_TABLE.to_owned(), Value::Object(limits.collect()));
        json
    }

    /// Reads what [`to_json`](Self::to_json) gives; what is absent has its default.
    ///
    /// # Errors
    /// [`SettingsError`] names the first thing that is wrong.
    pub fn from_json(text: &str) -> Result<Self, SettingsError> {
        let json: Map<String, Value> = serde_json::from_str(text).map_err(|_| SettingsError::NotAnObject)?;
        let mut settings = AppSettings::default();
        for (name, value) in json {
            let wrong = |expected| SettingsError::Type { name: name.clone(), expected };
            if let Some(switch) = SWITCHES.iter().find(|switch| switch.name == name) {
                switch.set(&mut settings, value.as_bool().ok_or_else(|| wrong("true or false"))?);
            } else if name == ALLOWED_ORIGINS {
                let texts = serde_json::from_value(value).map_err(|_| wrong("a list of texts"))?;
                settings.allowed_origins = Origins::parse(texts)?;
            } else if name == LIMITS_TABLE {
                settings.read_limits(value.as_object().ok_or_else(|| wrong("an object"))?)?;
            } else {
                return Err(SettingsError::Unknown(name));
            }
        }
        Ok(settings)
    }

    fn read_limits(&mut self, json: &Map<String, Value>) -> Result<(), SettingsError> {
        for (name, value) in json {
            let limit = LIMITS.iter().find(|limit| limit.name == name);
            let limit = limit.ok_or_else(|| SettingsError::Unknown(format!("{LIMITS_TABLE}.{name}")))?;
            let value = serde_json::from_value(value.clone()).map_err(|_| SettingsError::Type {
                name: name.clone(),
                expected: "a number from 0 to 4294967295",
            })?;
            limit.set(self, value);
        }
        Ok(())
    }
}

impl Origins {
    /// Reads the patterns.
    ///
    /// # Errors
    /// [`OriginPatternError`] names the first that cannot be read.
    pub fn parse(texts: Vec<String>) -> Result<Self, OriginPatternError> {
        let patterns = AllowedOrigins::parse(texts.iter().map(String::as_str))?;
        Ok(Origins { texts, patterns })
    }

    /// Whether a page of this origin may come.
    #[must_use]
    pub fn allow(&self, origin: Option<&str>) -> bool {
        self.patterns.allow(origin)
    }

    /// The patterns as they were given.
    #[must_use]
    pub fn texts(&self) -> &[String] {
        &self.texts
    }
}

/// The number that stands for a limit.
fn number(limit: Limit) -> u32 {
    limit.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_changed() -> AppSettings {
        let mut settings = AppSettings {
            allowed_origins: Origins::parse(vec!["https://*.Example.com".into(), "*".into()])
                .expect("patterns"),
            ..AppSettings::default()
        };
        for switch in &SWITCHES {
            switch.set(&mut settings, !switch.of(&AppSettings::default()));
        }
        for (limit, value) in LIMITS.iter().zip(1..) {
            limit.set(&mut settings, Limit::new(value));
        }
        settings
    }

    #[test]
    fn json_goes_there_and_back() {
        for settings in [AppSettings::default(), all_changed()] {
            let text = Value::Object(settings.to_json()).to_string();
            assert_eq!(AppSettings::from_json(&text), Ok(settings));
        }
    }

    #[test]
    fn the_app_has_what_was_set() {
        let settings = all_changed();
        let app = settings.to_app("1".into(), "key".into(), AppSecret::new("secret"));
        assert!(!app.enabled);
        assert_eq!((app.features, app.limits), (settings.features, settings.limits));
        let again = AppSettings::of(&app);
        assert_eq!(again.to_app(app.id.clone(), app.key.clone(), app.secret.clone()), app);
        assert!(app.allowed_origins.allow(Some("https://a.example.com")));
    }

    #[test]
    fn what_is_absent_has_its_default() {
        assert_eq!(AppSettings::from_json("{}"), Ok(AppSettings::default()));
        let one =
            AppSettings::from_json(r#"{"limits":{"connections":0,"event_bytes":5}}"#).expect("settings");
        assert_eq!(one.limits, Limits { event_bytes: Limit::new(5), ..Limits::default() });
    }

    fn check(text: &str, expected: &str) {
        let error = AppSettings::from_json(text).expect_err(text);
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn says_what_is_wrong() {
        check("", "they are no JSON object");
        check("[]", "they are no JSON object");
        check(r#"{"enabeld":true}"#, r#""enabeld" is no setting that this version knows"#);
        check(r#"{"enabled":1}"#, "enabled must be true or false");
        check(r#"{"allowed_origins":"*"}"#, "allowed_origins must be a list of texts");
        check(
            r#"{"allowed_origins":["a b"]}"#,
            r#""a b" is no origin: write https://example.com, example.com, *.example.com or *"#,
        );
        check(r#"{"limits":[]}"#, "limits must be an object");
        check(r#"{"limits":{"x":1}}"#, r#""limits.x" is no setting that this version knows"#);
        check(r#"{"limits":{"connections":-1}}"#, "connections must be a number from 0 to 4294967295");
    }
}

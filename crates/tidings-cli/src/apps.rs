//! `tidings apps`

use std::{fmt, time::Duration};

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, Subcommand, value_parser};
use data_encoding::HEXLOWER;
use serde_json::{Map, Value};
use tidings_protocol::{App, app::AppSecret, limit::Limit};
use tidings_store::{
    AppSettings, Store, StoreError, StoredApp,
    settings::{ALLOWED_ORIGINS, LIMITS, LIMITS_TABLE, Origins, SWITCHES, Setting},
};

use super::{
    ConfigArgs, Exit,
    error::CliError,
    known, print, print_line,
    snippets::{self, snippet},
    target::Target,
};
use tidings_server::{
    Clock,
    config::{
        Config, Environment, MistakeKind, Place, WarningKind, nearest, parse_id, parse_key, parse_secret,
    },
    random,
};

#[derive(Subcommand)]
pub(super) enum AppsVerb {
    /// Add an app; what is not given of its credentials is drawn at random
    Add(Box<AddArgs>),
    /// List the apps, without their secrets
    List(ListArgs),
    /// Print the credentials and settings of an app, or what to paste to use it
    Show(ShowArgs),
    /// Give an app a new secret; the old one stays good until --finish
    Rotate(RotateArgs),
    /// Let an app no longer be used
    Disable(OneArgs),
    /// Let an app be used again
    Enable(OneArgs),
}

#[derive(Args)]
pub(super) struct AddArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// The id
    #[arg(long, value_parser = parse_id)]
    id: Option<String>,
    /// The key
    #[arg(long, value_parser = parse_key)]
    key: Option<String>,
    /// The secret; better left out, as other users may see command lines
    #[arg(long, value_parser = parse_secret)]
    secret: Option<AppSecret>,
    /// A page that may connect; repeatable, none allows all
    #[arg(long = "allowed-origin", value_name = "ORIGIN", value_parser = parse_origin)]
    allowed_origins: Vec<String>,
    /// A limit; repeatable, 0 is none
    #[arg(long = "limit", value_name = "NAME=NUMBER", value_parser = parse_limit)]
    limits: Vec<(&'static Setting<Limit>, Limit)>,
    #[command(flatten)]
    switches: Switches,
}

#[derive(Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    one: OneArgs,
    /// Print what to paste there instead
    #[arg(long, value_enum, conflicts_with = "json")]
    env: Option<snippets::Place>,
}

#[derive(Args)]
pub(super) struct RotateArgs {
    #[command(flatten)]
    one: OneArgs,
    /// Let the old secret no longer be used
    #[arg(long)]
    finish: bool,
}

#[derive(Args)]
pub(super) struct OneArgs {
    /// The app's id
    id: String,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Args)]
pub(super) struct StoreArgs {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// One flag for each switch.
#[derive(Clone)]
struct Switches(Vec<(&'static Setting<bool>, bool)>);

impl Args for Switches {
    fn augment_args(command: Command) -> Command {
        SWITCHES.iter().fold(command, |command, switch| {
            let flag = Arg::new(switch.name)
                .long(switch.name.replace('_', "-"))
                .help(switch.about)
                .value_name("true|false")
                .value_parser(value_parser!(bool))
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true");
            command.arg(flag)
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Switches {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |switch: &'static Setting<bool>| Some((switch, *matches.get_one(switch.name)?));
        Ok(Switches(SWITCHES.iter().filter_map(given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// An app of random credentials, for the first start.
pub(super) fn random(clock: &Clock) -> StoredApp {
    StoredApp {
        id: random_id(),
        key: HEXLOWER.encode(&random::bytes::<10>()),
        secret: random_secret(),
        settings: AppSettings::default(),
        created_at: clock.unix(),
    }
}

/// Six digits: the Python library insists on digits.
fn random_id() -> String {
    const SMALLEST: u32 = 100_000;
    (SMALLEST - 1 + random::below(9 * SMALLEST + 1)).to_string()
}

fn random_secret() -> AppSecret {
    AppSecret::new(HEXLOWER.encode(&random::bytes::<20>()))
}

pub(super) fn run(verb: AppsVerb, environment: &Environment) -> Result<Exit, CliError> {
    match verb {
        AppsVerb::Add(args) => add(*args, environment)?,
        AppsVerb::List(args) => list(&args.store, environment)?,
        AppsVerb::Show(args) => show(&args, environment)?,
        AppsVerb::Rotate(args) => rotate(&args, environment)?,
        AppsVerb::Disable(args) => set_enabled(&args, environment, false)?,
        AppsVerb::Enable(args) => set_enabled(&args, environment, true)?,
    }
    Ok(Exit::Done)
}

fn add(args: AddArgs, environment: &Environment) -> Result<(), CliError> {
    let config = args.store.config.load(environment)?;
    let mut app = random(&Clock::system());
    let AddArgs { id, key, secret, .. } = args;
    app.id = id.unwrap_or(app.id);
    app.key = key.unwrap_or(app.key);
    app.secret = secret.unwrap_or(app.secret);
    app.settings.allowed_origins =
        Origins::parse(args.allowed_origins).expect("each of them has been parsed");
    for (switch, on) in args.switches.0 {
        switch.set(&mut app.settings, on);
    }
    for (limit, value) in args.limits {
        limit.set(&mut app.settings, value);
    }
    for doubt in WarningKind::of_id(&app.id).into_iter().chain(WarningKind::of_secret(&app.secret)) {
        eprintln!("warning: {doubt}");
    }
    check_free(&config, &app)?;
    Store::open(&config.data_dir)?.add_app(&app)?;
    tell(&args.store, &Found::stored(app, false))
}

/// An app of the configuration would hide a new one like it.
fn check_free(config: &Config, app: &StoredApp) -> Result<(), StoreError> {
    if config.apps.iter().any(|other| other.id == app.id) {
        return Err(StoreError::IdTaken { id: app.id.clone() });
    }
    if config.apps.iter().any(|other| other.key == app.key) {
        return Err(StoreError::KeyTaken { key: app.key.clone() });
    }
    Ok(())
}

/// An app, and where it stands.
struct Found {
    app: App,
    settings: AppSettings,
    stands: Stands,
}

enum Stands {
    /// In the configuration.
    Configured(Place),
    /// In the data directory.
    Stored {
        created_at: Duration,
        /// Whether the configuration has an app of the same id or key, which is used instead.
        is_hidden: bool,
    },
}

const NOT_USED: &str = "not used: the configuration has this id or key";

/// What is said of it behind the app.
impl fmt::Display for Stands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stands::Configured(place) => write!(f, "  in {place}"),
            Stands::Stored { is_hidden: false, .. } => Ok(()),
            Stands::Stored { is_hidden: true, .. } => write!(f, "  {NOT_USED}"),
        }
    }
}

impl Found {
    fn configured((app, place): (App, Place)) -> Self {
        Found { settings: AppSettings::of(&app), app, stands: Stands::Configured(place) }
    }

    fn stored(stored: StoredApp, is_hidden: bool) -> Self {
        let stands = Stands::Stored { created_at: stored.created_at, is_hidden };
        Found { app: stored.to_app(), settings: stored.settings, stands }
    }
}

/// The apps of this configuration and its store, which is not made if it is not there.
fn all(args: &StoreArgs, environment: &Environment) -> Result<(Config, Vec<Found>), CliError> {
    let (config, places) = args.config.load_with_places(environment)?;
    let stored = match Store::open_existing(&config.data_dir)? {
        Some(store) => store.apps()?,
        None => Vec::new(),
    };
    let stored = stored.into_iter().map(|app| {
        let is_hidden = known::is_hidden(&config.apps, &app);
        Found::stored(app, is_hidden)
    });
    let configured = config.apps.iter().cloned().zip(places).map(Found::configured);
    let found = configured.chain(stored).collect();
    Ok((config, found))
}

fn list(args: &StoreArgs, environment: &Environment) -> Result<(), CliError> {
    let (config, found) = all(args, environment)?;
    if args.json {
        return print_line(found.iter().map(public_json).collect::<Value>());
    }
    if found.is_empty() {
        eprintln!("no apps in {}; `tidings apps add` makes one", config.data_dir.display());
    }
    let width = found.iter().map(|found| found.app.id.len()).max().unwrap_or(0);
    for Found { app, stands, .. } in &found {
        let state = if app.enabled { "" } else { "  disabled" };
        print_line(format_args!("{:width$}  {}{state}{stands}", app.id, app.key))?;
    }
    Ok(())
}

fn show(args: &ShowArgs, environment: &Environment) -> Result<(), CliError> {
    let (config, mut found) = all(&args.one.store, environment)?;
    let Some(at) = found.iter().position(|found| found.app.id == args.one.id) else {
        return Err(unknown(&args.one.id, found.into_iter().map(|found| found.app.id)));
    };
    let found = found.swap_remove(at);
    match args.env {
        Some(place) => print(&snippet(place, &found.app, &Target::of(&config))),
        None => tell(&args.one.store, &found),
    }
}

fn rotate(args: &RotateArgs, environment: &Environment) -> Result<(), CliError> {
    let how = if args.finish {
        "leave out `previous_secret`"
    } else {
        "`previous_secret` is the secret of now, `secret` a new one"
    };
    let mut had_two = false;
    let found = update(&args.one, environment, how, |app| {
        let secret = app.secret.clone();
        had_two = secret.previous().is_some();
        app.secret = match (args.finish, had_two) {
            (true, _) => secret.alone(),
            (false, false) => random_secret().replacing(secret),
            // A third secret would end the one that backends still sign with.
            (false, true) => secret,
        };
    })?;
    match (args.finish, had_two) {
        (true, false) => Err(CliError::NoRotation(found.app.id)),
        (false, true) => Err(CliError::RotationUnderWay(found.app.id)),
        (true, true) | (false, false) => tell(&args.one.store, &found),
    }
}

fn set_enabled(args: &OneArgs, environment: &Environment, enabled: bool) -> Result<(), CliError> {
    let how = if enabled { "`enabled = true`" } else { "`enabled = false`" };
    let found = update(args, environment, how, |app| app.settings.enabled = enabled)?;
    if args.store.json {
        return print_line(Value::Object(public_json(&found)));
    }
    let state = if enabled { "enabled" } else { "disabled" };
    print_line(format_args!("app {} is {state}{}", found.app.id, found.stands))
}

/// Changes an app of the store; of one of the configuration it is said how that is changed there.
fn update(
    args: &OneArgs,
    environment: &Environment,
    how: &'static str,
    change: impl FnOnce(&mut StoredApp),
) -> Result<Found, CliError> {
    let (config, places) = args.store.config.load_with_places(environment)?;
    let id = &args.id;
    if let Some((_, place)) = config.apps.iter().zip(places).find(|(app, _)| app.id == *id) {
        return Err(CliError::Configured { id: id.clone(), place: place.into(), how });
    }
    let updated = match Store::open_existing(&config.data_dir)? {
        Some(mut store) => store.update_app(id, change)?,
        None => None,
    };
    match updated {
        Some(app) => {
            let is_hidden = known::is_hidden(&config.apps, &app);
            Ok(Found::stored(app, is_hidden))
        }
        None => Err(unknown(id, known::all(&config)?.into_iter().map(|app| app.id))),
    }
}

fn unknown(id: &str, ids: impl Iterator<Item = String>) -> CliError {
    CliError::UnknownApp { id: id.to_owned(), ids: ids.collect() }
}

/// Prints an app, its secret included.
fn tell(args: &StoreArgs, found: &Found) -> Result<(), CliError> {
    let Found { app, settings, stands } = found;
    if args.json {
        let mut json = public_json(found);
        json.insert("secret".to_owned(), app.secret.reveal().into());
        json.insert("previous_secret".to_owned(), app.secret.previous().map(AppSecret::reveal).into());
        return print_line(Value::Object(json));
    }
    let mut text = format!("id      {}\nkey     {}\nsecret  {}\n", app.id, app.key, app.secret.reveal());
    if let Some(previous) = app.secret.previous() {
        let until = match stands {
            Stands::Configured(_) => "as long as `previous_secret` has it".to_owned(),
            Stands::Stored { .. } => format!("until `tidings apps rotate {} --finish`", app.id),
        };
        text.extend(["before  ", previous.reveal(), "  (good ", &until, ")\n"]);
    }
    match stands {
        Stands::Configured(place) => text.extend(["in      ", &place.to_string(), "\n"]),
        Stands::Stored { is_hidden: true, .. } => text.extend(["        ", NOT_USED, "\n"]),
        Stands::Stored { is_hidden: false, .. } => {}
    }
    for line in changed(settings) {
        text += &line;
    }
    print(&text)
}

/// A line for each setting that is not as it is by default.
pub(super) fn changed(settings: &AppSettings) -> Vec<String> {
    let default = AppSettings::default();
    let switches = SWITCHES
        .iter()
        .filter(|switch| switch.of(settings) != switch.of(&default))
        .map(|switch| format!("{} = {}\n", switch.name, switch.of(settings)));
    let origins = Some(settings.allowed_origins.texts())
        .filter(|texts| !texts.is_empty())
        .map(|texts| format!("{ALLOWED_ORIGINS} = {}\n", Value::from(texts)));
    let limits = LIMITS
        .iter()
        .filter(|limit| limit.of(settings) != limit.of(&default))
        .map(|limit| format!("{LIMITS_TABLE}.{} = {}\n", limit.name, limit.of(settings).max().unwrap_or(0)));
    switches.chain(origins).chain(limits).collect()
}

/// An app without its secret.
fn public_json(found: &Found) -> Map<String, Value> {
    let Found { app, settings, stands } = found;
    let (place, created_at, is_hidden) = match stands {
        Stands::Configured(place) => (Some(place.to_string()), None, false),
        Stands::Stored { created_at, is_hidden } => (None, Some(created_at.as_secs()), *is_hidden),
    };
    let mut json = settings.to_json();
    json.insert("id".to_owned(), app.id.clone().into());
    json.insert("key".to_owned(), app.key.clone().into());
    json.insert("created_at".to_owned(), created_at.into());
    json.insert("configured_in".to_owned(), place.into());
    json.insert("hidden".to_owned(), is_hidden.into());
    json
}

pub(super) fn parse_origin(text: &str) -> Result<String, MistakeKind> {
    Origins::parse(vec![text.to_owned()])?;
    Ok(text.to_owned())
}

fn parse_limit(text: &str) -> Result<(&'static Setting<Limit>, Limit), MistakeKind> {
    let wrong =
        || MistakeKind::Value { expected: "NAME=NUMBER, as in connections=100", found: format!("{text:?}") };
    let (name, value) = text.split_once('=').ok_or_else(wrong)?;
    let Some(limit) = LIMITS.iter().find(|limit| limit.name == name.replace('-', "_")) else {
        let names: Vec<_> = LIMITS.iter().map(|limit| limit.name).collect();
        return Err(MistakeKind::UnknownKey { nearest: nearest(name, &names) });
    };
    Ok((limit, Limit::new(value.parse().map_err(|_| wrong())?)))
}

//! `tidings brands`

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tidings_store::{
    Brand, BrandId, BrandTaken, KeyScope, Put, Store, StoredKey, settings::Origins, time::Timestamp,
};

use super::{
    ConfigArgs, Exit,
    apps::{StoreArgs, parse_origin},
    error::CliError,
    known, print, print_line,
    target::Target,
};
use tidings_server::{
    Clock,
    config::{Config, Environment, parse_brand_id, parse_brand_name, parse_sid_url},
    random,
};

#[derive(Subcommand)]
pub(super) enum BrandsVerb {
    /// Add a brand, and make a key for its senders
    Add(AddArgs),
    /// List the brands
    List(ListArgs),
    /// Print a brand: its addresses and settings
    Show(ShowArgs),
    /// Make another key for a brand's senders, or one for all brands and the admin API
    Key(KeyArgs),
}

#[derive(Args)]
pub(super) struct AddArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// The name in addresses
    #[arg(value_parser = parse_brand_name)]
    name: String,
    /// The number in channel names [default: the next that is free]
    #[arg(long, value_parser = parse_brand_id)]
    id: Option<BrandId>,
    /// The id of the app whose clients its pages are, where there are several
    #[arg(long, value_name = "ID")]
    app: Option<String>,
    /// What pages are told as the cluster
    #[arg(long, default_value = tidings_inbox::DEFAULT_REGION)]
    region: String,
    /// Where the operator says whether a sid is good
    #[arg(long, value_name = "URL", value_parser = parse_sid_url)]
    sid_url: Option<String>,
    /// Let the test sid log in the test user
    #[arg(long)]
    test_sid: bool,
    /// A page that may call; repeatable, none allows all
    #[arg(long = "allowed-origin", value_name = "ORIGIN", value_parser = parse_origin)]
    allowed_origins: Vec<String>,
}

#[derive(Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// The brand's name or number
    brand: String,
}

#[derive(Args)]
pub(super) struct KeyArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The brand's name or number; or --all
    #[arg(required_unless_present = "all")]
    brand: Option<String>,
    /// For all brands, and the admin API
    #[arg(long, conflicts_with = "brand")]
    all: bool,
}

/// The name of the brand that the first start makes.
const DEMO: &str = "demo";

pub(super) fn run(verb: BrandsVerb, environment: &Environment) -> Result<Exit, CliError> {
    match verb {
        BrandsVerb::Add(args) => add(args, environment)?,
        BrandsVerb::List(args) => list(&args.store, environment)?,
        BrandsVerb::Show(args) => show(&args, environment)?,
        BrandsVerb::Key(args) => key(&args, environment)?,
    }
    Ok(Exit::Done)
}

/// The brands of this configuration and its store, which is not made if it is not there.
pub(super) fn all(config: &Config) -> Result<Vec<Brand>, CliError> {
    let stored = match Store::open_existing(&config.data_dir)? {
        Some(store) => store.brands_and_keys()?.0,
        None => Vec::new(),
    };
    Ok(known::merge_brands(&config.brands, stored))
}

/// Makes a brand with a test user for the first app of a first start; false if what it needs is taken.
pub(super) fn add_demo(store: &Store, app_id: &str) -> Result<bool, CliError> {
    let brand = Brand {
        id: BrandId::new(1).expect("1 can be a brand's number"),
        name: DEMO.to_owned(),
        app_id: app_id.to_owned(),
        region: "local".to_owned(),
        sid_url: None,
        test_sid: true,
        allowed_origins: Origins::default(),
    };
    Ok(store.put_brand(&brand, Put::Add, now())?.is_ok())
}

fn add(args: AddArgs, environment: &Environment) -> Result<(), CliError> {
    let config = args.store.config.load(environment)?;
    let app = known::choose(known::all(&config)?, args.app.as_deref(), &config)?;
    let known = all(&config)?;
    let next = known.iter().map(|brand| brand.id.get()).max().unwrap_or(0) + 1;
    let id = args.id.or_else(|| BrandId::new(next));
    let brand = Brand {
        id: id.ok_or_else(|| CliError::BrandTaken { what: "the largest number".to_owned() })?,
        name: args.name,
        app_id: app.id,
        region: args.region,
        sid_url: args.sid_url,
        test_sid: args.test_sid,
        allowed_origins: Origins::parse(args.allowed_origins).expect("each of them has been parsed"),
    };
    let taken = |taken| CliError::BrandTaken {
        what: match taken {
            BrandTaken::Id => format!("number {}", brand.id),
            BrandTaken::Name => format!("the name {}", brand.name),
        },
    };
    // One of the configuration would hide it.
    if known.iter().any(|other| other.id == brand.id) {
        return Err(taken(BrandTaken::Id));
    }
    if known.iter().any(|other| other.name == brand.name) {
        return Err(taken(BrandTaken::Name));
    }
    if brand.sid_url.is_none() && !brand.test_sid {
        eprintln!("warning: nobody can log in to a brand that has neither --sid-url nor --test-sid");
    }
    let store = Store::open(&config.data_dir)?;
    store.put_brand(&brand, Put::Add, now())?.map_err(taken)?;
    let key = new_key(&store, KeyScope::Brand(brand.id))?;
    if args.store.json {
        let mut json = as_json(&brand);
        json["api_key"] = key.into();
        return print_line(json);
    }
    print(&format!("{}api key  {key}  (shown this once)\n", text(&brand, &Target::of(&config))))
}

fn list(args: &StoreArgs, environment: &Environment) -> Result<(), CliError> {
    let config = args.config.load(environment)?;
    let brands = all(&config)?;
    if args.json {
        return print_line(brands.iter().map(as_json).collect::<Value>());
    }
    if brands.is_empty() {
        eprintln!("no brands; `tidings brands add NAME` makes one");
    }
    for brand in &brands {
        print_line(format_args!("{:>6}  {}  app {}", brand.id, brand.name, brand.app_id))?;
    }
    Ok(())
}

fn show(args: &ShowArgs, environment: &Environment) -> Result<(), CliError> {
    let config = args.store.config.load(environment)?;
    let brand = known::choose_brand(all(&config)?, Some(&args.brand), &config)?;
    let stored = match Store::open_existing(&config.data_dir)? {
        Some(store) => store.brands_and_keys()?.1,
        None => Vec::new(),
    };
    let own = |key: &&StoredKey| key.scope == KeyScope::Brand(brand.id);
    let hints: Vec<String> = stored.iter().filter(own).map(|key| format!("{}…", key.hint)).collect();
    if args.store.json {
        let mut json = as_json(&brand);
        json["api_keys"] = hints.into();
        return print_line(json);
    }
    print(&text(&brand, &Target::of(&config)))?;
    if hints.is_empty() { Ok(()) } else { print_line(format_args!("api keys {}", hints.join(" "))) }
}

fn key(args: &KeyArgs, environment: &Environment) -> Result<(), CliError> {
    let config = args.config.load(environment)?;
    let scope = match &args.brand {
        Some(wanted) => KeyScope::Brand(known::choose_brand(all(&config)?, Some(wanted), &config)?.id),
        None => KeyScope::Installation,
    };
    let key = new_key(&Store::open(&config.data_dir)?, scope)?;
    print_line(key)
}

fn new_key(store: &Store, scope: KeyScope) -> Result<String, CliError> {
    let (key, stored) = tidings_inbox::new_key(random::bytes(), scope, now());
    store.add_key(&stored)?;
    Ok(key)
}

fn now() -> Timestamp {
    Timestamp::from_unix(Clock::system().unix())
}

fn as_json(brand: &Brand) -> Value {
    json!({
        "id": brand.id.get(),
        "name": brand.name,
        "app": brand.app_id,
        "region": brand.region,
        "sid_url": brand.sid_url,
        "test_sid": brand.test_sid,
        "allowed_origins": brand.allowed_origins.texts(),
    })
}

fn text(brand: &Brand, target: &Target) -> String {
    let Brand { id, name, app_id, region, .. } = brand;
    let lines = format!(
        "id       {id}
name     {name}
app      {app_id}
region   {region}
config   {target}/api/v1/config/{name}
pages    {target}/b/{name}
senders  {target}/b/{name}/channels/site/single
"
    );
    let sid_url = brand.sid_url.iter().map(|url| format!("sid url  {url}\n"));
    let test_sid = brand.test_sid.then(|| "test sid on\n".to_owned());
    let origins = brand.allowed_origins.texts().iter().map(|origin| format!("origin   {origin}\n"));
    [lines].into_iter().chain(sid_url).chain(test_sid).chain(origins).collect()
}

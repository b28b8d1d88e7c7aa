//! `tidings webhooks`

use clap::{Args, Subcommand};
use tidings_inbox::webhook_json;
use tidings_protocol::App;
use tidings_store::{
    SharedStore, Store,
    deliveries::{Backlog, DeliveryId, DeliveryState, Replay, StoredDelivery, Target},
    time::Timestamp,
};

use super::{ConfigArgs, Exit, apps::StoreArgs, error::CliError, known, print, print_line, target};
use tidings_server::{
    Clock,
    config::{Config, Environment},
};

#[derive(Subcommand)]
pub(super) enum WebhooksVerb {
    /// Say how many wait, and list the dead letters: what no receiver took for too long
    List(ListArgs),
    /// Print one, with its body and why it was not taken
    Show(ShowArgs),
    /// Put dead letters back into the queue; a running server sends them within seconds
    Replay(ReplayArgs),
}

#[derive(Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// List those that wait instead
    #[arg(long)]
    waiting: bool,
    /// Only those of this app
    #[arg(long, value_name = "ID")]
    app: Option<String>,
    /// Only those older than this one
    #[arg(long, value_name = "ID")]
    before: Option<DeliveryId>,
    /// The most to print
    #[arg(long, default_value_t = 50)]
    limit: u32,
}

#[derive(Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Its number, as listed
    id: DeliveryId,
}

#[derive(Args)]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Numbers, as listed
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<DeliveryId>,
    /// All of them
    #[arg(long)]
    all: bool,
    /// With --all: only those of this app
    #[arg(long, value_name = "ID", requires = "all")]
    app: Option<String>,
}

pub(super) fn run(verb: WebhooksVerb, environment: &Environment) -> Result<Exit, CliError> {
    match verb {
        WebhooksVerb::List(args) => list(args, environment),
        WebhooksVerb::Show(args) => show(&args, environment),
        WebhooksVerb::Replay(args) => replay(args, environment),
    }
}

/// The store, which must be there: to look into a queue makes none.
fn open(Config { data_dir, .. }: &Config) -> Result<SharedStore, CliError> {
    match Store::open_existing(data_dir)? {
        Some(_) => Ok(SharedStore::beside(data_dir)?),
        None => Err(CliError::NoStore { data_dir: data_dir.clone() }),
    }
}

/// What each receiver has waiting: all, or those of one app, which must be known here or have something in the queue.
async fn backlogs(store: &SharedStore, app: Option<&str>, config: &Config) -> Result<Vec<Backlog>, CliError> {
    let mut backlogs = store.backlogs().await?;
    let Some(id) = app else { return Ok(backlogs) };
    let queued = backlogs.iter().map(|backlog| backlog.target.app_id.to_string());
    let mut ids: Vec<String> = known::all(config)?.into_iter().map(|app| app.id).chain(queued).collect();
    if !ids.iter().any(|known| known == id) {
        ids.sort_unstable();
        ids.dedup();
        return Err(CliError::UnknownApp { id: id.to_owned(), ids });
    }
    backlogs.retain(|backlog| *backlog.target.app_id == *id);
    Ok(backlogs)
}

fn list(args: ListArgs, environment: &Environment) -> Result<Exit, CliError> {
    let ListArgs { store, waiting, app, before, limit } = args;
    let state = if waiting { DeliveryState::Waiting } else { DeliveryState::Dead };
    let config = store.config.load(environment)?;
    let opened = open(&config)?;
    let (backlogs, listed) = target::block_on(async {
        let backlogs = backlogs(&opened, app.as_deref(), &config).await?;
        Ok((backlogs, opened.deliveries(state, app, before, limit).await?))
    })?;
    if store.json {
        for delivery in &listed {
            print_line(webhook_json(delivery))?;
        }
        return Ok(Exit::Done);
    }
    for backlog in &backlogs {
        let (target, waiting, dead) = (&backlog.target, backlog.waiting, backlog.dead);
        let note = if is_orphan(target, &config.apps) { "  (no webhook names this URL now)" } else { "" };
        print_line(format_args!(
            "app {}  {}  {waiting} waiting, {dead} dead{note}",
            target.app_id, target.url
        ))?;
    }
    if listed.is_empty() {
        eprintln!("no {}", if waiting { "webhooks wait" } else { "dead letters" });
    }
    for delivery in &listed {
        let StoredDelivery { id, queued_at, event, lane, attempts, .. } = delivery;
        let error = delivery.last_error.as_deref().unwrap_or("not tried yet");
        let due = delivery.due_at.map(|at| format!("; next at {at}")).unwrap_or_default();
        print_line(format_args!("{id:>8}  {queued_at}  {event}  {lane}  {attempts} attempts: {error}{due}"))?;
    }
    Ok(Exit::Done)
}

fn show(args: &ShowArgs, environment: &Environment) -> Result<Exit, CliError> {
    let opened = open(&args.store.config.load(environment)?)?;
    let found = target::block_on(async { Ok(opened.delivery(args.id).await?) })?;
    let Some(delivery) = found else {
        eprintln!("{}", not_there(args.id));
        return Ok(Exit::Failed);
    };
    if args.store.json {
        print_line(webhook_json(&delivery))?;
    } else {
        print(&text(&delivery))?;
    }
    Ok(Exit::Done)
}

fn replay(args: ReplayArgs, environment: &Environment) -> Result<Exit, CliError> {
    let ReplayArgs { config, ids, all, app } = args;
    let config = config.load(environment)?;
    let opened = open(&config)?;
    let which: Vec<Replay> = match (all, app) {
        (true, Some(app)) => vec![Replay::OfApp(app)],
        (true, None) => vec![Replay::All],
        (false, _) => ids.into_iter().map(Replay::One).collect(),
    };
    let replayed = target::block_on(async {
        if let [Replay::OfApp(app)] = which.as_slice() {
            backlogs(&opened, Some(app), &config).await?;
        }
        let now = Timestamp::from_unix(Clock::system().unix());
        let mut replayed = 0;
        for which in which {
            let count = opened.replay_dead_letters(which.clone(), now).await?;
            if let (Replay::One(id), 0) = (which, count) {
                eprintln!("{}", why_not(id, opened.delivery(id).await?.as_ref()));
            }
            replayed += count;
        }
        Ok(replayed)
    })?;
    print_line(format_args!("{replayed} back in the queue"))?;
    Ok(if replayed > 0 || all { Exit::Done } else { Exit::Failed })
}

/// Whether no webhook of these apps goes there. Where the configuration has no app, the server's is another one, which
/// is not known here.
fn is_orphan(target: &Target, apps: &[App]) -> bool {
    let is_it =
        |app: &App| *app.id == *target.app_id && app.webhooks.iter().any(|webhook| webhook.url == target.url);
    !apps.is_empty() && !apps.iter().any(is_it)
}

fn not_there(id: DeliveryId) -> String {
    format!("there is no webhook {id}: it has been taken, or forgotten")
}

/// Why a webhook was not put back into the queue.
fn why_not(id: DeliveryId, found: Option<&StoredDelivery>) -> String {
    match found {
        None => not_there(id),
        Some(StoredDelivery { due_at: Some(at), .. }) => {
            format!("webhook {id} is no dead letter: it waits, and is tried at {at}")
        }
        Some(_) => format!("webhook {id} is no dead letter: it waits for another of its channel"),
    }
}

fn text(delivery: &StoredDelivery) -> String {
    let StoredDelivery { id, target, lane, event, event_id, body, queued_at, attempts, .. } = delivery;
    let lines = format!(
        "id        {id}
app       {}
url       {}
channel   {lane}
event     {event}  {event_id}
queued    {queued_at}
attempts  {attempts}
",
        target.app_id, target.url
    );
    let error = delivery.last_error.iter().map(|error| format!("error     {error}\n"));
    let due = delivery.due_at.map(|at| format!("due       {at}\n"));
    let died = delivery.died_at.map(|at| format!("died      {at}\n"));
    [lines].into_iter().chain(error).chain(due).chain(died).chain([format!("body      {body}\n")]).collect()
}

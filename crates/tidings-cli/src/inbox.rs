//! `tidings inbox`

use clap::Args;
use serde_json::json;
use tidings_store::{Filter, Notification, SharedStore, time::Timestamp};

use super::{ConfigArgs, Exit, brands, error::CliError, known, print_line, target};
use tidings_server::{Clock, config::Environment};

#[derive(Args)]
pub(super) struct InboxArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The brand's name or number, where there are several
    #[arg(long)]
    brand: Option<String>,
    /// Unread ones only
    #[arg(long)]
    unread: bool,
    /// Archived ones instead
    #[arg(long)]
    archived: bool,
    /// The most to print
    #[arg(long, default_value_t = 20)]
    limit: u32,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
    /// The user, as the operator calls them
    user: String,
}

pub(super) fn run(args: &InboxArgs, environment: &Environment) -> Result<Exit, CliError> {
    let config = args.config.load(environment)?;
    let brand = known::choose_brand(brands::all(&config)?, args.brand.as_deref(), &config)?;
    let now = Timestamp::from_unix(Clock::system().unix());
    let filter = Filter { read: args.unread.then_some(false), archived: args.archived, ..Filter::default() };
    let found = target::block_on(async {
        let store = SharedStore::beside(&config.data_dir)?;
        let Some(user) = store.user_called(brand.id, args.user.clone()).await? else { return Ok(None) };
        let counts = store.counts(user.key, now).await?;
        Ok(Some((counts, store.list(user.key, filter, args.limit, now).await?.notifications)))
    })?;
    let Some((counts, notifications)) = found else {
        eprintln!("{} of {} has neither logged in nor been sent anything", args.user, brand.name);
        return Ok(Exit::Failed);
    };
    if args.json {
        for notification in &notifications {
            print_line(as_json(notification))?;
        }
        return Ok(Exit::Done);
    }
    print_line(format_args!("{} unread, {} unseen, {} in all", counts.unread, counts.unseen, counts.total))?;
    for notification in &notifications {
        let mark = if notification.read_at.is_some() { ' ' } else { '*' };
        let kind = notification.content.kind.word();
        print_line(format_args!(
            "{mark} {}  {}  {kind:8}  {}",
            notification.id, notification.created_at, notification.content.title
        ))?;
    }
    Ok(Exit::Done)
}

fn as_json(notification: &Notification) -> serde_json::Value {
    let content = &notification.content;
    let moment = |moment: Option<Timestamp>| moment.map(|moment| moment.to_string());
    json!({
        "id": notification.id.get(),
        "event": content.kind.word(),
        "display": content.display.word(),
        "title": content.title,
        "message": content.body,
        "created_at": notification.created_at.to_string(),
        "expires_at": moment(content.expires_at),
        "seen_at": moment(notification.seen_at),
        "read_at": moment(notification.read_at),
        "archived_at": moment(notification.archived_at),
    })
}

//! `tidings notify`

use clap::Args;
use serde_json::{Map, Value};
use tidings_inbox::Fields;
use tidings_store::{
    Added, Kind, NewNotification, Recipient, SharedStore, SourceKey, StoreError, time::Timestamp,
};

use super::{ConfigArgs, Exit, brands, error::CliError, known, print_line, target};
use tidings_server::{Clock, config::Environment};

#[derive(Args)]
pub(super) struct NotifyArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The brand's name or number, where there are several
    #[arg(long)]
    brand: Option<String>,
    /// What it is
    #[arg(long, default_value = "inbox", value_parser = kind)]
    event: Kind,
    /// Do not disturb the user
    #[arg(long)]
    silent: bool,
    /// The link of a button
    #[arg(long, value_name = "URL")]
    link: Option<String>,
    /// What stands on the button
    #[arg(long, value_name = "TEXT", requires = "link")]
    link_text: Option<String>,
    /// Seconds after which it is listed no more
    #[arg(long, value_name = "SECONDS")]
    expires_in: Option<u64>,
    /// Your own word for it: the same again is not another
    #[arg(long, value_name = "WORD")]
    key: Option<String>,
    /// The user, as the operator calls them
    user: String,
    /// The title
    title: String,
    /// The message; may hold HTML
    #[arg(default_value = "")]
    message: String,
}

pub(super) fn run(args: NotifyArgs, environment: &Environment) -> Result<Exit, CliError> {
    let config = args.config.load(environment)?;
    let brand = known::choose_brand(brands::all(&config)?, args.brand.as_deref(), &config)?;
    let now = Timestamp::from_unix(Clock::system().unix());
    let display = if args.silent { "silent" } else { "push" };
    let fields = [
        ("event", Some(Value::from(args.event.word()))),
        ("display", Some(display.into())),
        ("title", Some(args.title.into())),
        ("message", Some(args.message.into())),
        ("button_link", args.link.map(Value::from)),
        ("button_text", args.link_text.map(Value::from)),
        ("expires_in", args.expires_in.map(Value::from)),
    ];
    let object: Map<String, Value> =
        fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    let new = NewNotification {
        recipient: Recipient::External { brand: brand.id, external_id: args.user.clone() },
        content: Fields::pick(&object).into_content(now)?,
        source_key: args.key.map(|key| SourceKey { source: "cli", key }),
    };
    let (known, added) = target::block_on(async {
        let store = SharedStore::beside(&config.data_dir)?;
        let known = store.user_called(brand.id, args.user.clone()).await?;
        let added = store.add(vec![new], now).await?;
        Ok((known, added.into_iter().next().unwrap_or(Err(StoreError::Stopped))?))
    })?;
    match (added, known) {
        (Added::Known(id), _) => print_line(format_args!("{id} was stored before"))?,
        (Added::New(id), Some(_)) => {
            print_line(format_args!("stored {id} for {} of {}", args.user, brand.name))?;
        }
        (Added::New(id), None) => print_line(format_args!(
            "stored {id} for {} of {}, who has not been heard of before",
            args.user, brand.name
        ))?,
    }
    Ok(Exit::Done)
}

fn kind(text: &str) -> Result<Kind, &'static str> {
    Kind::of_word(text).ok_or("message, shoutout or inbox is expected")
}

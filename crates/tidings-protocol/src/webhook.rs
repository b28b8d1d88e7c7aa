//! Webhooks: what an app's backend is told of what happens in its channels.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    fmt::Write as _,
    hash::Hash,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{ChannelName, SocketId, event::EventData, frame::server::quoted};

/// Who comes back within this has not been away: neither leaving nor coming is told.
///
/// Source: Pusher, "Webhooks": delay.
pub const ABSENCE: Duration = Duration::from_secs(3);

/// Something that a backend may be told.
#[derive(Clone, Debug, PartialEq)]
pub enum WebhookEvent {
    /// A channel has its first subscriber.
    ChannelOccupied {
        /// Which channel.
        channel: ChannelName,
    },
    /// A channel's last subscriber is gone.
    ChannelVacated {
        /// Which channel.
        channel: ChannelName,
    },
    /// A user has come to a presence channel.
    MemberAdded {
        /// Which channel.
        channel: ChannelName,
        /// The user's id.
        user_id: Arc<str>,
    },
    /// A user has left a presence channel.
    MemberRemoved {
        /// Which channel.
        channel: ChannelName,
        /// The user's id.
        user_id: Arc<str>,
    },
    /// A client has sent an event.
    ClientEvent {
        /// Which channel.
        channel: ChannelName,
        /// The event's name.
        event: Arc<str>,
        /// Its data, unchanged.
        data: EventData,
        /// Who sent it.
        socket_id: SocketId,
        /// On a presence channel, which user that is.
        user_id: Option<Arc<str>>,
    },
    /// A caching channel had nothing to show to a subscriber.
    CacheMiss {
        /// Which channel.
        channel: ChannelName,
    },
    /// A channel has another number of subscribers.
    SubscriptionCount {
        /// Which channel.
        channel: ChannelName,
        /// How many.
        count: usize,
    },
}

/// The kind of a [`WebhookEvent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookKind {
    /// `channel_occupied`
    ChannelOccupied,
    /// `channel_vacated`
    ChannelVacated,
    /// `member_added`
    MemberAdded,
    /// `member_removed`
    MemberRemoved,
    /// `client_event`
    ClientEvent,
    /// `cache_miss`
    CacheMiss,
    /// `subscription_count`
    SubscriptionCount,
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WebhookKinds(u8);

/// Where an app's backend is told, and of what.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Where to; no other webhook of the app has it.
    pub url: Arc<str>,
    /// Of what: of all that one of these means.
    pub interests: Vec<Interest>,
    /// Names and values that go with every request. They may be secrets.
    pub headers: Vec<(String, String)>,
    /// How many events a request carries.
    pub batching: Batching,
}

/// What a backend is told of: of what, in which channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interest {
    /// Of what.
    pub kinds: WebhookKinds,
    /// Of which channels.
    pub channels: ChannelFilter,
}

/// Two webhooks of one URL cannot be one: they have other headers, or another number of events in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a webhook with this URL has other `headers` or another `batch`; let both say the same")]
pub struct OtherWay;

/// How many events a request carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Batching {
    /// One.
    #[default]
    Single,
    /// As many as wait.
    Several,
}

/// Channels, by name (`presence-lobby`) or by how their names begin or end (`private-*`, `*-lobby`, `private-*-lobby`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelFilter(Vec<Pattern>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Exact(String),
    Around { beginning: String, end: String },
}

/// The text is no pattern of channel names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no pattern of channel names: write presence-lobby, private-*, *-lobby or *")]
pub struct ChannelPatternError(pub String);

/// The webhooks of an app. Cloning shares them.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhooks {
    list: Arc<[Webhook]>,
    wanted: WebhookKinds,
}

impl WebhookEvent {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> WebhookKind {
        match self {
            WebhookEvent::ChannelOccupied { .. } => WebhookKind::ChannelOccupied,
            WebhookEvent::ChannelVacated { .. } => WebhookKind::ChannelVacated,
            WebhookEvent::MemberAdded { .. } => WebhookKind::MemberAdded,
            WebhookEvent::MemberRemoved { .. } => WebhookKind::MemberRemoved,
            WebhookEvent::ClientEvent { .. } => WebhookKind::ClientEvent,
            WebhookEvent::CacheMiss { .. } => WebhookKind::CacheMiss,
            WebhookEvent::SubscriptionCount { .. } => WebhookKind::SubscriptionCount,
        }
    }

    /// Its channel.
    #[must_use]
    pub fn channel(&self) -> &ChannelName {
        match self {
            WebhookEvent::ChannelOccupied { channel }
            | WebhookEvent::ChannelVacated { channel }
            | WebhookEvent::MemberAdded { channel, .. }
            | WebhookEvent::MemberRemoved { channel, .. }
            | WebhookEvent::ClientEvent { channel, .. }
            | WebhookEvent::CacheMiss { channel }
            | WebhookEvent::SubscriptionCount { channel, .. } => channel,
        }
    }

    /// The event as it stands in a [`payload`]: Pusher's object, and under `id` what tells it from all others, so that
    /// a receiver may drop what it has had before. Vectors: `protocol-spec/webhooks.json`.
    ///
    /// # Panics
    /// Never: a string takes all that is written.
    #[must_use]
    pub fn encode(&self, id: &str) -> String {
        let mut text =
            format!("{{\"name\":\"{}\",\"channel\":{}", self.kind().name(), quoted(self.channel().as_str()));
        let mut add = |name: &str, literal: &str| {
            write!(text, ",\"{name}\":{literal}").expect("a string takes all that is written");
        };
        match self {
            WebhookEvent::ChannelOccupied { .. }
            | WebhookEvent::ChannelVacated { .. }
            | WebhookEvent::CacheMiss { .. } => {}
            WebhookEvent::MemberAdded { user_id, .. } | WebhookEvent::MemberRemoved { user_id, .. } => {
                add("user_id", &quoted(user_id));
            }
            WebhookEvent::ClientEvent { event, data, socket_id, user_id, .. } => {
                add("event", &quoted(event));
                add("data", data.literal());
                add("socket_id", &quoted(&socket_id.to_string()));
                if let Some(user_id) = user_id {
                    add("user_id", &quoted(user_id));
                }
            }
            WebhookEvent::SubscriptionCount { count, .. } => add("subscription_count", &count.to_string()),
        }
        add("id", &quoted(id));
        text.push('}');
        text
    }
}

/// The body of a request: events as [`WebhookEvent::encode`] gives them, sent at this time.
///
/// Source: Pusher, "Webhooks". Vectors: `protocol-spec/webhooks.json`.
#[must_use]
pub fn payload<'a>(time_ms: i64, events: impl IntoIterator<Item = &'a str>) -> String {
    let events: Vec<&str> = events.into_iter().collect();
    format!("{{\"time_ms\":{time_ms},\"events\":[{}]}}", events.join(","))
}

impl WebhookKind {
    /// All of them.
    pub const ALL: [WebhookKind; 7] = [
        WebhookKind::ChannelOccupied,
        WebhookKind::ChannelVacated,
        WebhookKind::MemberAdded,
        WebhookKind::MemberRemoved,
        WebhookKind::ClientEvent,
        WebhookKind::CacheMiss,
        WebhookKind::SubscriptionCount,
    ];

    /// Pusher's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            WebhookKind::ChannelOccupied => "channel_occupied",
            WebhookKind::ChannelVacated => "channel_vacated",
            WebhookKind::MemberAdded => "member_added",
            WebhookKind::MemberRemoved => "member_removed",
            WebhookKind::ClientEvent => "client_event",
            WebhookKind::CacheMiss => "cache_miss",
            WebhookKind::SubscriptionCount => "subscription_count",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl WebhookKinds {
    /// No kind.
    pub const NONE: WebhookKinds = WebhookKinds(0);

    /// Every kind.
    #[must_use]
    pub fn all() -> Self {
        WebhookKind::ALL.into_iter().collect()
    }

    /// Whether this kind is in it.
    #[must_use]
    pub fn contains(self, kind: WebhookKind) -> bool {
        self.0 & kind.bit() != 0
    }

    /// Whether one of these is in it.
    #[must_use]
    pub fn contains_any(self, kinds: &[WebhookKind]) -> bool {
        kinds.iter().any(|kind| self.contains(*kind))
    }
}

impl FromIterator<WebhookKind> for WebhookKinds {
    fn from_iter<I: IntoIterator<Item = WebhookKind>>(kinds: I) -> Self {
        WebhookKinds(kinds.into_iter().fold(0, |bits, kind| bits | kind.bit()))
    }
}

impl Webhook {
    /// Whether it is told of this.
    #[must_use]
    pub fn wants(&self, kind: WebhookKind, channel: &ChannelName) -> bool {
        let means = |interest: &Interest| interest.kinds.contains(kind) && interest.channels.matches(channel);
        self.interests.iter().any(means)
    }

    /// Adds one to those of an app. Where its URL is known already, that webhook is told of this one's events as well.
    ///
    /// # Errors
    /// [`OtherWay`] if the two cannot be one.
    pub fn add_to(self, webhooks: &mut Vec<Webhook>) -> Result<(), OtherWay> {
        match webhooks.iter_mut().find(|known| known.url == self.url) {
            None => webhooks.push(self),
            Some(known) if known.headers == self.headers && known.batching == self.batching => {
                known.interests.extend(self.interests);
            }
            Some(_) => return Err(OtherWay),
        }
        Ok(())
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("url", &self.url)
            .field("interests", &self.interests)
            .finish_non_exhaustive()
    }
}

impl Webhooks {
    /// These.
    #[must_use]
    pub fn new(list: Vec<Webhook>) -> Self {
        let interests = list.iter().flat_map(|webhook| &webhook.interests);
        let wanted = WebhookKinds(interests.fold(0, |bits, interest| bits | interest.kinds.0));
        Webhooks { list: list.into(), wanted }
    }

    /// The kinds that any of them is told of.
    #[must_use]
    pub fn wanted(&self) -> WebhookKinds {
        self.wanted
    }

    /// Each.
    pub fn iter(&self) -> impl Iterator<Item = &Webhook> {
        self.list.iter()
    }
}

impl Default for Webhooks {
    fn default() -> Self {
        Webhooks::new(Vec::new())
    }
}

impl ChannelFilter {
    /// Reads the patterns; a channel is meant if one of them matches.
    ///
    /// # Errors
    /// [`ChannelPatternError`] names the first that cannot be read.
    pub fn parse<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, ChannelPatternError> {
        patterns.into_iter().map(Pattern::parse).collect::<Result<_, _>>().map(ChannelFilter)
    }

    /// Whether this channel is meant.
    #[must_use]
    pub fn matches(&self, channel: &ChannelName) -> bool {
        self.0.iter().any(|pattern| match pattern {
            Pattern::Exact(name) => channel.as_str() == name,
            Pattern::Around { beginning, end } => {
                channel.as_str().strip_prefix(&**beginning).is_some_and(|rest| rest.ends_with(&**end))
            }
        })
    }

    /// The patterns as texts.
    pub fn texts(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|pattern| match pattern {
            Pattern::Exact(name) => name.clone(),
            Pattern::Around { beginning, end } => format!("{beginning}*{end}"),
        })
    }
}

impl Default for ChannelFilter {
    /// All channels.
    fn default() -> Self {
        ChannelFilter(vec![Pattern::Around { beginning: String::new(), end: String::new() }])
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, ChannelPatternError> {
        // Any name that begins or ends so is valid if one is.
        let is_part = |part: &str| part.is_empty() || ChannelName::parse(part).is_ok();
        let pattern = match text.split_once('*') {
            Some((beginning, end)) => (is_part(beginning) && is_part(end))
                .then(|| Pattern::Around { beginning: beginning.to_owned(), end: end.to_owned() }),
            None => ChannelName::parse(text).ok().map(|_| Pattern::Exact(text.to_owned())),
        };
        pattern.ok_or_else(|| ChannelPatternError(text.to_owned()))
    }
}

/// Who has gone and may be back in time: who comes and goes is told so that a short absence is not.
///
/// Before a coming or going is noted, [`over`](Self::over) takes out the absences that ended before it.
#[derive(Debug)]
pub struct Absences<K> {
    ends: BTreeMap<(Instant, u64), K>,
    away: HashMap<K, (Instant, u64)>,
    /// Tells absences apart that end at once, in the order in which they began.
    count: u64,
}

impl<K> Default for Absences<K> {
    fn default() -> Self {
        Absences { ends: BTreeMap::new(), away: HashMap::new(), count: 0 }
    }
}

impl<K: Clone + Eq + Hash> Absences<K> {
    /// Has gone; if not back before `end`, that is told.
    pub fn went(&mut self, who: K, end: Instant) {
        self.back(&who);
        self.count += 1;
        let key = (end, self.count);
        self.away.insert(who.clone(), key);
        self.ends.insert(key, who);
    }

    /// Has come; true if that is the end of an absence that is not to be told.
    pub fn back(&mut self, who: &K) -> bool {
        let Some(key) = self.away.remove(who) else { return false };
        self.ends.remove(&key);
        true
    }

    /// One whose absence has lasted, the earliest first: it is to be told.
    pub fn over(&mut self, now: Instant) -> Option<K> {
        let entry = self.ends.first_entry().filter(|entry| entry.key().0 <= now)?;
        let who = entry.remove();
        self.away.remove(&who);
        Some(who)
    }

    /// When the next absence will have lasted.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.ends.keys().next().map(|(end, _)| *end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(name: &str) -> ChannelName {
        ChannelName::parse(name).expect("a name")
    }

    #[test]
    fn filters_take_names_beginnings_and_ends() {
        let check = |patterns: &[&str], name: &str, expected: bool| {
            let filter = ChannelFilter::parse(patterns.iter().copied()).expect("patterns");
            assert_eq!(filter.matches(&channel(name)), expected, "{patterns:?} {name}");
        };
        check(&["*"], "anything", true);
        check(&["private-*"], "private-a", true);
        check(&["private-*"], "presence-a", false);
        check(&["private-*", "lobby"], "lobby", true);
        check(&["lobby"], "lobby-2", false);
        check(&["*-lobby"], "presence-lobby", true);
        check(&["*-lobby"], "presence-lobby-2", false);
        check(&["private-*-lobby"], "private-a-lobby", true);
        check(&["private-*-lobby"], "private-lobby", false);
        check(&["private-*-lobby"], "presence-a-lobby", false);
        let texts = ["*", "lobby", "private-*", "*-lobby", "private-*-lobby"];
        let filter = ChannelFilter::parse(texts).expect("patterns");
        assert!(filter.texts().eq(texts));
        assert!(ChannelFilter::default().matches(&channel("presence-x")));
        for bad in ["", "a*b*", "**", "a b", "a *", "* a"] {
            assert_eq!(ChannelFilter::parse([bad]), Err(ChannelPatternError(bad.to_owned())));
        }
    }

    #[test]
    fn an_app_wants_what_one_of_its_webhooks_wants() {
        let webhook = |url: &str, kinds: &[WebhookKind]| Webhook {
            url: url.into(),
            interests: vec![Interest {
                kinds: kinds.iter().copied().collect(),
                channels: ChannelFilter::parse(["private-*"]).expect("a pattern"),
            }],
            headers: vec![("authorization".to_owned(), "s3cret".to_owned())],
            batching: Batching::Single,
        };
        let webhooks = Webhooks::new(vec![
            webhook("a", &[WebhookKind::CacheMiss]),
            webhook("b", &[WebhookKind::MemberAdded]),
        ]);
        assert!(webhooks.wanted().contains(WebhookKind::CacheMiss));
        assert!(webhooks.wanted().contains_any(&[WebhookKind::MemberRemoved, WebhookKind::MemberAdded]));
        assert!(!webhooks.wanted().contains(WebhookKind::ClientEvent));
        assert_eq!(Webhooks::default().wanted(), WebhookKinds::NONE);
        let first = webhooks.iter().next().expect("a webhook");
        assert!(first.wants(WebhookKind::CacheMiss, &channel("private-a")));
        assert!(!first.wants(WebhookKind::CacheMiss, &channel("a")));
        assert!(!first.wants(WebhookKind::MemberAdded, &channel("private-a")));
        assert!(!format!("{webhooks:?}").contains("s3cret"));
        assert_eq!(WebhookKinds::all().0, 0b111_1111);
    }

    #[test]
    fn two_of_one_url_are_one_that_is_told_of_what_either_is() {
        let webhook = |url: &str, kind: WebhookKind, pattern, batching| Webhook {
            url: url.into(),
            interests: vec![Interest {
                kinds: [kind].into_iter().collect(),
                channels: ChannelFilter::parse([pattern]).expect("a pattern"),
            }],
            headers: Vec::new(),
            batching,
        };
        let mut webhooks = Vec::new();
        let (occupied, cache_miss) = (WebhookKind::ChannelOccupied, WebhookKind::CacheMiss);
        for added in [
            webhook("a", occupied, "private-*", Batching::Single),
            webhook("b", occupied, "*", Batching::Several),
            webhook("a", cache_miss, "cache-*", Batching::Single),
        ] {
            assert_eq!(added.add_to(&mut webhooks), Ok(()));
        }
        assert_eq!(webhook("a", occupied, "*", Batching::Several).add_to(&mut webhooks), Err(OtherWay));
        let urls: Vec<&str> = webhooks.iter().map(|webhook| &*webhook.url).collect();
        assert_eq!(urls, ["a", "b"]);
        for (kind, name, expected) in [
            (occupied, "private-a", true),
            (cache_miss, "cache-a", true),
            (occupied, "cache-a", false),
            (cache_miss, "private-a", false),
        ] {
            assert_eq!(webhooks[0].wants(kind, &channel(name)), expected, "{kind:?} {name}");
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
    fn who_is_back_in_time_was_not_away() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let mut absences = Absences::default();
        assert!(!absences.back(&"ann"));
        absences.went("ann", start + ABSENCE);
        absences.went("bob", after(3500));
        assert_eq!(absences.next(), Some(after(3000)));
        assert_eq!(absences.over(after(2999)), None);
        assert!(absences.back(&"ann"), "2.999 s is in time");
        absences.went("ann", after(5999));
        assert_eq!(absences.over(after(6000)), Some("bob"));
        assert_eq!(absences.over(after(6000)), Some("ann"), "3 s is not");
        assert!(!absences.back(&"ann"));
        assert_eq!((absences.over(after(9000)), absences.next()), (None, None));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
    fn what_ends_at_once_ends_in_the_order_it_began() {
        let end = Instant::now();
        let mut absences = Absences::default();
        absences.went("member", end);
        absences.went("channel", end);
        assert_eq!([absences.over(end), absences.over(end)], [Some("member"), Some("channel")]);
    }
}

//! What is found in a configuration, and where: mistakes, which stop the server, and warnings.

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
};

use tidings_courier::NetworkError;
use tidings_protocol::{
    origin::OriginPatternError,
    webhook::{ChannelPatternError, OtherWay},
};

use super::{USUAL_FILE, rules::SECRET_MIN};
use crate::tls::CertificateError;

/// Something found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding<K> {
    /// Where.
    pub place: Place,
    /// What.
    pub kind: K,
}

/// What stops the server.
pub type Mistake = Finding<MistakeKind>;
/// What may not be meant so.
pub type Warning = Finding<WarningKind>;
/// What was made of something.
pub type Note = Finding<NoteKind>;

/// Where something was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a file as a whole.
    File(PathBuf),
    /// At a place in a file.
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
        /// The key from the root, unless the file cannot be understood there.
        key: Option<String>,
        /// The line itself, unless it may hold a secret.
        snippet: Option<Snippet>,
    },
    /// In a variable of the environment.
    Variable(String),
    /// At a key of what all sources say together.
    Key(&'static str),
}

/// A line of a file and what is meant in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snippet {
    /// The line.
    pub text: String,
    /// How many characters are meant, from the place's column on.
    pub width: usize,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MistakeKind {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// It is no TOML.
    #[error("{0}")]
    Syntax(String),
    /// There is no such key.
    #[error("unknown key{}", did_you_mean(*.nearest))]
    UnknownKey {
        /// One that may be meant.
        nearest: Option<&'static str>,
    },
    /// The value is not what it must be.
    #[error("must be {expected}, not {found}")]
    Value {
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// A key is not there.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A text that is no origin.
    #[error(transparent)]
    Origin(#[from] OriginPatternError),
    /// A text that is no pattern of channel names.
    #[error(transparent)]
    Channel(#[from] ChannelPatternError),
    /// Two webhooks that cannot be one.
    #[error(transparent)]
    Webhook(#[from] OtherWay),
    /// A list that leaves nothing over.
    #[error("name at least one {what}, or leave `{key}` out for all")]
    NoneNamed {
        /// What it lists.
        what: &'static str,
        /// Its key.
        key: &'static str,
    },
    /// A text that is no network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Another app has it already.
    #[error("{by} has it already")]
    Taken {
        /// Which app.
        by: String,
    },
    /// The variables of the first app are not all there.
    #[error("an app needs its id, key and secret; {} not set", join_and(.0))]
    VariablesMissing(Vec<&'static str>),
    /// Two variables say different things.
    #[error("{other} says otherwise; let one of the two say it")]
    Contradicts {
        /// The other.
        other: &'static str,
    },
    /// The variables of TLS are not all there.
    #[error("TLS needs a certificate and its key; {} not set", join_and(.0))]
    TlsVariablesMissing(Vec<&'static str>),
    /// A certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The port of the metrics is that of another listener.
    #[error("is {port}, as `{key}` is; choose another port for one of the two")]
    SamePort {
        /// The other's key.
        key: &'static str,
        /// The port.
        port: u16,
    },
    /// The variables and the file say different things of one app.
    #[error("the file has an app of this id with another key or secret")]
    OtherCredentials,
}

/// What was made of a variable that other servers know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteKind {
    /// It says something.
    #[error("taken as {0}")]
    Taken(&'static str),
    /// It says nothing here, and why.
    #[error("not taken: {0}")]
    Nothing(&'static str),
    /// A part of it says nothing here.
    #[error("{0}")]
    Part(String),
}

/// What may not be meant so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WarningKind {
    /// There is no such variable.
    #[error("unknown variable, ignored{}", did_you_mean(*.nearest))]
    UnknownVariable {
        /// One that may be meant.
        nearest: Option<&'static str>,
    },
    /// Kubernetes sets it for a service called `tidings`.
    #[error("ignored: this is the address of a Kubernetes service and not a port to listen on")]
    KubernetesPort,
    /// Not every library takes such an id.
    #[error("an id of other characters than digits is refused by the Python library")]
    IdNotDigits,
    /// A secret that could be guessed.
    #[error("a secret of less than {SECRET_MIN} characters can be guessed")]
    ShortSecret,
    /// A brand names an app that is not in the file.
    #[error("the file has no app of this id; unless `tidings apps list` has it, nobody can use the brand")]
    AppElsewhere,
    /// A webhook goes where nothing may be sent.
    #[error(
        "{0} is no public address, and no network of [outbound] allow has it: nothing will be delivered there"
    )]
    OutOfReach(IpAddr),
    /// The file that most name, which nobody has named.
    #[error("it lies here but is not read; name it: --config {USUAL_FILE}")]
    NotNamed,
}

impl NoteKind {
    /// Whether the variable says something.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        matches!(self, NoteKind::Taken(_))
    }
}

impl MistakeKind {
    /// The mistake of a text that is not as expected.
    pub(super) fn value(expected: &'static str, found: &str) -> Self {
        MistakeKind::Value { expected, found: format!("{found:?}") }
    }
}

/// All mistakes of a configuration, those of the file first and in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    /// The mistakes; never none.
    pub mistakes: Vec<Mistake>,
    /// What was found besides.
    pub warnings: Vec<Warning>,
}

impl std::error::Error for ConfigErrors {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, mistake) in self.mistakes.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl<K: fmt::Display> fmt::Display for Finding<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.kind)?;
        if let Place::Line { line, column, snippet: Some(snippet), .. } = &self.place {
            let gutter = line.to_string().len();
            // Tabs stay tabs, so that the caret stands where the terminal shows the place.
            let indent = snippet.text.chars().take(column - 1).map(|c| if c == '\t' { c } else { ' ' });
            write!(f, "\n {line} | {}\n ", snippet.text)?;
            write!(f, "{:gutter$} | {}{}", "", indent.collect::<String>(), "^".repeat(snippet.width))?;
        }
        Ok(())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path) => path.display().fmt(f),
            Place::Line { path, line, column, key, .. } => {
                write!(f, "{}:{line}:{column}", path.display())?;
                key.as_ref().map_or(Ok(()), |key| write!(f, ": key `{key}`"))
            }
            Place::Variable(name) => f.write_str(name),
            Place::Key(key) => write!(f, "key `{key}`"),
        }
    }
}

impl Place {
    /// The file it is in.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Place::File(path) | Place::Line { path, .. } => Some(path),
            Place::Variable(_) | Place::Key(_) => None,
        }
    }

    /// Sorts by where a reader of the file comes first; what is not in the file comes last.
    pub(super) fn order(&self) -> (usize, usize) {
        match self {
            Place::File(_) => (0, 0),
            Place::Line { line, column, .. } => (*line, *column),
            Place::Variable(_) | Place::Key(_) => (usize::MAX, 0),
        }
    }

    fn line(&self) -> Option<usize> {
        if let Place::Line { line, .. } = self { Some(*line) } else { None }
    }
}

/// What has been found so far.
#[derive(Default)]
pub(super) struct Report {
    mistakes: Vec<Mistake>,
    warnings: Vec<Warning>,
    notes: Vec<Note>,
}

impl Report {
    pub(super) fn note(&mut self, place: Place, kind: NoteKind) {
        self.notes.push(Finding { place, kind });
    }

    pub(super) fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    pub(super) fn mistake(&mut self, place: Place, kind: MistakeKind) {
        self.mistakes.push(Finding { place, kind });
    }

    pub(super) fn add(&mut self, errors: ConfigErrors) {
        self.mistakes.extend(errors.mistakes);
        self.warnings.extend(errors.warnings);
    }

    pub(super) fn warning(&mut self, place: Place, kind: WarningKind) {
        self.warnings.push(Finding { place, kind });
    }

    /// The warnings, or the mistakes if there are some.
    pub(super) fn finish(mut self) -> Result<Vec<Warning>, ConfigErrors> {
        self.drop_consequences();
        self.mistakes.sort_by_key(|mistake| mistake.place.order());
        self.warnings.sort_by_key(|warning| warning.place.order());
        if self.mistakes.is_empty() {
            Ok(self.warnings)
        } else {
            Err(ConfigErrors { mistakes: self.mistakes, warnings: self.warnings })
        }
    }

    /// Where the file is no TOML, what seems missing or misplaced may only have been read wrongly.
    fn drop_consequences(&mut self) {
        let is_syntax = |mistake: &Mistake| matches!(mistake.kind, MistakeKind::Syntax(_));
        let broken: Vec<_> =
            self.mistakes.iter().filter(|m| is_syntax(m)).filter_map(|m| m.place.line()).collect();
        if broken.is_empty() {
            return;
        }
        self.mistakes.retain(|mistake| match &mistake.kind {
            MistakeKind::Syntax(_) => true,
            MistakeKind::Missing(_) => false,
            _ => match &mistake.place {
                Place::Line { line, key: Some(key), .. } => key.contains('.') && !broken.contains(line),
                Place::Key(_) => false,
                _ => true,
            },
        });
    }
}

/// The name that is written almost so.
#[must_use]
pub fn nearest(word: &str, names: &[&'static str]) -> Option<&'static str> {
    let distance = |name: &str| strsim::damerau_levenshtein(&word.to_lowercase(), &name.to_lowercase());
    let (distance, name) = names.iter().map(|name| (distance(name), *name)).min()?;
    (distance <= name.len().max(3) / 3).then_some(name)
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

fn join_and(names: &[&str]) -> String {
    format!("{} {}", names.join(" and "), if names.len() == 1 { "is" } else { "are" })
}

//! The side of the process that gives its place.

use std::{
    env, io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use dataplane::{Inheritance, ListeningSocket, QuicFormer, QuicSockets};
use model::{MemberHealth, MemberId, TargetId, Transport};

use super::{
    FromFormer, FromHeir, Label, PROTOCOL, QuicRest, VARIABLE,
    channel::{Channel, ChannelError, DESCRIPTORS_MAX},
};

/// How long an heir that is ready may take until it accepts.
const GO_WITHIN: Duration = Duration::from_secs(10);

/// Why this process keeps its place.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CannotHandOver {
    /// It is the first process of a container or a machine.
    #[error(
        "this is process 1, with whose end all others end; start the new version in a container of its own"
    )]
    First,
    /// The binary cannot be started.
    #[error("{} cannot be started", .binary.display())]
    NotStarted {
        binary: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The heir ended, or could not be spoken with.
    #[error("the new process {ended} before it could take over; its log says why")]
    Ended {
        ended: String,
        #[source]
        source: ChannelError,
    },
    /// The heir took too long.
    #[error("the new process was not ready within {} s", .0.as_secs())]
    TooLate(Duration),
    /// The heir says why it cannot.
    #[error("the new process cannot take over: {0}")]
    Refused(String),
    /// The heir is of a version with other messages.
    #[error(
        "version {version} takes over in another way (protocol {protocol}, here {PROTOCOL}); restart instead"
    )]
    OtherProtocol { version: String, protocol: u32 },
    /// A call of the API takes very long.
    #[error("API calls did not end within {} s; try again", .0.as_secs())]
    CallsInHand(Duration),
    /// Descriptors ran out, or a worker is gone.
    #[error("the listening sockets cannot be lent")]
    NoSockets(#[source] io::Error),
}

/// All that is handed over.
pub(crate) struct Bequest {
    /// Descriptors that are not the data plane's.
    pub(crate) own: Vec<(Label, OwnedFd)>,
    /// What the data plane lends.
    pub(crate) lent: Inheritance,
    /// What is known of members.
    pub(crate) health: Vec<((TargetId, MemberId), MemberHealth)>,
    /// Whether the API is served.
    pub(crate) api_open: bool,
}

/// A process that may take over. Dropped, it is ended.
pub(crate) struct Candidate {
    // Ended before its channel is: an heir whose former process just goes away goes on without it.
    child: Running,
    channel: Arc<Channel>,
    version: String,
    deadline: Instant,
    limit: Duration,
}

/// The process that has taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Successor {
    /// Its process id.
    pub(crate) pid: u32,
    /// Its version.
    pub(crate) version: String,
}

impl Candidate {
    /// Starts a binary with this process' arguments, and waits until it has read its configuration. It must be ready within `limit`
    /// from now on.
    pub(crate) async fn start(binary: &Path, limit: Duration) -> Result<Self, CannotHandOver> {
        if std::process::id() == 1 {
            return Err(CannotHandOver::First);
        }
        let deadline = Instant::now() + limit;
        let not_started = |source| CannotHandOver::NotStarted { binary: binary.to_owned(), source };
        let (ours, theirs) = UnixStream::pair().map_err(not_started)?;
        let channel = Channel::new(ours).map_err(not_started)?;
        let child = Command::new(binary)
            .args(env::args_os().skip(1))
            .env(VARIABLE, "1")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()
            .map_err(not_started)?;
        let mut candidate = Self {
            child: Running(Some(child)),
            channel: Arc::new(channel),
            version: String::new(),
            deadline,
            limit,
        };
        match candidate.hear(candidate.rest()).await? {
            FromHeir::Hello { protocol: PROTOCOL, version } => candidate.version = version,
            FromHeir::Hello { protocol, version } => {
                return Err(CannotHandOver::OtherProtocol { version, protocol });
            }
            other => return Err(unexpected(&other)),
        }
        Ok(candidate)
    }

    /// Its version.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Hands everything over, and waits until it is in force there.
    pub(crate) async fn prepare(&mut self, bequest: Bequest) -> Result<(), CannotHandOver> {
        let channel = self.channel.clone();
        let given = tokio::task::spawn_blocking(move || give(&channel, bequest)).await;
        self.told(given.unwrap_or(Err(ChannelError::Ended)))?;
        match self.hear(self.rest()).await? {
            FromHeir::Ready => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Lets it accept, and waits until it does.
    pub(crate) async fn go(&mut self) -> Result<(), CannotHandOver> {
        let sent = self.channel.send(&FromFormer::Go, &[]);
        self.told(sent)?;
        match self.hear(GO_WITHIN).await? {
            FromHeir::Serving => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// It has taken over, and is no longer ours to end.
    pub(crate) fn release(mut self) -> Successor {
        let pid = self.child.id();
        if let Some(mut child) = self.child.0.take() {
            // As long as we are here, its end is ours to hear of.
            thread::spawn(move || match child.wait() {
                Ok(status) if status.success() => tracing::info!("the process that took over has ended"),
                Ok(status) => tracing::warn!(%status, "the process that took over has ended"),
                Err(error) => tracing::warn!(%error, "the process that took over cannot be waited for"),
            });
        }
        Successor { pid, version: std::mem::take(&mut self.version) }
    }

    fn rest(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    async fn hear(&mut self, within: Duration) -> Result<FromHeir, CannotHandOver> {
        let channel = self.channel.clone();
        let heard = tokio::task::spawn_blocking(move || channel.receive::<FromHeir>(within)).await;
        let (message, _no_descriptors) = self.told(heard.unwrap_or(Err(ChannelError::Ended)))?;
        Ok(message)
    }

    /// An error of the channel, in the words of a hand-over.
    fn told<T>(&mut self, result: Result<T, ChannelError>) -> Result<T, CannotHandOver> {
        result.map_err(|error| match error {
            ChannelError::TooLate => CannotHandOver::TooLate(self.limit),
            source => CannotHandOver::Ended {
                ended: match self.child.end() {
                    Some(status) => format!("ended ({status})"),
                    None => "fell silent".to_owned(),
                },
                source,
            },
        })
    }
}

fn give(channel: &Channel, bequest: Bequest) -> Result<(), ChannelError> {
    let Bequest { own, lent, health, api_open } = bequest;
    let mut descriptors = own;
    for ListeningSocket { transport, address, descriptor, links } in lent.sockets {
        let label = match transport {
            Transport::Tcp => Label::Tcp(address),
            Transport::Udp => Label::Udp(address),
        };
        descriptors.push((label, descriptor));
        descriptors.extend(links.into_iter().map(|link| (Label::Flows, link)));
    }
    let quic = lent.quic.into_iter().map(|sockets| label_quic(sockets, &mut descriptors)).collect();
    for some in descriptors.chunks(DESCRIPTORS_MAX) {
        let labels = some.iter().map(|(label, _)| label.clone()).collect();
        let descriptors: Vec<BorrowedFd<'_>> =
            some.iter().map(|(_, descriptor)| descriptor.as_fd()).collect();
        channel.send(&FromFormer::Sockets { labels }, &descriptors)?;
    }
    let resumptions = lent.resumptions;
    channel.send(&FromFormer::Rest { health, api_open, quic, resumptions }, &[])
}

fn label_quic(sockets: QuicSockets, descriptors: &mut Vec<(Label, OwnedFd)>) -> QuicRest {
    let address = sockets.address;
    descriptors.extend(sockets.descriptors.into_iter().map(|socket| (Label::Quic(address), socket)));
    let mut former_secrets = Vec::new();
    for (former, QuicFormer { id_secret, links }) in sockets.formers.into_iter().enumerate() {
        former_secrets.push(id_secret);
        descriptors.extend(links.into_iter().map(|link| (Label::QuicFormer { address, former }, link)));
    }
    QuicRest { address, secrets: sockets.secrets, former_secrets }
}

fn unexpected(message: &FromHeir) -> CannotHandOver {
    match message {
        FromHeir::Failed { why } => CannotHandOver::Refused(why.clone()),
        other => CannotHandOver::Refused(format!("it said {other:?} out of turn")),
    }
}

/// A child; dropped, it is ended.
struct Running(Option<Child>);

impl Running {
    fn id(&self) -> u32 {
        self.0.as_ref().map_or(0, Child::id)
    }

    /// Ends it, if it has not ended by itself; how it ended by itself.
    fn end(&mut self) -> Option<ExitStatus> {
        let mut child = self.0.take()?;
        // Whoever closes the channel by ending has a moment to end.
        let by_itself = (0..ENDING_LOOKS).find_map(|_| {
            thread::park_timeout(ENDING_PAUSE);
            child.try_wait().ok().flatten()
        });
        if by_itself.is_none() {
            let _gone_already = child.kill();
            let _reaped = child.wait();
        }
        by_itself
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _gone_already = child.kill();
            let _reaped = child.wait();
        }
    }
}

const ENDING_LOOKS: u32 = 50;
const ENDING_PAUSE: Duration = Duration::from_millis(2);

/// The file that this process was started from, as it was named then: a link that now leads to another version is followed anew.
/// Found at start, as nothing says it any more when the file is replaced.
pub(crate) fn binary_of_this_process() -> io::Result<PathBuf> {
    match env::args_os().next().map(PathBuf::from) {
        Some(named) if named.components().count() > 1 => std::path::absolute(named),
        _ => env::current_exe(),
    }
}

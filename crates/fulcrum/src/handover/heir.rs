//! The side of the process that takes over.

use std::{
    collections::BTreeMap,
    env,
    fs::File,
    io,
    net::SocketAddr,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use dataplane::{Inheritance, LentResumption, ListeningSocket, QuicFormer, QuicSockets, Verdicts};
use model::{MemberHealth, MemberId, TargetId, Transport};

use super::{
    FromFormer, FromHeir, Label, PROTOCOL, QuicRest, VARIABLE,
    channel::{Channel, ChannelError},
};

/// How long the former process may take to hand over, or to say go; it has limits of its own, which are shorter.
const PATIENCE: Duration = Duration::from_secs(700);

/// The channel to the process whose place this one takes.
pub(crate) struct Heir(Arc<Channel>);

/// What it hands over.
#[derive(Default)]
pub(crate) struct Inherited {
    /// The lock of the data directory.
    pub(crate) lock: Option<OwnedFd>,
    /// Where the API is served.
    pub(crate) api: Option<OwnedFd>,
    /// Where `fulcrum upgrade` asks.
    pub(crate) control: Option<OwnedFd>,
    /// The sample members of `--demo`.
    pub(crate) samples: Vec<(std::net::IpAddr, OwnedFd)>,
    /// Where clients arrive.
    listening: Vec<ListeningSocket>,
    quic: BTreeMap<SocketAddr, QuicDescriptors>,
    quic_rest: Vec<QuicRest>,
    resumptions: Vec<LentResumption>,
    /// What is known of members.
    pub(crate) health: Vec<((TargetId, MemberId), MemberHealth)>,
    /// Whether the API was served.
    pub(crate) api_open: bool,
}

/// The descriptors of an address of QUIC.
#[derive(Default)]
struct QuicDescriptors {
    sockets: Vec<OwnedFd>,
    /// By process.
    links: Vec<Vec<OwnedFd>>,
}

impl Heir {
    /// Whether this process was started to take over: then standard input is the channel, and is closed for all else.
    pub(crate) fn of_this_process() -> anyhow::Result<Option<Self>> {
        if env::var_os(VARIABLE).is_none() {
            return Ok(None);
        }
        let taken = || -> io::Result<Channel> {
            let channel = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
            channel.peer_addr()?;
            rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
            Channel::new(channel)
        };
        let channel = taken().with_context(|| {
            format!("{VARIABLE} is set, but no process hands over on standard input; unset it for an ordinary start")
        })?;
        Ok(Some(Self(Arc::new(channel))))
    }

    /// Says that this process runs, and takes what the former one hands over. Blocks.
    pub(crate) fn take(&self) -> anyhow::Result<Inherited> {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        self.0.send(&FromHeir::Hello { protocol: PROTOCOL, version }, &[])?;
        let mut inherited = Inherited::default();
        loop {
            let (message, descriptors) = self.0.receive(PATIENCE)?;
            match message {
                FromFormer::Sockets { labels } => {
                    if labels.len() != descriptors.len() {
                        bail!(
                            "{} descriptors came, and {} were said; raise the limit of open files (ulimit -n, LimitNOFILE)",
                            descriptors.len(),
                            labels.len()
                        );
                    }
                    labels.into_iter().zip(descriptors).for_each(|(label, it)| inherited.put(label, it));
                }
                FromFormer::Rest { health, api_open, quic, resumptions } => {
                    inherited.health = health;
                    inherited.resumptions = resumptions;
                    inherited.quic_rest = quic;
                    inherited.api_open = api_open;
                    return Ok(inherited);
                }
                FromFormer::Go => bail!("the former process said go before it handed anything over"),
            }
        }
    }

    /// Says that all is in force, and answers when this process may accept.
    pub(crate) async fn ready(&self) -> anyhow::Result<()> {
        let channel = self.0.clone();
        let heard = tokio::task::spawn_blocking(move || {
            channel.send(&FromHeir::Ready, &[])?;
            channel.receive::<FromFormer>(PATIENCE)
        });
        match heard.await? {
            Ok((FromFormer::Go, _)) => Ok(()),
            Ok((other, _)) => bail!("the former process said {other:?} in place of go"),
            // Had it changed its mind, we would have been ended. So it crashed, and all that it had is here.
            Err(ChannelError::Ended) => {
                tracing::warn!("the former process has ended; going on without it");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Says that this process accepts.
    pub(crate) fn serving(&self) {
        if let Err(error) = self.0.send(&FromHeir::Serving, &[]) {
            tracing::warn!(%error, "the former process does not hear that it is relieved");
        }
    }

    /// Says why this process cannot take over.
    pub(crate) fn failed(&self, why: String) {
        // Whoever does not hear it sees this process end.
        let _gone = self.0.send(&FromHeir::Failed { why }, &[]);
    }
}

impl Inherited {
    /// What is the data plane's, which is taken out of it.
    pub(crate) fn traffic(&mut self) -> Inheritance {
        let health: Verdicts = self.health.iter().map(|(whose, health)| (*whose, health.verdict)).collect();
        let mut quic = Vec::new();
        for QuicRest { address, secrets, former_secrets } in std::mem::take(&mut self.quic_rest) {
            let Some(QuicDescriptors { sockets, links }) = self.quic.remove(&address) else { continue };
            let former = |(id_secret, links)| QuicFormer { id_secret, links };
            let formers = former_secrets.into_iter().zip(links).map(former).collect();
            quic.push(QuicSockets { address, descriptors: sockets, secrets, formers });
        }
        Inheritance {
            sockets: std::mem::take(&mut self.listening),
            quic,
            resumptions: std::mem::take(&mut self.resumptions),
            health,
        }
    }

    fn put(&mut self, label: Label, descriptor: OwnedFd) {
        match label {
            Label::Lock => self.lock = Some(descriptor),
            Label::Api => self.api = Some(descriptor),
            Label::Control => self.control = Some(descriptor),
            Label::Sample(address) => self.samples.push((address, descriptor)),
            Label::Tcp(address) => {
                self.listening.push(listening(Transport::Tcp, address, descriptor));
            }
            Label::Udp(address) => {
                self.listening.push(listening(Transport::Udp, address, descriptor));
            }
            Label::Flows => {
                if let Some(socket) = self.listening.last_mut() {
                    socket.links.push(descriptor);
                }
            }
            Label::Quic(address) => self.quic.entry(address).or_default().sockets.push(descriptor),
            Label::QuicFormer { address, former } => {
                let links = &mut self.quic.entry(address).or_default().links;
                if former == links.len() {
                    links.push(Vec::new());
                }
                if let Some(links) = links.get_mut(former) {
                    links.push(descriptor);
                }
            }
        }
    }
}

fn listening(transport: Transport, address: SocketAddr, descriptor: OwnedFd) -> ListeningSocket {
    ListeningSocket { transport, address, descriptor, links: Vec::new() }
}

//! The handshake of a TLS session, by rustls without buffers of its own; once it stands, the keys leave for [`super::record`].

use rustls::{
    ConnectionTrafficSecrets, Error, HandshakeKind, ProtocolVersion, SupportedCipherSuite,
    client::{ClientConnectionData, UnbufferedClientConnection},
    kernel::KernelConnection,
    server::{ServerConnectionData, UnbufferedServerConnection},
    unbuffered::{
        ConnectionState, EncodeError, EncodeTlsData, InsufficientSizeError, ReadEarlyData, UnbufferedStatus,
        WriteTraffic,
    },
};

use super::{
    held::Held,
    record::{Cursor, DATA_BYTES_MAX, Half, OVERHEAD_BYTES_MAX},
};

/// A handshake under way.
pub(super) enum Handshake {
    /// We are the server.
    Server(UnbufferedServerConnection),
    /// We are the client, of a member.
    Client(UnbufferedClientConnection),
}

/// How far a handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The peer has to say more.
    NeedsInput,
    /// It stands. `ended`: the peer has said all already.
    Complete { ended: bool },
    /// The peer ended it.
    Closed,
}

/// What a session needs once its handshake is over.
pub(super) struct Keys {
    pub(super) seal: Half,
    pub(super) open: Half,
    /// Renews keys and takes tickets; TLS 1.2 knows neither.
    pub(super) renewal: Option<Renewal>,
}

/// What makes the next keys of a session of TLS 1.3.
pub(super) enum Renewal {
    Server(Box<KernelConnection<ServerConnectionData>>),
    Client(Box<KernelConnection<ClientConnectionData>>),
}

impl Handshake {
    /// Takes what came (all that is whole leaves `incoming`), and puts what is to be said into `sealed`. Bytes of the application
    /// that came early are put into `plain`. After an error, `sealed` holds the alert that tells the peer.
    pub(super) fn advance(
        &mut self,
        incoming: &mut Vec<u8>,
        plain: &mut Held,
        sealed: &mut Held,
    ) -> Result<Progress, Error> {
        self.speak(incoming, plain, sealed, &mut Cursor::new(&[]))
    }

    /// As [`Handshake::advance`], and seals of `said` what may be said by now: all or nothing. A server may speak once its own part
    /// is said, to clients that may speak early.
    pub(super) fn speak(
        &mut self,
        incoming: &mut Vec<u8>,
        plain: &mut Held,
        sealed: &mut Held,
        said: &mut Cursor<'_, '_>,
    ) -> Result<Progress, Error> {
        match self {
            Self::Server(server) => advance(server, incoming, plain, sealed, said),
            Self::Client(client) => advance(client, incoming, plain, sealed, said),
        }
    }

    /// Version and suite of a handshake that is complete.
    pub(super) fn agreed(&self) -> Option<(ProtocolVersion, SupportedCipherSuite)> {
        match self {
            Self::Server(server) => server.protocol_version().zip(server.negotiated_cipher_suite()),
            Self::Client(client) => client.protocol_version().zip(client.negotiated_cipher_suite()),
        }
    }

    /// Whether an earlier session goes on.
    pub(super) fn is_resumed(&self) -> bool {
        let kind = match self {
            Self::Server(server) => server.handshake_kind(),
            Self::Client(client) => client.handshake_kind(),
        };
        kind == Some(HandshakeKind::Resumed)
    }

    /// The protocol that was agreed on by ALPN.
    pub(super) fn alpn(&self) -> Option<&[u8]> {
        match self {
            Self::Server(server) => server.alpn_protocol(),
            Self::Client(client) => client.alpn_protocol(),
        }
    }

    /// The peer's certificate in DER, when it showed one.
    pub(super) fn peer_certificate(&self) -> Option<&[u8]> {
        let chain = match self {
            Self::Server(server) => server.peer_certificates(),
            Self::Client(client) => client.peer_certificates(),
        };
        chain?.first().map(|leaf| leaf.as_ref())
    }

    /// The keys of a handshake that is complete.
    pub(super) fn finish(self) -> Result<Keys, Error> {
        let unfit = || Error::General("keys of an unknown kind".into());
        let Some((version, _)) = self.agreed() else { return Err(Error::HandshakeNotComplete) };
        let v13 = version == ProtocolVersion::TLSv1_3;
        let (secrets, renewal) = match self {
            Self::Server(server) => {
                let (secrets, kernel) = server.dangerous_into_kernel_connection()?;
                (secrets, Renewal::Server(Box::new(kernel)))
            }
            Self::Client(client) => {
                let (secrets, kernel) = client.dangerous_into_kernel_connection()?;
                (secrets, Renewal::Client(Box::new(kernel)))
            }
        };
        Ok(Keys {
            seal: Half::new(v13, secrets.tx.0, &secrets.tx.1).ok_or_else(unfit)?,
            open: Half::new(v13, secrets.rx.0, &secrets.rx.1).ok_or_else(unfit)?,
            renewal: v13.then_some(renewal),
        })
    }
}

impl Renewal {
    /// The next keys for what we say.
    pub(super) fn next_to_seal(&mut self) -> Option<Half> {
        let next = match self {
            Self::Server(kernel) => kernel.update_tx_secret(),
            Self::Client(kernel) => kernel.update_tx_secret(),
        };
        half(next)
    }

    /// The next keys for what the peer says.
    pub(super) fn next_to_open(&mut self) -> Option<Half> {
        let next = match self {
            Self::Server(kernel) => kernel.update_rx_secret(),
            Self::Client(kernel) => kernel.update_rx_secret(),
        };
        half(next)
    }

    /// Keeps a ticket for the next session; whether one may come here.
    pub(super) fn keep_ticket(&mut self, message: &[u8]) -> bool {
        match self {
            Self::Server(_) => false,
            Self::Client(kernel) => kernel.handle_new_session_ticket(message).is_ok(),
        }
    }
}

fn half(next: Result<(u64, ConnectionTrafficSecrets), Error>) -> Option<Half> {
    let (sequence, secrets) = next.ok()?;
    Half::new(true, sequence, &secrets)
}

/// What servers and clients have in common.
trait End {
    type Data;
    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
    fn is_handshaking(&self) -> bool;
    /// Takes bytes that came early; how many bytes of the input they leave to be discarded.
    fn early(state: ReadEarlyData<'_, '_, Self::Data>, plain: &mut Held) -> Result<usize, Error>;
}

impl End for UnbufferedServerConnection {
    type Data = ServerConnectionData;
    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }
    fn is_handshaking(&self) -> bool {
        (**self).is_handshaking()
    }
    fn early(mut state: ReadEarlyData<'_, '_, Self::Data>, plain: &mut Held) -> Result<usize, Error> {
        let mut discard = 0;
        while let Some(record) = state.next_record() {
            let record = record?;
            discard += record.discard;
            plain.extend(record.payload);
        }
        Ok(discard)
    }
}

impl End for UnbufferedClientConnection {
    type Data = ClientConnectionData;
    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }
    fn is_handshaking(&self) -> bool {
        (**self).is_handshaking()
    }
    fn early(_: ReadEarlyData<'_, '_, Self::Data>, _: &mut Held) -> Result<usize, Error> {
        // A server has no way to speak early.
        Err(Error::General("early data of a server".into()))
    }
}

fn advance<E: End>(
    end: &mut E,
    incoming: &mut Vec<u8>,
    plain: &mut Held,
    sealed: &mut Held,
    said: &mut Cursor<'_, '_>,
) -> Result<Progress, Error> {
    let mut ended = false;
    loop {
        let UnbufferedStatus { mut discard, state, .. } = end.process(incoming);
        let progress = match state {
            Err(error) => {
                say_alert(end, incoming, sealed);
                return Err(error);
            }
            Ok(ConnectionState::EncodeTlsData(mut message)) => {
                encode(&mut message, sealed)?;
                None
            }
            Ok(ConnectionState::TransmitTlsData(message)) => {
                message.done();
                None
            }
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    discard += record.discard;
                    plain.extend(record.payload);
                }
                None
            }
            Ok(ConnectionState::ReadEarlyData(early)) => {
                discard += E::early(early, plain)?;
                None
            }
            Ok(ConnectionState::BlockedHandshake) => Some(Progress::NeedsInput),
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                say(&mut traffic, sealed, said)?;
                Some(Progress::Complete { ended })
            }
            // Only a session that stands is ended in order; what it was told may be answered.
            Ok(ConnectionState::PeerClosed) if !ended => {
                ended = true;
                None
            }
            Ok(_) => Some(Progress::Closed),
        };
        incoming.drain(..discard);
        match progress {
            None => {}
            // We may speak, and the client's Finished has yet to come.
            Some(Progress::Complete { .. }) if end.is_handshaking() => return Ok(Progress::NeedsInput),
            Some(progress) => return Ok(progress),
        }
    }
}

/// Takes out the alert that follows an error. The input is the same: rustls remembers places in it. Behind the alert nothing is asked
/// any more, as rustls would look at the input again, and at what is wrong with it.
fn say_alert<E: End>(end: &mut E, incoming: &mut [u8], sealed: &mut Held) {
    loop {
        match end.process(incoming).state {
            Ok(ConnectionState::EncodeTlsData(mut message)) => {
                let before = sealed.rest().len();
                if encode(&mut message, sealed).is_err() || is_alert(&sealed.rest()[before..]) {
                    return;
                }
            }
            Ok(ConnectionState::TransmitTlsData(message)) => message.done(),
            _ => return,
        }
    }
}

/// Whether a record of ours is an alert. A sealed one of TLS 1.3 is known by its length: two bytes, their kind, and a tag.
fn is_alert(record: &[u8]) -> bool {
    matches!(record, [21, ..] | [23, _, _, 0, 19, ..])
}

/// Seals what the application says.
fn say<D>(
    traffic: &mut WriteTraffic<'_, D>,
    sealed: &mut Held,
    said: &mut Cursor<'_, '_>,
) -> Result<(), Error> {
    while said.left() > 0 {
        let mut data = vec![0; said.left().min(DATA_BYTES_MAX)];
        said.copy_into(&mut data);
        let room = data.len() + OVERHEAD_BYTES_MAX;
        let written = traffic.encrypt(&data, sealed.room_for(room));
        match written {
            Ok(written) => sealed.take_back(room - written),
            Err(error) => return Err(Error::General(error.to_string())),
        }
    }
    Ok(())
}

fn encode<D>(message: &mut EncodeTlsData<'_, D>, sealed: &mut Held) -> Result<(), Error> {
    let wanted = match message.encode(&mut []) {
        Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => required_size,
        Ok(_) | Err(EncodeError::AlreadyEncoded) => return Ok(()),
    };
    match message.encode(sealed.room_for(wanted)) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::General(error.to_string())),
    }
}

//! The access log's view of a request: what has to be remembered from its head, and what happened to it.
//!
//! Made only where a listener's load balancer has a log; what is made comes from a pool, so that a logged request allocates nothing.
//! Requests that are answered 400 are not logged (behaviour/access-log.md).

use std::{
    cell::RefCell,
    net::SocketAddr,
    rc::Rc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use model::TlsVersion;
use telemetry::access_log::{Attempt, Record, Tls};
use wire::h1::{HeaderId, RequestHead, Version};

use crate::{
    acceptor::Door, relay::Passed, service::Service, stream::Stream, sys::rtt::RoundTrip, target::Target,
};

/// What is remembered of a request.
pub(super) struct Draft {
    began: Instant,
    /// The words of the request, one behind the other, and where each ends.
    words: Vec<u8>,
    ends: [u32; WORDS],
    version: Version,
    head_bytes: u64,
    /// Bytes of the request's body that were read.
    pub(super) received: u64,
    attempts: Vec<Attempt>,
    attempt_began: Instant,
    /// The target whose members were tried last.
    target: Option<Rc<Target>>,
}

/// The words that are remembered, in this order.
#[derive(Clone, Copy)]
enum Word {
    Method,
    Host,
    Target,
    UserAgent,
    Referer,
    ForwardedFor,
}

const WORDS: usize = 6;

/// How a request ended, for its record.
pub(super) struct Ending {
    /// 499: the client was gone.
    pub(super) status: u16,
    /// Bytes sent to the client, and how many of them are the answer's head.
    pub(super) sent: u64,
    pub(super) head_sent: u64,
}

/// A record that is due when what its request became has ended.
pub(super) struct Due {
    pub(super) draft: Box<Draft>,
    pub(super) ending: Ending,
}

impl Due {
    /// With the bytes of the tunnel behind the agreement.
    pub(super) fn of_tunnel(mut self, passed: Passed) -> Self {
        self.draft.received += passed.up;
        self.ending.sent += passed.down;
        self
    }

    /// Writes it.
    pub(super) fn write(
        self,
        door: &Door,
        service: &Service,
        peer: SocketAddr,
        client: &Stream,
        rtt: &RoundTrip,
    ) {
        write(door, service, peer, client, rtt, self.draft, &self.ending);
    }
}

/// Drafts of a worker that wait for another request.
#[allow(clippy::vec_box, reason = "a draft moves between requests and pool as one pointer")]
#[derive(Default)]
pub(super) struct Drafts(RefCell<Vec<Box<Draft>>>);

/// Drafts kept, and the words that a kept one may have room for.
const KEPT_MAX: usize = 64;
const KEPT_BYTES_MAX: usize = 4096;

impl Drafts {
    /// Remembers a request whose head is whole.
    pub(super) fn begin(&self, head: &RequestHead<'_>) -> Box<Draft> {
        let now = Instant::now();
        let mut draft = self.0.borrow_mut().pop().unwrap_or_else(|| {
            Box::new(Draft {
                began: now,
                words: Vec::new(),
                ends: [0; WORDS],
                version: Version::Http11,
                head_bytes: 0,
                received: 0,
                attempts: Vec::new(),
                attempt_began: now,
                target: None,
            })
        });
        draft.began = now;
        draft.version = head.version();
        draft.head_bytes = head.len() as u64;
        draft.received = 0;
        let host = head.host();
        let first = |id| head.header(id).unwrap_or_default();
        for (word, text) in [
            (Word::Method, head.method().as_bytes()),
            (Word::Host, host.as_ref().map_or(&b""[..], |host| host.as_bytes())),
            (Word::Target, head.path_and_query()),
            (Word::UserAgent, first(HeaderId::USER_AGENT)),
            (Word::Referer, first(HeaderId::REFERER)),
            (Word::ForwardedFor, first(HeaderId::X_FORWARDED_FOR)),
        ] {
            draft.words.extend_from_slice(text);
            // A head is shorter than 16 MiB.
            draft.ends[word as usize] = draft.words.len() as u32;
        }
        draft
    }

    fn give_back(&self, mut draft: Box<Draft>) {
        draft.target = None;
        let mut kept = self.0.borrow_mut();
        if kept.len() < KEPT_MAX && draft.words.capacity() <= KEPT_BYTES_MAX {
            draft.words.clear();
            draft.attempts.clear();
            kept.push(draft);
        }
    }
}

impl Draft {
    fn word(&self, word: Word) -> &[u8] {
        let from = (word as usize).checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        &self.words[from..self.ends[word as usize] as usize]
    }

    /// A member is given the request.
    pub(super) fn attempt(&mut self, target: &Rc<Target>, member: SocketAddr) {
        self.target = Some(target.clone());
        self.attempt_began = Instant::now();
        self.attempts.push(Attempt {
            member,
            status: 0,
            connect_millis: 0,
            header_millis: None,
            response_millis: 0,
        });
    }

    /// The connection to the member stands.
    pub(super) fn connected(&mut self) {
        let millis = self.attempt_millis();
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.connect_millis = millis;
        }
    }

    /// The head of the member's answer came.
    pub(super) fn answered(&mut self, status: u16) {
        let millis = self.attempt_millis();
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.status = status;
            attempt.header_millis = Some(millis);
        }
    }

    /// The attempt is over; one without an answer gets the status that stands for what went wrong.
    pub(super) fn over(&mut self, status: u16) {
        let millis = self.attempt_millis();
        if let Some(attempt) = self.attempts.last_mut().filter(|attempt| attempt.response_millis == 0) {
            attempt.response_millis = millis;
            if attempt.status == 0 {
                attempt.status = status;
            }
        }
    }

    fn attempt_millis(&self) -> u32 {
        millis(self.attempt_began)
    }
}

fn millis(since: Instant) -> u32 {
    u32::try_from(since.elapsed().as_millis()).unwrap_or(u32::MAX)
}

/// Writes the record of a request that has ended.
pub(super) fn write(
    door: &Door,
    service: &Service,
    peer: SocketAddr,
    client: &Stream,
    rtt: &RoundTrip,
    mut draft: Box<Draft>,
    ending: &Ending,
) {
    let worker = &*door.worker;
    draft.over(ending.status);
    if let (Some(log), Some(http)) = (&service.plan.access_log, service.plan.http())
        && ending.status != NOT_LOGGED
    {
        let word = |word| Some(draft.word(word)).filter(|text: &&[u8]| !text.is_empty());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let record = Record {
            now_millis: u64::try_from(now.as_millis()).unwrap_or_default(),
            topic: &log.topic,
            client: peer,
            status: ending.status,
            method: draft.word(Word::Method),
            scheme: http.scheme.as_str(),
            host: draft.word(Word::Host),
            target: draft.word(Word::Target),
            version: client.http_version().unwrap_or(match draft.version {
                Version::Http10 => "HTTP/1.0",
                Version::Http11 => "HTTP/1.1",
            }),
            request_bytes: draft.head_bytes + draft.received,
            request_head_bytes: draft.head_bytes,
            sent_bytes: ending.sent,
            sent_body_bytes: ending.sent.saturating_sub(ending.head_sent),
            took_millis: millis(draft.began).into(),
            attempts: &draft.attempts,
            user_agent: word(Word::UserAgent),
            referer: word(Word::Referer),
            forwarded_for: word(Word::ForwardedFor),
            load_balancer: service.plan.load_balancer,
            listener: service.plan.id,
            pool: draft.target.as_ref().map(|target| target.id().pool),
            pool_name: draft.target.as_ref().map_or("", |target| target.shared.plan.pool_name.as_str()),
            project: service.plan.project,
            reached: door.address,
            tls: client.client_tls().map(|tls| Tls {
                version: tls.facts.version.map_or("", TlsVersion::as_str),
                cipher: tls.facts.suite,
                sni: tls.facts.server_name.as_deref(),
            }),
            rtt_micros: rtt.micros(worker.table.now(), || client.rtt_micros()),
        };
        worker.access_log.borrow_mut().write(&record);
    }
    worker.http.drafts.give_back(draft);
}

/// Answers to requests that were no HTTP.
const NOT_LOGGED: u16 = 400;

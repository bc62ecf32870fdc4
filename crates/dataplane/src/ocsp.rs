//! OCSP stapling: one thread that asks for what handshakes staple.
//!
//! Each certificate that is shown and names a responder has a task: it asks, gives what it may believe to the certificate
//! ([`ShownCertificate::set_staple`]), and comes again at half of the answer's life ([`Course`]). A staple is taken off before it
//! ends. Nothing waits for it: handshakes go on with the staple that is there, or with none.
//!
//! A revoked certificate's answer is stapled, too: it is true, and clients that ask should hear it. `wire::ocsp` says what is believed.
//!
//! What it does not do: staples live in memory only; there is one for the leaf, none for the chain above it (RFC 6961 is not served).

mod course;
mod fetch;

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    io,
    pin::pin,
    rc::Rc,
    sync::{Arc, Weak},
    thread,
    time::Duration,
};

use model::{CertificateId, Timestamp};
use telemetry::{CertificateCounters, Registry};
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::{Semaphore, mpsc},
    task::AbortHandle,
};
use wire::ocsp::{AnswerFault, CertificateStatus, Responder, Statement, Subject};

use crate::{
    config::OcspStapling,
    tls::{ShownCertificate, ShownChange},
};
use course::Course;
use fetch::FetchFault;

/// Responders that are asked at a time; more wait, so that many dead ones take neither all descriptors nor all threads that look up
/// names.
const UNDER_WAY_MAX: usize = 32;

/// Threads that look up names: some may hang on after their time is over.
const LOOKUPS_MAX: usize = 2 * UNDER_WAY_MAX;

/// How long a task sleeps at most: clocks are set, and machines sleep.
const SLEEP_MAX: Duration = Duration::from_secs(300);

/// Starts the thread; it wants to be told of what is shown.
pub(crate) fn start(
    settings: OcspStapling,
    registry: Registry,
    now: fn() -> Timestamp,
) -> io::Result<mpsc::UnboundedSender<ShownChange>> {
    let (told, news) = mpsc::unbounded_channel();
    let (ready, started) = std::sync::mpsc::sync_channel(1);
    thread::Builder::new().name("ocsp".to_owned()).spawn(move || {
        match Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(LOOKUPS_MAX)
            .build_local(LocalOptions::default())
        {
            Err(error) => drop(ready.send(Err(error))),
            Ok(runtime) => {
                // The one who waits for this is gone only when the whole data plane is.
                let _ = ready.send(Ok(()));
                let permits = Semaphore::new(UNDER_WAY_MAX);
                let shared = Rc::new(Shared { settings, now, permits });
                let (tasks, newest) = (HashMap::new(), HashMap::new());
                runtime.block_on(Stapler { shared, registry, tasks, newest }.run(news));
            }
        }
    })?;
    started.recv().map_err(|_| io::Error::other("the thread for OCSP ended before it began"))??;
    Ok(told)
}

struct Stapler {
    shared: Rc<Shared>,
    registry: Registry,
    /// By the number of the certificate. No task: it cannot be asked about.
    tasks: HashMap<u64, (CertificateId, Option<AbortHandle>)>,
    /// The number of the newest certificate of an id: its staple is the one that metrics tell of.
    newest: HashMap<CertificateId, u64>,
}

struct Shared {
    settings: OcspStapling,
    now: fn() -> Timestamp,
    permits: Semaphore,
}

impl Stapler {
    async fn run(mut self, mut news: mpsc::UnboundedReceiver<ShownChange>) {
        while let Some(change) = news.recv().await {
            match change {
                ShownChange::Begun(certificate) => self.begin(certificate),
                ShownChange::Ended(number) => self.end(number),
            }
        }
    }

    fn begin(&mut self, certificate: Weak<ShownCertificate>) {
        let Some(shown) = certificate.upgrade() else { return };
        let (id, number) = (shown.id(), shown.number());
        // What is counted of its predecessor is shown no more.
        self.registry.certificate_gone(id);
        self.newest.remove(&id);
        let task = match Subject::of(shown.chain_der()) {
            Ok(None) => return,
            Ok(Some(subject)) => {
                let counters = self.registry.certificate(id);
                let task = Task { shared: self.shared.clone(), certificate, id, subject, counters };
                Some(tokio::task::spawn_local(task.run()).abort_handle())
            }
            Err(fault) => {
                tracing::warn!(
                    certificate = id.simple(),
                    reason = fault.code(),
                    "no OCSP answer can be stapled: {fault}"
                );
                self.registry.certificate(id).ocsp_failures.inc();
                None
            }
        };
        self.newest.insert(id, number);
        self.tasks.insert(number, (id, task));
    }

    fn end(&mut self, number: u64) {
        let Some((id, task)) = self.tasks.remove(&number) else { return };
        if let Some(task) = task {
            task.abort();
        }
        if self.newest.get(&id) == Some(&number) {
            self.newest.remove(&id);
            self.registry.certificate_gone(id);
        }
    }
}

/// The stapling of one certificate.
struct Task {
    shared: Rc<Shared>,
    certificate: Weak<ShownCertificate>,
    id: CertificateId,
    subject: Subject,
    counters: Arc<CertificateCounters>,
}

/// Why there is no new staple.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Fetch(#[from] FetchFault),
    #[error(transparent)]
    Answer(#[from] AnswerFault),
}

impl Fault {
    fn code(&self) -> &'static str {
        match self {
            Self::Fetch(fault) => fault.code(),
            Self::Answer(fault) => fault.code(),
        }
    }
}

impl Task {
    /// Ends when the certificate is shown no more; then it is aborted, or finds out by itself.
    async fn run(self) -> Option<()> {
        let mut course = self.begin()?;
        // Each change of the state of things is told once.
        let mut told = GOOD;
        loop {
            let next_try = course.next_try();
            self.meanwhile(&mut course, self.sleep_until(next_try)).await?;
            told = match self.meanwhile(&mut course, self.ask()).await? {
                Ok((answer, statement)) => {
                    self.set(Some(answer), Some(statement))?;
                    course.succeeded(self.now(), &statement, random());
                    self.tell_success(told, statement.status)
                }
                Err((responder, fault)) => {
                    self.counters.ocsp_failures.inc();
                    course.failed(self.now(), random());
                    if fault.code() != told {
                        tracing::warn!(
                            certificate = self.id.simple(),
                            %responder,
                            reason = fault.code(),
                            "no new OCSP answer to staple: {fault}"
                        );
                    }
                    fault.code()
                }
            };
        }
    }

    /// Waits for something; a staple that ends meanwhile is taken off. None: the certificate is shown no more.
    async fn meanwhile<T>(&self, course: &mut Course, something: impl Future<Output = T>) -> Option<T> {
        let mut something = pin!(something);
        loop {
            if course.has_lapsed(self.now()) {
                tracing::warn!(
                    certificate = self.id.simple(),
                    "the OCSP answer ends without a new one: none is stapled"
                );
                course.take_off();
                self.set(None, None)?;
            }
            let Some(lapses) = course.lapses() else { return Some(something.await) };
            tokio::select! {
                done = &mut something => return Some(done),
                () = self.sleep_until(lapses) => {}
            }
        }
    }

    /// Until the clock shows that second, however it is set meanwhile.
    async fn sleep_until(&self, when: i64) {
        while self.now() < when {
            let wait = Duration::from_secs(u64::try_from(when - self.now()).unwrap_or(0));
            tokio::time::sleep(wait.clamp(SLEEP_MIN, SLEEP_MAX)).await;
        }
    }

    /// What is to be known of an answer that was stapled, and is new; the state that was told.
    fn tell_success(&self, told: &'static str, status: CertificateStatus) -> &'static str {
        let state = match status {
            CertificateStatus::Good => GOOD,
            CertificateStatus::Revoked => REVOKED,
        };
        if state == told {
            return state;
        }
        let certificate = self.id.simple();
        match status {
            CertificateStatus::Good => tracing::info!(certificate, "an OCSP answer is stapled again"),
            CertificateStatus::Revoked => tracing::warn!(
                certificate,
                reason = REVOKED,
                "the certificate is revoked, and its OCSP answer says so to clients; replace it"
            ),
        }
        state
    }

    /// Begins with the staple that the certificate has from its predecessor; none: it is shown no more.
    fn begin(&self) -> Option<Course> {
        let mut course = Course::new(self.now());
        let former = self.certificate.upgrade()?.key().ocsp.clone();
        if let Some(former) = former {
            match self.subject.check(&former, self.now()) {
                Ok(statement) => {
                    course.succeeded(self.now(), &statement, random());
                    self.set(Some(former), Some(statement))?;
                }
                Err(_) => self.set(None, None)?,
            }
        }
        Some(course)
    }

    /// The first answer that can be believed, or what was wrong with the last.
    async fn ask(&self) -> Result<(Vec<u8>, Statement), (&Responder, Fault)> {
        // The semaphore is never closed.
        let _permit = self.shared.permits.acquire().await;
        let request = self.subject.request();
        let mut last = None;
        for responder in self.subject.responders() {
            let fetched = fetch::fetch(responder, &request, self.shared.settings.local_responders).await;
            let checked = fetched.map_err(Fault::from).and_then(|answer| {
                let statement = self.subject.check(&answer, self.now())?;
                Ok((answer, statement))
            });
            match checked {
                Ok(good) => return Ok(good),
                Err(fault) => last = Some((responder, fault)),
            }
        }
        Err(last.expect("a subject has a responder"))
    }

    /// Staples, or stops to; none: the certificate is shown no more.
    fn set(&self, staple: Option<Vec<u8>>, statement: Option<Statement>) -> Option<()> {
        let certificate = self.certificate.upgrade()?;
        certificate.set_staple(staple);
        let until = statement.and_then(|statement| u64::try_from(statement.valid_until).ok());
        self.counters.ocsp_valid_until.set(until.unwrap_or(0));
        Some(())
    }

    /// Seconds of Unix time.
    fn now(&self) -> i64 {
        (self.shared.now)().seconds()
    }
}

/// States that are no failures; the others are codes of [`Fault`].
const GOOD: &str = "";
const REVOKED: &str = "ocsp_revoked";

const SLEEP_MIN: Duration = Duration::from_millis(500);

fn random() -> u64 {
    RandomState::new().hash_one(0)
}

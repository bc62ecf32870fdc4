//! `DATA/control.sock`: how `fulcrum upgrade` speaks to the running process. One line of JSON each way.
//!
//! Only the owner of the data directory gets through to it. The socket outlives the process: an heir inherits it.

use std::{
    fs, io,
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::os::fd::AsRawFd;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    sync::mpsc,
};

use crate::{cli, say};

/// The name in the data directory.
const NAME: &str = "control.sock";

/// The longest request, bytes.
const REQUEST_MAX: u64 = 64 * 1024;

/// How long a client may take to ask, and to take its answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long an upgrade may take: the longest `upgrade.ready_s`, and what comes behind it.
const UPGRADE_WITHIN: Duration = Duration::from_secs(660);

/// The longest path of a Unix socket (unix(7)), less its final zero.
const PATH_MAX: usize = 107;

/// What can be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
enum Request {
    /// Give the place to this binary; none: to the one that the process was started from.
    Upgrade { binary: Option<PathBuf> },
}

/// What comes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Answer {
    /// It is done, in words.
    Done(String),
    /// It is not done, and why.
    Failed(String),
}

/// Somebody who asks for an upgrade and waits for the answer.
pub(crate) struct Ask {
    /// The binary to start, unless it is this process' own.
    pub(crate) binary: Option<PathBuf>,
    client: Option<tokio::net::UnixStream>,
}

impl Ask {
    /// Nobody waits for the answer.
    pub(crate) fn by_signal() -> Self {
        Self { binary: None, client: None }
    }

    /// Answers.
    pub(crate) async fn answer(self, done: Result<String, String>) {
        let answer = done.map_or_else(Answer::Failed, Answer::Done);
        if let Some(client) = self.client {
            write(client, &answer).await;
        }
    }
}

/// The socket of a data directory that this process has locked.
pub(crate) fn bind(data: &Path) -> anyhow::Result<UnixListener> {
    let path = data.join(NAME);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("{} is in the way", path.display()));
        }
        _ => {}
    }
    let bound = at_short_path(data, UnixListener::bind);
    let socket = bound.with_context(|| format!("{} cannot be made", path.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    Ok(socket)
}

/// Takes requests in, one connection after another, and passes those for upgrades on.
pub(crate) async fn serve(socket: UnixListener, asks: mpsc::Sender<Ask>) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    let socket = tokio::net::UnixListener::from_std(socket)?;
    loop {
        let (client, _) = socket.accept().await?;
        let mut reader = BufReader::new(client);
        let mut line = String::new();
        let read = (&mut reader).take(REQUEST_MAX);
        let mut read = read;
        let asked = tokio::time::timeout(PATIENCE, read.read_line(&mut line)).await;
        let client = reader.into_inner();
        match (asked, serde_json::from_str(&line)) {
            (Ok(Ok(_)), Ok(Request::Upgrade { binary })) => {
                let ask = Ask { binary, client: Some(client) };
                if let Err(mpsc::error::TrySendError::Full(ask) | mpsc::error::TrySendError::Closed(ask)) =
                    asks.try_send(ask)
                {
                    ask.answer(Err("an upgrade is under way already".to_owned())).await;
                }
            }
            (_, Err(error)) => write(client, &Answer::Failed(format!("this is no request: {error}"))).await,
            (Err(_) | Ok(Err(_)), _) => {}
        }
    }
}

async fn write(mut client: tokio::net::UnixStream, answer: &Answer) {
    let mut line = serde_json::to_vec(answer).unwrap_or_default();
    line.push(b'\n');
    // Whoever asked may be gone.
    let _ = tokio::time::timeout(PATIENCE, client.write_all(&line)).await;
}

/// `fulcrum upgrade`.
pub(crate) fn upgrade(options: &cli::Upgrade) -> anyhow::Result<()> {
    let client = at_short_path(&options.data, UnixStream::connect);
    let client = client.with_context(|| {
        format!(
            "no process of Fulcrum is reached in {}; name its data directory with --data",
            options.data.display()
        )
    })?;
    client.set_read_timeout(Some(UPGRADE_WITHIN))?;
    let binary = options.binary.as_ref().map(std::path::absolute).transpose()?;
    let mut request = serde_json::to_vec(&Request::Upgrade { binary })?;
    request.push(b'\n');
    io::Write::write_all(&mut &client, &request)?;
    let mut line = String::new();
    io::BufRead::read_line(&mut io::BufReader::new(&client), &mut line)
        .context("the running process does not answer")?;
    if line.is_empty() {
        bail!("the running process ended without an answer; its log says why");
    }
    match serde_json::from_str(&line)? {
        Answer::Done(words) => say(&format!("fulcrum: {words}")),
        Answer::Failed(why) => bail!("not upgraded, the old process serves on: {why}"),
    }
}

/// Does something at the socket's path, or at a short way to it where the path is too long for a socket.
fn at_short_path<T>(data: &Path, with: impl FnOnce(PathBuf) -> io::Result<T>) -> io::Result<T> {
    let path = data.join(NAME);
    if path.as_os_str().len() <= PATH_MAX {
        return with(path);
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(data, flags, Mode::empty())?;
    with(PathBuf::from(format!("/proc/self/fd/{}/{NAME}", directory.as_raw_fd())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a process that answers so tells, and the word for it.
    async fn ask(
        data: &Path,
        binary: Option<PathBuf>,
        answer: Result<&str, &str>,
    ) -> (Option<PathBuf>, String) {
        let socket = bind(data).unwrap();
        let (asks, mut asked) = mpsc::channel(1);
        let server = tokio::spawn(serve(socket, asks));
        let options = cli::Upgrade { data: data.to_owned(), binary };
        let client = tokio::task::spawn_blocking(move || upgrade(&options));
        let ask = asked.recv().await.unwrap();
        let binary = ask.binary.clone();
        ask.answer(answer.map(str::to_owned).map_err(str::to_owned)).await;
        let done = client.await.unwrap();
        server.abort();
        (binary, done.map_or_else(|error| error.to_string(), |()| "done".to_owned()))
    }

    #[tokio::test]
    async fn an_upgrade_is_asked_for_and_answered_also_at_a_long_path() {
        let place = tempfile::tempdir().unwrap();
        let long = place.path().join("x".repeat(120));
        fs::create_dir(&long).unwrap();
        for data in [place.path(), &long] {
            let (binary, done) = ask(data, Some("/new/one".into()), Ok("upgraded")).await;
            assert_eq!((binary, done.as_str()), (Some("/new/one".into()), "done"));
            let (binary, done) = ask(data, None, Err("it is Sunday")).await;
            assert!(binary.is_none() && done.contains("serves on: it is Sunday"), "{done}");
            assert_eq!(fs::metadata(data.join(NAME)).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn without_a_process_the_directory_is_named() {
        let place = tempfile::tempdir().unwrap();
        let options = cli::Upgrade { data: place.path().to_owned(), binary: None };
        let told = upgrade(&options).unwrap_err().to_string();
        assert!(told.contains(place.path().to_str().unwrap()), "{told}");
    }
}

//! A PostgreSQL server of our own, in a temporary directory, from Debian's package.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{Connection, Executor, Row};

/// The URL of a new, empty database.
pub(crate) fn fresh_database() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    static SERVER: OnceLock<Server> = OnceLock::new();
    let server = SERVER.get_or_init(Server::start);
    let name = format!("test{}", NEXT.fetch_add(1, Ordering::Relaxed));
    server.run("createdb", &["-h", &server.socket_dir(), "-p", PORT, "-U", "fulcrum", &name]);
    format!("postgres://fulcrum@localhost:{PORT}/{name}?host={}", server.socket_dir().replace('/', "%2F"))
}

/// All stored bodies, as they lie in the table.
pub(crate) async fn dump_objects(url: &str) -> String {
    let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
    let rows = connection.fetch_all("SELECT body FROM objects").await.unwrap();
    assert!(!rows.is_empty());
    rows.iter().map(|row| row.get::<String, _>(0)).collect()
}

/// Names the socket file; nothing listens on TCP.
const PORT: &str = "5432";

struct Server {
    dir: tempfile::TempDir,
    bin: PathBuf,
    _process: Child,
}

impl Server {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bin = binaries();
        // The server refuses to run as root; Debian's package made the user that it runs as.
        Command::new("chown").arg("postgres").arg(dir.path()).status().unwrap();
        let data = dir.path().join("data");
        let made = as_postgres(&bin.join("initdb"))
            .args(["-U", "fulcrum", "--auth=trust", "--no-sync", "-D"])
            .arg(&data)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success(), "initdb failed");
        let process = as_postgres(&bin.join("postgres"))
            .args([
                "-c",
                "listen_addresses=",
                "-c",
                "fsync=off",
                "-c",
                "max_connections=200",
                "-p",
                PORT,
                "-k",
            ])
            .arg(dir.path())
            .arg("-D")
            .arg(&data)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        end_with_us(process.id(), &data);
        let server = Self { dir, bin, _process: process };
        let deadline = Instant::now() + Duration::from_secs(30);
        while !server.try_run("pg_isready", &["-q", "-h", &server.socket_dir(), "-p", PORT]) {
            assert!(Instant::now() < deadline, "PostgreSQL does not answer");
        }
        server
    }

    fn socket_dir(&self) -> String {
        self.dir.path().display().to_string()
    }

    fn try_run(&self, program: &str, arguments: &[&str]) -> bool {
        as_postgres(&self.bin.join(program)).args(arguments).status().unwrap().success()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        assert!(self.try_run(program, arguments), "{program} failed");
    }
}

/// Debian keeps the server's programs out of the path, by version.
fn binaries() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions
        .map(|version| version.path().join("bin"))
        .filter(|bin| bin.join("initdb").exists())
        .max()
        .expect("PostgreSQL is not installed; run: apt-get install postgresql")
}

fn as_postgres(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"])
        .arg(program)
        .current_dir("/");
    command
}

/// The server lives as long as this test process, which has no exit hook: a shell waits for our end and stops the server.
fn end_with_us(server: u32, data: &Path) {
    let wait_and_stop = format!(
        "(while kill -0 {us} 2>/dev/null; do sleep 0.2; done; kill -INT {server}; sleep 1; rm -rf {dir}) </dev/null >/dev/null 2>&1 &",
        us = std::process::id(),
        dir = data.parent().unwrap().display(),
    );
    let begun = Command::new("setsid").args(["sh", "-c", &wait_and_stop]).status().unwrap();
    assert!(begun.success());
}

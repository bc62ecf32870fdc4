//! The writer thread and its files.

use std::{
    collections::HashMap,
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use model::LoadBalancerId;

use super::lane::{Lane, Lines};

/// When a log file is put aside and how many are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// A file is put aside before it grows beyond so many bytes.
    pub bytes_max: u64,
    /// Files kept beside the one in use: `.log.1` is the youngest. 0: none.
    pub kept: u32,
}

impl Default for Rotation {
    /// 64 MiB, and eight older files.
    fn default() -> Self {
        Self { bytes_max: 64 << 20, kept: 8 }
    }
}

/// The access logs of this process. Clones share one writer.
#[derive(Clone)]
pub struct AccessLogs {
    to: Option<SyncSender<Message>>,
    dropped: Arc<AtomicU64>,
}

/// What goes to the writer.
pub(super) enum Message {
    /// To be appended.
    Lines(Lines),
    /// To be answered when all before was written.
    Sync(SyncSender<()>),
}

impl fmt::Debug for AccessLogs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLogs").field("dropped", &self.dropped()).finish_non_exhaustive()
    }
}

impl Default for AccessLogs {
    /// Logs that go nowhere.
    fn default() -> Self {
        Self::nowhere()
    }
}

/// Buffers that may wait for the disk, of at most 64 KiB and one line each.
const QUEUE_BUFFERS: usize = 256;

impl AccessLogs {
    /// Starts the writer, which makes the directory when something is written.
    pub fn start(directory: PathBuf, rotation: Rotation) -> io::Result<Self> {
        let (to, queue) = sync_channel(QUEUE_BUFFERS);
        let dropped = Arc::new(AtomicU64::new(0));
        let files =
            Files { directory, rotation, open: HashMap::new(), dropped: dropped.clone(), failing: false };
        thread::Builder::new().name("access-log".to_owned()).spawn(move || files.write_all_of(&queue))?;
        Ok(Self { to: Some(to), dropped })
    }

    /// Logs that go nowhere: every record counts as dropped.
    pub fn nowhere() -> Self {
        Self { to: None, dropped: Arc::default() }
    }

    /// The end of a worker.
    pub fn lane(&self) -> Lane {
        Lane::new(self.to.clone(), self.dropped.clone())
    }

    /// Records that were dropped, because the disk was too slow or refused.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Waits until all that lanes have sent so far is written. Blocks.
    pub fn sync(&self) {
        let (done, written) = sync_channel(1);
        if let Some(to) = &self.to
            && to.send(Message::Sync(done)).is_ok()
        {
            // A writer that is gone has nothing left to write.
            let _gone = written.recv();
        }
    }
}

struct Files {
    directory: PathBuf,
    rotation: Rotation,
    open: HashMap<LoadBalancerId, Log>,
    dropped: Arc<AtomicU64>,
    /// The last write failed, which was told.
    failing: bool,
}

/// A file in use.
struct Log {
    file: File,
    bytes: u64,
}

/// Open files at a time; above, all are closed and opened again as needed.
const FILES_OPEN_MAX: usize = 256;

impl Files {
    fn write_all_of(mut self, queue: &Receiver<Message>) {
        while let Ok(message) = queue.recv() {
            let lines = match message {
                Message::Lines(lines) => lines,
                Message::Sync(done) => {
                    // Whoever asked may have stopped waiting.
                    let _gone = done.send(());
                    continue;
                }
            };
            match self.append(&lines) {
                Ok(()) => self.failing = false,
                Err(error) => {
                    self.open.remove(&lines.load_balancer);
                    self.dropped.fetch_add(lines.count, Relaxed);
                    if !std::mem::replace(&mut self.failing, true) {
                        let directory = self.directory.display();
                        tracing::error!(%directory, %error, "an access log cannot be written; records are dropped until it can");
                    }
                }
            }
        }
    }

    fn append(&mut self, lines: &Lines) -> io::Result<()> {
        let path = self.directory.join(format!("{}.log", lines.load_balancer));
        let more = lines.text.len() as u64;
        let full =
            self.open.get(&lines.load_balancer).is_some_and(|log| log.bytes + more > self.rotation.bytes_max);
        if full && let Some(log) = self.open.remove(&lines.load_balancer) {
            // During an upgrade two processes write, and the other one may have put the file aside already.
            if is_at(&log.file, &path)? {
                rotate(&path, self.rotation.kept)?;
            }
        }
        if !self.open.contains_key(&lines.load_balancer) {
            if self.open.len() >= FILES_OPEN_MAX {
                self.open.clear();
            }
            let log = self.open_log(&path, more)?;
            self.open.insert(lines.load_balancer, log);
        }
        let Some(log) = self.open.get_mut(&lines.load_balancer) else { return Ok(()) };
        log.file.write_all(&lines.text)?;
        log.bytes += more;
        Ok(())
    }

    fn open_log(&self, path: &Path, more: u64) -> io::Result<Log> {
        fs::create_dir_all(&self.directory)?;
        let open = || OpenOptions::new().create(true).append(true).open(path);
        let mut file = open()?;
        let mut bytes = file.metadata()?.len();
        if bytes > 0 && bytes + more > self.rotation.bytes_max {
            rotate(path, self.rotation.kept)?;
            file = open()?;
            bytes = 0;
        }
        Ok(Log { file, bytes })
    }
}

/// Whether an open file is the one that the path leads to.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let open = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((open.dev(), open.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// `x.log` becomes `x.log.1`, that becomes `x.log.2`, and so on; the oldest goes.
fn rotate(path: &Path, kept: u32) -> io::Result<()> {
    let aged = |age: u32| PathBuf::from(format!("{}.{age}", path.display()));
    let there = |result: io::Result<()>| match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    if kept == 0 {
        return there(fs::remove_file(path));
    }
    for age in (1..kept).rev() {
        there(fs::rename(aged(age), aged(age + 1)))?;
    }
    there(fs::rename(path, aged(1)))
}

#[cfg(test)]
mod tests {
    use super::{super::record::tests::record, *};

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn every_record_is_in_the_file_of_its_load_balancer_once_all_ended() {
        let dir = tempfile::tempdir().unwrap();
        let logs = AccessLogs::start(dir.path().join("logs"), Rotation::default()).unwrap();
        let ids = [1, 2].map(|n| LoadBalancerId::new(uuid::Uuid::from_u128(n)));
        let mut lanes = [logs.lane(), logs.lane()];
        for turn in 0..500 {
            for id in ids {
                lanes[turn % 2].write(&super::super::Record { load_balancer: id, ..record() });
            }
        }
        drop(lanes);
        assert_eq!(logs.dropped(), 0);
        logs.sync();
        for id in ids {
            let text = read(&dir.path().join(format!("logs/{id}.log")));
            assert_eq!(text.lines().count(), 500);
            assert!(text.lines().all(|line| line.contains(&format!("loadbalancer_{id}"))));
        }
    }

    #[test]
    fn a_full_file_is_put_aside_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let rotation = Rotation { bytes_max: 3000, kept: 2 };
        let logs = AccessLogs::start(dir.path().to_owned(), rotation).unwrap();
        for turn in 0..40_u16 {
            let mut lane = logs.lane();
            lane.write(&super::super::Record { status: 200 + turn, ..record() });
        }
        let path = dir.path().join(format!("{}.log", record().load_balancer));
        logs.sync();
        let newest = read(&path);
        let older = read(&dir.path().join(format!("{}.log.1", record().load_balancer)));
        let oldest = read(&dir.path().join(format!("{}.log.2", record().load_balancer)));
        assert!(
            newest.contains(" 239 ") && !older.contains(" 239 "),
            "the newest record is in the file in use"
        );
        for text in [&newest, &older, &oldest] {
            assert!(!text.is_empty() && text.len() <= 3000, "{} bytes", text.len());
            assert!(text.ends_with('\n') && text.lines().all(|line| line.ends_with("\"-\"")), "whole lines");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn two_processes_that_write_put_each_file_aside_once() {
        let dir = tempfile::tempdir().unwrap();
        let rotation = Rotation { bytes_max: 3000, kept: 100 };
        let writers = [0, 1].map(|_| AccessLogs::start(dir.path().to_owned(), rotation).unwrap());
        for turn in 0..200_u16 {
            let logs = &writers[usize::from(turn) % 2];
            logs.lane().write(&super::super::Record { status: 200 + turn, ..record() });
            logs.sync();
        }
        let files = fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().path());
        let texts: Vec<String> = files.map(|path| read(&path)).collect();
        let written: usize = texts.iter().map(|text| text.lines().count()).sum();
        assert_eq!(written, 200, "no record is lost");
        let bytes: usize = texts.iter().map(String::len).sum();
        assert!(texts.len() <= bytes / 1500 + 2, "{} files for {bytes} bytes", texts.len());
    }

    #[test]
    fn a_disk_that_refuses_costs_records_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("logs"), "a file where the directory should be").unwrap();
        let logs = AccessLogs::start(dir.path().join("logs"), Rotation::default()).unwrap();
        let mut lane = logs.lane();
        lane.write(&record());
        drop(lane);
        logs.sync();
        assert_eq!(logs.dropped(), 1);
    }
}

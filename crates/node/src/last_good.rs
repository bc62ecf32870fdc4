//! The last good plan on disk: written atomically, checked when read.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use model::{Snapshot, snapshot::DataPlaneSnapshot};
use sha2::{Digest, Sha256};

/// A directory that holds the last good plan.
#[derive(Clone, Debug)]
pub struct LastGood {
    dir: PathBuf,
}

impl LastGood {
    /// Uses a directory, which is made when something is saved.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// What was saved last; none: nothing was.
    pub fn load(&self) -> Result<Option<Snapshot>, LastGoodError> {
        let path = self.path();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(LastGoodError::File { path, source }),
        };
        let (header, body) = match bytes.iter().position(|&byte| byte == b'\n') {
            Some(end) => (&bytes[..end], &bytes[end + 1..]),
            None => return Err(LastGoodError::Damaged { path }),
        };
        if header != self::header(body).trim_end().as_bytes() {
            return Err(LastGoodError::Damaged { path });
        }
        match serde_json::from_slice::<DataPlaneSnapshot>(body) {
            Ok(saved) => Ok(Some(saved.into())),
            Err(source) => Err(LastGoodError::Unreadable { path, source }),
        }
    }

    /// Replaces what was saved. When this answers, the new one survives a crash; a crash before leaves the old one whole.
    pub fn save(&self, snapshot: &Snapshot) -> Result<(), LastGoodError> {
        let path = self.path();
        let failed = |source| LastGoodError::File { path: path.clone(), source };
        let body = serde_json::to_vec(&DataPlaneSnapshot::from(snapshot))
            .map_err(|source| LastGoodError::Unreadable { path: path.clone(), source })?;
        fs::create_dir_all(&self.dir).map_err(failed)?;
        let beside = self.dir.join("last-good-plan.new");
        let write = || -> io::Result<()> {
            let mut file = File::create(&beside)?;
            file.write_all(header(&body).as_bytes())?;
            file.write_all(&body)?;
            file.sync_all()?;
            fs::rename(&beside, &path)?;
            sync_dir(&self.dir)
        };
        write().map_err(failed)
    }

    fn path(&self) -> PathBuf {
        self.dir.join("last-good-plan")
    }
}

/// Why the last good plan could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LastGoodError {
    /// The file system refused.
    #[error("cannot read or write {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The checksum does not fit.
    #[error("{} is damaged: its checksum does not fit", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The content is not ours, or of a newer version.
    #[error("{} cannot be read; was it written by a newer version?", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

/// The first line: what it is, the version of the form, the checksum of the rest.
fn header(body: &[u8]) -> String {
    format!("fulcrum-last-good 1 {}\n", hex::encode(Sha256::digest(body)))
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Revision;

    fn snapshot(revision: u64) -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.revision = Revision(revision);
        snapshot
    }

    #[test]
    fn what_was_saved_last_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let last_good = LastGood::new(dir.path().join("plan"));
        assert!(last_good.load().unwrap().is_none(), "nothing was saved");
        for revision in [1, 2] {
            last_good.save(&snapshot(revision)).unwrap();
            assert_eq!(last_good.load().unwrap().unwrap().revision, Revision(revision));
        }
    }

    #[test]
    fn a_damaged_file_is_told_and_not_served() {
        let dir = tempfile::tempdir().unwrap();
        let last_good = LastGood::new(dir.path());
        last_good.save(&snapshot(7)).unwrap();
        let good = fs::read(last_good.path()).unwrap();
        for (why, bytes) in [
            ("cut short", good[..good.len() - 1].to_vec()),
            ("a changed byte", {
                let mut b = good.clone();
                *b.last_mut().unwrap() ^= 1;
                b
            }),
            ("empty", Vec::new()),
            (
                "another version",
                String::from_utf8(good.clone()).unwrap().replacen(" 1 ", " 2 ", 1).into_bytes(),
            ),
        ] {
            fs::write(last_good.path(), bytes).unwrap();
            assert!(matches!(last_good.load(), Err(LastGoodError::Damaged { .. })), "{why}");
        }
    }

    #[test]
    fn a_half_written_file_beside_it_does_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        let last_good = LastGood::new(dir.path());
        last_good.save(&snapshot(1)).unwrap();
        fs::write(dir.path().join("last-good-plan.new"), "half").unwrap();
        assert_eq!(last_good.load().unwrap().unwrap().revision, Revision(1));
        last_good.save(&snapshot(2)).unwrap();
        assert_eq!(last_good.load().unwrap().unwrap().revision, Revision(2));
    }
}

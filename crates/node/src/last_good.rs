//! The last good plan on disk: written atomically, checked when read.

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Seek, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use model::{Snapshot, snapshot::DataPlaneSnapshot};
use sha2::{Digest, Sha256};
use store::{MasterKey, opened_keys, sealed_keys};

/// A directory that holds the last good plan.
#[derive(Clone)]
pub struct LastGood {
    dir: PathBuf,
    key: MasterKey,
}

impl LastGood {
    /// Uses a directory, which is made when something is saved. Private keys are sealed under the key.
    pub fn new(dir: impl Into<PathBuf>, key: MasterKey) -> Self {
        Self { dir: dir.into(), key }
    }

    /// What was saved last; none: nothing was. Read in pieces, so that a large plan costs no memory beside its objects.
    pub fn load(&self) -> Result<Option<Snapshot>, LastGoodError> {
        let path = self.path();
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(LastGoodError::File { path, source }),
        };
        match is_whole(&mut file) {
            Ok(true) => {}
            Ok(false) => return Err(LastGoodError::Damaged { path }),
            Err(source) => return Err(LastGoodError::File { path, source }),
        }
        let saved =
            serde_json::from_reader::<_, DataPlaneSnapshot>(BufReader::with_capacity(PIECE_BYTES, file));
        let mut saved = saved.map_err(|source| LastGoodError::Unreadable { path, source })?;
        for certificate in &mut saved.certificates {
            *certificate = Arc::new(opened_keys(&self.key, certificate)?);
        }
        Ok(Some(saved.into()))
    }

    /// Replaces what was saved. When this answers, the new one survives a crash; a crash before leaves the old one whole.
    pub fn save(&self, snapshot: &Snapshot) -> Result<(), LastGoodError> {
        let path = self.path();
        let mut written = DataPlaneSnapshot::from(snapshot);
        for certificate in &mut written.certificates {
            *certificate = Arc::new(sealed_keys(&self.key, certificate)?);
        }
        let beside = self.dir.join("last-good-plan.new");
        let write = || -> io::Result<()> {
            fs::create_dir_all(&self.dir)?;
            let mut file = File::create(&beside)?;
            // The checksum is known at the end; its place is kept until then.
            file.write_all(header(&Sha256::new()).as_bytes())?;
            let mut body = Summed { file: BufWriter::with_capacity(PIECE_BYTES, file), sum: Sha256::new() };
            serde_json::to_writer(&mut body, &written)?;
            let mut file = body.file.into_inner()?;
            file.rewind()?;
            file.write_all(header(&body.sum).as_bytes())?;
            file.sync_all()?;
            fs::rename(&beside, &path)?;
            sync_dir(&self.dir)
        };
        write().map_err(|source| LastGoodError::File { path: path.clone(), source })
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
    /// A private key cannot be sealed, or opened with the key that is there.
    #[error("the private keys of the last good plan")]
    Keys(#[from] store::Error),
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

/// The first line: what it is, the version of the form, the checksum of the rest. It is always of one length.
fn header(sum: &Sha256) -> String {
    format!("fulcrum-last-good 1 {}\n", hex::encode(sum.clone().finalize()))
}

/// Whether header and body fit; leaves the file at the begin of the body.
fn is_whole(file: &mut File) -> io::Result<bool> {
    let mut sum = Sha256::new();
    let mut found = vec![0; header(&sum).len()];
    if let Err(error) = file.read_exact(&mut found) {
        return if error.kind() == io::ErrorKind::UnexpectedEof { Ok(false) } else { Err(error) };
    }
    io::copy(&mut BufReader::with_capacity(PIECE_BYTES, &mut *file), &mut sum)?;
    file.seek(io::SeekFrom::Start(found.len() as u64))?;
    Ok(found == header(&sum).as_bytes())
}

/// A file that is summed while it is written.
struct Summed {
    file: BufWriter<File>,
    sum: Sha256,
}

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

const PIECE_BYTES: usize = 64 * 1024;

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Revision;

    fn key() -> MasterKey {
        MasterKey::new([7; 32])
    }

    fn snapshot(revision: u64) -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.revision = Revision(revision);
        snapshot
    }

    #[test]
    fn what_was_saved_last_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let last_good = LastGood::new(dir.path().join("plan"), key());
        assert!(last_good.load().unwrap().is_none(), "nothing was saved");
        for revision in [1, 2] {
            last_good.save(&snapshot(revision)).unwrap();
            assert_eq!(last_good.load().unwrap().unwrap().revision, Revision(revision));
        }
    }

    #[test]
    fn a_private_key_comes_back_and_is_not_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let last_good = LastGood::new(dir.path(), key());
        let mut saved = snapshot(1);
        let certificate = model::Certificate {
            id: model::CertificateId::new(Default::default()),
            project: model::ProjectId::new(Default::default()),
            name: Default::default(),
            description: Default::default(),
            kind: model::CertificateKind::Server,
            pem: "pem".into(),
            private_key: Some(model::Secret::new("very private")),
            domains: Vec::new(),
            encryption: None,
            scm_id: None,
            facts: Default::default(),
            protection: Default::default(),
            enterprise_project: None,
            created_at: Default::default(),
            updated_at: Default::default(),
        };
        saved.put(certificate.clone().into());
        last_good.save(&saved).unwrap();
        assert!(!fs::read_to_string(last_good.path()).unwrap().contains("very private"));
        let read = last_good.load().unwrap().unwrap();
        assert_eq!(**read.certificate(certificate.id).unwrap(), certificate);
        let other = LastGood::new(dir.path(), MasterKey::new([8; 32]));
        assert!(matches!(other.load(), Err(LastGoodError::Keys(_))), "another key");
    }

    #[test]
    fn a_damaged_file_is_told_and_not_served() {
        let dir = tempfile::tempdir().unwrap();
        let last_good = LastGood::new(dir.path(), key());
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
        let last_good = LastGood::new(dir.path(), key());
        last_good.save(&snapshot(1)).unwrap();
        fs::write(dir.path().join("last-good-plan.new"), "half").unwrap();
        assert_eq!(last_good.load().unwrap().unwrap().revision, Revision(1));
        last_good.save(&snapshot(2)).unwrap();
        assert_eq!(last_good.load().unwrap().unwrap().revision, Revision(2));
    }
}

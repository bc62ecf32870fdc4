//! Certificates that clients are shown: read once, shared by all listeners that show them, and stapled to while they are shown.
//!
//! A handshake takes [`ShownCertificate::key`]; whoever fetches staples changes what that gives, for all listeners and all workers at
//! once and without waiting for any. Who wants to know which certificates are shown is told by [`ShownChange`].

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use arc_swap::ArcSwap;
use model::CertificateId;
use plan::CertificatePlan;
use rustls::{
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer},
    sign::CertifiedKey,
};
use tokio::sync::mpsc;

use super::terms::TermsFault;

/// A certificate that at least one listener shows, or that a connection was made with.
pub(crate) struct ShownCertificate {
    /// Names it among all of this process, also those of the same id.
    number: u64,
    plan: Arc<CertificatePlan>,
    key: ArcSwap<CertifiedKey>,
    told: Option<mpsc::UnboundedSender<ShownChange>>,
}

/// News of what is shown.
pub(crate) enum ShownChange {
    /// From now on, as the newest of its id.
    Begun(Weak<ShownCertificate>),
    /// No more: by its number.
    Ended(u64),
}

impl ShownCertificate {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn id(&self) -> CertificateId {
        self.plan.id
    }

    /// The chain in DER, leaf first.
    pub(crate) fn chain_der(&self) -> &[Vec<u8>] {
        &self.plan.chain_der
    }

    /// Chain and key for a handshake; its `ocsp` is the present staple.
    pub(crate) fn key(&self) -> Arc<CertifiedKey> {
        self.key.load_full()
    }

    /// Handshakes from now on have this staple, or none.
    pub(crate) fn set_staple(&self, staple: Option<Vec<u8>>) {
        let CertifiedKey { cert, key, .. } = &*self.key();
        self.key.store(Arc::new(CertifiedKey { cert: cert.clone(), key: key.clone(), ocsp: staple }));
    }
}

impl Drop for ShownCertificate {
    fn drop(&mut self) {
        if let Some(told) = &self.told {
            // Whoever is gone needs no news.
            let _ = told.send(ShownChange::Ended(self.number));
        }
    }
}

/// All that are shown.
pub(crate) struct ShownCertificates {
    told: Option<mpsc::UnboundedSender<ShownChange>>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    last_number: u64,
    /// Those of an id, oldest first; more than one while connections last that were made before a change.
    by_id: BTreeMap<CertificateId, Vec<Weak<ShownCertificate>>>,
    /// So many ids are remembered before those are forgotten that are shown no more.
    tidy_at: usize,
}

impl ShownCertificates {
    /// None are shown yet. `told`: who hears of them.
    pub(crate) fn new(told: Option<mpsc::UnboundedSender<ShownChange>>) -> Self {
        Self { told, known: Mutex::default() }
    }

    /// The certificate of this plan, ready to be shown. One that replaces another for the same leaf takes over its staple.
    pub(super) fn show(&self, plan: &Arc<CertificatePlan>) -> Result<Arc<ShownCertificate>, TermsFault> {
        // A panic while the lock is held leaves a map that is whole.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = &mut *known;
        if known.by_id.len() >= known.tidy_at {
            known.by_id.retain(|_, of| of.iter().any(|shown| shown.strong_count() > 0));
            known.tidy_at = 2 * known.by_id.len() + TIDY_MIN;
        }
        let of = known.by_id.entry(plan.id).or_default();
        of.retain(|shown| shown.strong_count() > 0);
        let mut alike = None;
        for shown in of.iter().rev().filter_map(Weak::upgrade) {
            if Arc::ptr_eq(&shown.plan, plan) || shown.plan == *plan {
                return Ok(shown);
            }
            if shown.chain_der().first() == plan.chain_der.first() {
                alike.get_or_insert(shown);
            }
        }
        let mut key = certified(plan)?;
        key.ocsp = alike.and_then(|alike| alike.key().ocsp.clone());
        known.last_number += 1;
        let shown = Arc::new(ShownCertificate {
            number: known.last_number,
            plan: plan.clone(),
            key: ArcSwap::from_pointee(key),
            told: self.told.clone(),
        });
        of.push(Arc::downgrade(&shown));
        if let Some(told) = &self.told {
            // Whoever is gone needs no news.
            let _ = told.send(ShownChange::Begun(Arc::downgrade(&shown)));
        }
        Ok(shown)
    }
}

const TIDY_MIN: usize = 64;

fn certified(certificate: &CertificatePlan) -> Result<CertifiedKey, TermsFault> {
    let fault = |source| TermsFault::Certificate { id: certificate.id, source };
    let chain = certificate.chain_der.iter().map(|der| CertificateDer::from(der.clone())).collect();
    let key = PrivateKeyDer::try_from(certificate.key_der.clone())
        .map_err(|why| fault(rustls::Error::General(why.to_owned())))?;
    let key = aws_lc_rs::sign::any_supported_type(&key).map_err(fault)?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Err(error @ rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
            Err(fault(error))
        }
        // rustls cannot say for every certificate, such as those of X.509 version 1; whoever gave it was told if they did not match.
        Ok(()) | Err(_) => Ok(certified),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use uuid::Uuid;

    use super::*;

    fn plan(id: u128) -> CertificatePlan {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["t".to_owned()]).unwrap().self_signed(&key).unwrap();
        CertificatePlan {
            id: CertificateId::new(Uuid::from_u128(id)),
            chain_der: vec![certificate.der().to_vec()],
            key_der: key.serialize_der(),
        }
    }

    fn copy(plan: &CertificatePlan) -> CertificatePlan {
        CertificatePlan { id: plan.id, chain_der: plan.chain_der.clone(), key_der: plan.key_der.clone() }
    }

    #[test]
    fn listeners_share_a_certificate_and_its_staple_until_it_is_shown_no_more() {
        let (told, mut news) = mpsc::unbounded_channel();
        let all = ShownCertificates::new(Some(told));
        let plan = Arc::new(plan(1));
        let one = all.show(&plan).unwrap();
        let two = all.show(&Arc::new(copy(&plan))).unwrap();
        assert!(Arc::ptr_eq(&one, &two), "what is equal is the same");
        two.set_staple(Some(vec![7]));
        assert_eq!(one.key().ocsp.as_deref(), Some(&[7][..]));

        let longer = CertificatePlan { chain_der: vec![plan.chain_der[0].clone(); 2], ..copy(&plan) };
        let three = all.show(&Arc::new(longer)).unwrap();
        assert!(!Arc::ptr_eq(&one, &three));
        assert_eq!(three.key().ocsp.as_deref(), Some(&[7][..]), "the same leaf keeps its staple");

        let other = all.show(&Arc::new(self::plan(1))).unwrap();
        assert_eq!(other.key().ocsp, None, "another leaf has none yet");

        let number = one.number();
        drop((one, two));
        let mut begun = Vec::new();
        let ended = loop {
            match news.try_recv().unwrap() {
                ShownChange::Begun(shown) => begun.push(shown.upgrade().map(|shown| shown.number())),
                ShownChange::Ended(number) => break number,
            }
        };
        assert_eq!((begun, ended), (vec![None, Some(three.number()), Some(other.number())], number));
    }

    #[test]
    fn what_is_shown_no_more_is_forgotten() {
        let all = ShownCertificates::new(None);
        let plan = plan(0);
        for id in 1..1000 {
            all.show(&Arc::new(CertificatePlan {
                id: CertificateId::new(Uuid::from_u128(id)),
                ..copy(&plan)
            }))
            .unwrap();
        }
        assert!(all.known.lock().unwrap().by_id.len() <= 2 * TIDY_MIN);
    }
}

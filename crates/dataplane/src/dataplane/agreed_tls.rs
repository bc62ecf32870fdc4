//! The TLS that a listener and its plan agree on.

use std::sync::Arc;

use plan::TlsPlan;

use crate::tls::Terms;

/// The TLS of a listener.
#[derive(Clone, Default)]
pub(super) struct AgreedTls {
    pub(super) terms: Option<Arc<Terms>>,
    /// The newest plan, if it cannot be carried out, and why. That does not heal by itself.
    unfit: Option<(Arc<TlsPlan>, String)>,
}

impl AgreedTls {
    /// What the next plan makes of it. Where a plan cannot be carried out, what was agreed to before goes on; `build` is asked once
    /// about a plan.
    pub(super) fn next(
        self,
        plan: Option<&Arc<TlsPlan>>,
        build: impl FnOnce(&Arc<TlsPlan>, Option<&Terms>) -> Result<Arc<Terms>, String>,
    ) -> Self {
        let Some(plan) = plan else { return Self::default() };
        if self.unfit.as_ref().is_some_and(|(unfit, _)| Arc::ptr_eq(unfit, plan)) {
            return self;
        }
        if self.terms.as_ref().is_some_and(|terms| Arc::ptr_eq(&terms.plan, plan)) {
            return Self { unfit: None, ..self };
        }
        match build(plan, self.terms.as_deref()) {
            Ok(terms) => Self { terms: Some(terms), unfit: None },
            Err(why) => Self { unfit: Some((plan.clone(), why)), ..self },
        }
    }

    pub(super) fn fault(&self) -> Option<&String> {
        self.unfit.as_ref().map(|(_, why)| why)
    }
}

/// An error with its causes.
pub(super) fn in_words(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::tls::ShownCertificates;

    fn plan() -> Arc<TlsPlan> {
        Arc::new(TlsPlan {
            certificates: Vec::new(),
            default: Vec::new(),
            names: BTreeMap::new(),
            sni_match: model::listener::SniMatch::Wildcard,
            client_ca: None,
            versions: vec![model::TlsVersion::V13],
            suites: vec!["TLS_AES_128_GCM_SHA256".to_owned()],
            http: true,
            alpn_h2: false,
            early_data: false,
        })
    }

    #[test]
    fn terms_that_cannot_be_made_are_tried_once_for_each_plan() {
        let certificates = ShownCertificates::new(None);
        let asked = std::cell::Cell::new(0);
        let refuse = |_: &Arc<TlsPlan>, _: Option<&Terms>| {
            asked.set(asked.get() + 1);
            Err(format!("refused {} times", asked.get()))
        };
        let make = |plan: &Arc<TlsPlan>, former: Option<&Terms>| {
            asked.set(asked.get() + 1);
            Terms::new(&certificates, plan, former.map(|former| &former.resumption))
                .map_err(|error| in_words(&error))
        };
        let (bad, good, other) = (plan(), plan(), plan());
        let unfit = AgreedTls::default().next(Some(&bad), refuse);
        let again = unfit.clone().next(Some(&bad), refuse);
        assert_eq!((asked.get(), again.fault().map(String::as_str)), (1, Some("refused 1 times")));
        assert!(again.terms.is_none());

        let agreed = again.next(Some(&good), make);
        assert_eq!((asked.get(), agreed.fault()), (2, None));
        let kept = agreed.next(Some(&other), refuse);
        assert_eq!(kept.fault().map(String::as_str), Some("refused 3 times"));
        assert!(
            kept.terms.as_ref().is_some_and(|terms| Arc::ptr_eq(&terms.plan, &good)),
            "what was agreed to goes on"
        );
        let back = kept.next(Some(&good), refuse);
        assert_eq!((asked.get(), back.fault()), (3, None), "what is in force needs no making");
        assert!(back.next(None, refuse).terms.is_none());
    }
}

//! What a listener does with a request that is odd without being wrong.

use model::listener::DesyncMode;
use wire::h1::RequestHead;

use crate::service::Service;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is served.
    Serve,
    /// It is served, and is the last of its connection: if anyone along the way read it in another way, no request of anybody else
    /// can be mixed up with what is left of it.
    ServeLast,
    /// It is refused.
    Refuse,
}

/// Judges a request, and counts it by its class when it is odd.
#[inline]
pub(super) fn judge(service: &Service, head: &RequestHead<'_>) -> Verdict {
    let Some(class) = head.suspicion() else { return Verdict::Serve };
    service.counters.oddities[class as usize].inc();
    let Some(http) = service.plan.http() else { return Verdict::Serve };
    tracing::debug!(listener = %service.plan.id, class = class.code(), mode = ?http.desync, "an odd request");
    match http.desync {
        DesyncMode::Monitor => Verdict::Serve,
        DesyncMode::Defensive => Verdict::ServeLast,
        DesyncMode::Strictest => Verdict::Refuse,
    }
}

#[cfg(test)]
mod tests {
    use wire::h1::Suspicion;

    #[test]
    fn metrics_name_the_classes_as_the_codec_does() {
        assert_eq!(Suspicion::ALL.map(Suspicion::code), telemetry::ODDITIES);
        for (place, class) in Suspicion::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, place, "{class:?}");
        }
    }
}

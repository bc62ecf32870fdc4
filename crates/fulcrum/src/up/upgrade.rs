//! The steps by which this process gives its place to another, and the way back.

use std::{os::fd::OwnedFd, path::Path, time::Duration};

use super::{Process, control_plane::ControlPlane};
use crate::{
    handover::{Bequest, Candidate, CannotHandOver, Label, Successor},
    sd_notify,
};

/// How long API calls in hand may take to end. Meanwhile others wait, so it is short.
const CALLS_WITHIN: Duration = Duration::from_secs(5);

/// How long API calls wait for the store after a failed upgrade; then they hear that it is away.
const REOPEN_WITHIN: Duration = Duration::from_secs(5);

impl Process {
    /// Starts a binary (this process' own, if none is given) and gives the place to it. On an error this process has it as before.
    pub(super) async fn hand_over(&mut self, binary: Option<&Path>) -> Result<Successor, CannotHandOver> {
        let binary = binary.unwrap_or(&self.binary);
        let limit = self.site.config.upgrade.ready;
        tracing::info!(binary = %binary.display(), "upgrading");
        sd_notify::reloading();
        let mut candidate = Candidate::start(binary, limit).await?;
        tracing::info!(version = candidate.version(), "handing over");
        // From here on calls of the API wait; dropping this lets them in again.
        let closed = tokio::time::timeout(CALLS_WITHIN, self.site.gateway.close()).await;
        let closed = closed.map_err(|_| CannotHandOver::CallsInHand(CALLS_WITHIN))?;
        let api_open = self.rest().await;
        match self.give(&mut candidate, api_open).await {
            Ok(()) => {
                closed.forward_to(self.site.address);
                Ok(candidate.release())
            }
            Err(error) => {
                // Before the store is opened and anything is accepted again, the other must be gone.
                drop(candidate);
                self.site.traffic.dataplane.accept().await;
                self.control_plane = ControlPlane::open_again(self.site.clone());
                if api_open {
                    // It goes on in the background if it takes longer.
                    let _ = tokio::time::timeout(REOPEN_WITHIN, self.control_plane.opened()).await;
                }
                Err(error)
            }
        }
    }

    /// Lets go of the store: what runs and what is saved are the same, and nothing changes it. Whether the API was open.
    async fn rest(&mut self) -> bool {
        let traffic = &self.site.traffic;
        let newest = self.site.shown.snapshot().unwrap_or_default().revision;
        let mut facts = traffic.facts.clone();
        let applied = facts.wait_for(|facts| facts.applied >= newest);
        if tokio::time::timeout(CALLS_WITHIN, applied).await.is_err() {
            tracing::warn!(revision = %newest, "traffic does not run on the newest revision; the new process brings it there");
        }
        traffic.node.rest().await;
        traffic.node.save().await;
        self.control_plane.close().await
    }

    async fn give(&self, candidate: &mut Candidate, api_open: bool) -> Result<(), CannotHandOver> {
        let traffic = &self.site.traffic;
        let own = self.own_sockets().map_err(CannotHandOver::NoSockets)?;
        let lent = traffic.dataplane.lend().await.map_err(CannotHandOver::NoSockets)?;
        let health = traffic.facts.borrow().health.clone().into_iter().collect();
        candidate.prepare(Bequest { own, lent, health, api_open }).await?;
        traffic.dataplane.hold().await;
        candidate.go().await
    }

    fn own_sockets(&self) -> std::io::Result<Vec<(Label, OwnedFd)>> {
        let mut sockets = vec![
            (Label::Lock, self.data.lend_lock()?),
            (Label::Api, self.site.api_socket.try_clone()?.into()),
            (Label::Control, self.site.control_socket.try_clone()?.into()),
        ];
        if let Some(sample) = &self.site.sample {
            sockets
                .extend(sample.lend()?.into_iter().map(|(address, socket)| (Label::Sample(address), socket)));
        }
        Ok(sockets)
    }
}

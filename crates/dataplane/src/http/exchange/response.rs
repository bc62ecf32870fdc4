//! The response's side of an exchange: its head, its body, and what becomes of both connections then.

use std::{
    io::IoSlice,
    task::{Context, Poll, ready},
};

use telemetry::{Attempt, Outcome, OwnAnswer};
use wire::h1::{
    Body, Edits, HeaderId, HeaderSet, Parsed, ResponseHead, ResponseOut, Version, parse_response,
    write_response,
};

use super::{Ended, Exchange, UpState};
use crate::http::{
    DROPPED_WHEN_ANNOUNCED,
    coding::{self, Coding},
    connection::Connection,
    fault::Fault,
    flow::WINDOW_BYTES,
    sticky,
};

/// Why no response head came.
pub(super) enum HeadFault {
    /// The client broke the connection while an interim response, or the head, was sent to it.
    Client,
    /// The member broke the connection.
    Broken,
    /// What the member sent is no response.
    Malformed,
}

impl Exchange {
    /// Reads the response's head, and sends it on with what came behind it.
    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut Connection,
    ) -> Poll<Result<(), HeadFault>> {
        let door = self.door.clone();
        let worker = &*door.worker;
        let http = &worker.http;
        if self.down.turn == 0 {
            self.down.held = true;
            return Poll::Pending;
        }
        loop {
            let mut scratch = worker.buffers.scratch.borrow_mut();
            let window = WINDOW_BYTES.min(connection.client.ahead_max());
            let bytes = match ready!(self.stream.poll_read(cx, &mut scratch[..window])) {
                Ok(0) | Err(_) => return Poll::Ready(Err(HeadFault::Broken)),
                Ok(bytes) => bytes,
            };
            let mut length = bytes;
            if let Some(scan) = &mut self.early_scan {
                self.early.extend_from_slice(&scratch[..bytes]);
                if !scan.is_ready(&self.early, &http.limits) {
                    continue;
                }
                length = self.early.len();
                // At most a head and one window, which the scratch buffer has room for.
                scratch[..length].copy_from_slice(&self.early);
                self.early_scan = None;
                worker.buffers.give_back(std::mem::take(&mut self.early));
            }
            let mut at = 0;
            while at < length {
                let mut table = http.response.borrow_mut();
                match parse_response(&scratch[at..length], &mut table, &http.limits, &self.wire) {
                    Err(error) => {
                        let member = self.work.member().plan.address;
                        tracing::debug!(%member, code = error.code(), %error, "a response was refused");
                        return Poll::Ready(Err(HeadFault::Malformed));
                    }
                    Ok(Parsed::Partial(scan)) => {
                        worker.buffers.add(&mut self.early, &scratch[at..length]);
                        self.early_scan = Some(scan);
                        break;
                    }
                    Ok(Parsed::Complete(head)) => {
                        at += head.len();
                        self.down.uncounted.0 += head.len() as u64;
                        if head.is_interim() {
                            self.pass_interim(connection, &head)?;
                            continue;
                        }
                        return Poll::Ready(self.respond(connection, &head, &scratch[at..length], bytes));
                    }
                }
            }
        }
    }

    /// Passes a 1xx response on; a client of HTTP/1.0 would not understand it.
    fn pass_interim(
        &mut self,
        connection: &mut Connection,
        head: &ResponseHead<'_>,
    ) -> Result<(), HeadFault> {
        self.awaits_continue &= head.status() != 100;
        if self.version == Version::Http10 {
            return Ok(());
        }
        let worker = &*self.door.worker;
        let mut out = worker.buffers.head.borrow_mut();
        out.clear();
        let how =
            ResponseOut { downstream: self.version, keep_alive: true, recode: false, edits: Edits::none() };
        let _bodiless = write_response(&mut out, head, &how);
        self.down.send_head(worker, &out, &mut connection.client).map_err(|_| HeadFault::Client)
    }

    /// Sends a response's head on, with the part of its body that is there.
    fn respond(
        &mut self,
        connection: &mut Connection,
        head: &ResponseHead<'_>,
        rest: &[u8],
        read: usize,
    ) -> Result<(), HeadFault> {
        let worker = &*self.door.worker;
        let mut out = worker.buffers.head.borrow_mut();
        out.clear();
        let coding = self.compression.as_ref().and_then(|taken| Coding::of(head, *taken));
        let encoder = coding.as_ref().and_then(|coding| coding.encoder(connection.client.encoder_room()));
        let mut lines = worker.http.lines.borrow_mut();
        let (server, announced) = match &self.service.announced {
            None => (&worker.http.server, &[][..]),
            Some(lines) => (lines, DROPPED_WHEN_ANNOUNCED),
        };
        let mut drop_names = Vec::new();
        let edits = match (&coding, self.changes.take()) {
            (None, None) => Edits { drop: SERVER, drop_names: announced, append: server },
            (coding, Some(changes)) => {
                lines.clear();
                lines.extend(server);
                let mut drop = SERVER;
                if let Some(coding) = coding {
                    drop = drop.union(coding.describe(head, encoder.is_some(), &mut lines));
                }
                lines.extend(&changes.lines);
                if let (Some(stuck), Some(sticky)) = (&changes.stuck, &self.work.target().sticky) {
                    let member = self.work.index();
                    drop = drop.union(sticky::set_cookies(sticky, stuck, member, head, &mut lines));
                }
                drop_names.extend_from_slice(changes.drop_names);
                drop_names.extend_from_slice(announced);
                if encoder.is_some() {
                    drop_names.extend_from_slice(coding::DROPPED_WHEN_CODED);
                }
                Edits { drop, drop_names: &drop_names, append: &lines }
            }
            (Some(coding), None) => {
                lines.clear();
                lines.extend(server);
                let drop = SERVER.union(coding.describe(head, encoder.is_some(), &mut lines));
                drop_names.extend_from_slice(announced);
                if encoder.is_some() {
                    drop_names.extend_from_slice(coding::DROPPED_WHEN_CODED);
                }
                Edits { drop, drop_names: &drop_names, append: &lines }
            }
        };
        // A client that was not invited to send its body cannot say where its next request begins.
        let keep_alive = self.keep_alive && !self.awaits_continue && !self.door.is_leaving();
        let how = ResponseOut { downstream: self.version, keep_alive, recode: encoder.is_some(), edits };
        let delivery = write_response(&mut out, head, &how);
        self.status = head.status();
        self.logged.head_sent = out.len() as u64;
        if let Some(log) = &mut self.log {
            log.answered(head.status());
        }
        self.keep_alive = delivery.keep_alive;
        self.reusable = head.keep_alive();
        self.tunnel = head.tunnel();
        worker.buffers.give_back(std::mem::take(&mut self.replay));
        self.down.follow_with(Body::for_response(head.framing()), delivery.transfer, read == WINDOW_BYTES);
        if let Some(encoder) = encoder {
            self.down.encode_with(encoder);
        }
        let client = &mut connection.client;
        let closes = !self.keep_alive
            && self.up_state == UpState::Sent
            && self.tunnel.is_none()
            && connection.input.is_empty()
            && client.is_quiet();
        let send = |pieces: &[IoSlice<'_>], all| {
            let written = if all && closes { client.write_last(pieces) } else { client.write(pieces) };
            written.map_err(|error| Fault::sink(client, &error))
        };
        let begun = self.down.begin(worker, &mut out, rest, send).and_then(|taken| {
            let more =
                if self.down.is_read() { 0 } else { self.down.feed(worker, &rest[taken..], client)? };
            Ok(taken + more)
        });
        match begun {
            Ok(taken) if taken < rest.len() => worker.buffers.add(&mut self.early, &rest[taken..]),
            Ok(_) => {}
            Err(Fault::Sink { .. }) => return Err(HeadFault::Client),
            // The head is out, so the body's fault shows when the body goes on.
            Err(fault @ (Fault::Source | Fault::Malformed(_))) => self.down.fail(fault),
        }
        Ok(())
    }

    /// The response was sent whole: what becomes of the rest.
    pub(super) fn completed(&mut self, connection: &mut Connection) -> Poll<Ended> {
        let client = &mut connection.client;
        if let Some(tunnel) = self.tunnel.take() {
            let Some(status) = client.tunnel_status() else {
                self.record(Outcome::Own(OwnAnswer::BadGateway), Attempt::Broken);
                self.reusable = false;
                return Poll::Ready(Ended::Close);
            };
            self.record(Outcome::Answered(status), Attempt::Answered(self.status));
            return Poll::Ready(Ended::Tunnel(tunnel));
        }
        if self.up_state == UpState::Open && self.reusable && self.keep_alive {
            // The member answered early and may still be reading.
            return Poll::Pending;
        }
        self.record(Outcome::Answered(self.status), Attempt::Answered(self.status));
        if self.up_state != UpState::Sent {
            self.reusable = false;
            return Poll::Ready(Ended::Linger);
        }
        // Closing while something unread is there, or more comes, would reset the connection, and the client might lose the answer.
        Poll::Ready(match self.keep_alive {
            true => Ended::Next,
            false if client.is_quiet() && connection.input.is_empty() => Ended::Close,
            false => Ended::Linger,
        })
    }
}

/// What is taken out of responses: ours goes in its place.
const SERVER: HeaderSet = HeaderSet::of(&[HeaderId::SERVER]);

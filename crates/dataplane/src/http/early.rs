//! Requests that came before the client's part of the TLS handshake, which whoever overheard them could say again.
//!
//! One that may be said twice goes to a member at once, marked with [`FIELD`], and the member may answer 425 (Too Early), which
//! the client then sees. Any other waits until the handshake is over, and is then a request like all others.
//!
//! Source: RFC 8470 sections 3 and 5; RFC 9110 section 9.2.1.

use std::{
    cell::{Cell, RefCell},
    io,
    task::{Context, Poll, Waker},
};

use wire::h1::{Framing, MethodKind, RequestHead};

/// The name of the mark. A client that is a proxy itself may have set it, and then it stays; it is never there twice.
pub(super) const FIELD: &[u8] = b"Early-Data";

/// What it says.
pub(super) const VALUE: &[u8] = b"1";

/// Whether a request may go to a member although its client's handshake is not over: its method is safe, it has no body, and it
/// opens no tunnel.
pub(super) fn may_go(head: &RequestHead<'_>) -> bool {
    let safe = match head.method_kind() {
        MethodKind::Get | MethodKind::Head | MethodKind::Options | MethodKind::Trace => true,
        MethodKind::Post
        | MethodKind::Put
        | MethodKind::Delete
        | MethodKind::Connect
        | MethodKind::Patch
        | MethodKind::Other => false,
    };
    safe && matches!(head.framing(), Framing::None | Framing::Length(0)) && head.upgrade().is_none()
}

/// Streams of one connection that wait for the end of its client's handshake, which the connection's task carries on.
#[derive(Default)]
pub(crate) struct EarlyStreams {
    waiting: RefCell<Vec<Waker>>,
    /// The connection has ended.
    over: Cell<bool>,
}

impl EarlyStreams {
    /// For a stream: ready when the client's handshake is over, so that it is early no more.
    ///
    /// # Errors
    /// When the connection has ended before.
    pub(crate) fn poll(&self, cx: &mut Context<'_>, is_early: bool) -> Poll<io::Result<()>> {
        if !is_early {
            return Poll::Ready(Ok(()));
        }
        if self.over.get() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// For the connection's task: lets them go on when they are early no more. Not asked when none waits.
    pub(crate) fn wake(&self, is_early: impl FnOnce() -> bool) {
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.is_empty() && !is_early() {
            waiting.drain(..).for_each(Waker::wake);
        }
    }

    /// For the connection's task: the connection has ended.
    pub(crate) fn end(&self) {
        self.over.set(true);
        self.wake(|| false);
    }
}

#[cfg(test)]
mod tests {
    use wire::h1::{Headers, Limits, Parsed, parse_request};

    use super::*;

    #[test]
    fn only_what_is_safe_to_say_twice_goes_early() {
        for (why, request, goes) in [
            ("GET", "GET / HTTP/1.1\r\nHost: t\r\n\r\n", true),
            ("HEAD", "HEAD / HTTP/1.1\r\nHost: t\r\n\r\n", true),
            ("OPTIONS", "OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n", true),
            ("TRACE", "TRACE / HTTP/1.1\r\nHost: t\r\n\r\n", true),
            ("an empty body", "GET / HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n", true),
            ("a body", "GET / HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\n", false),
            ("chunks", "GET / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n", false),
            ("a tunnel", "GET / HTTP/1.1\r\nHost: t\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", false),
            ("POST", "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n", false),
            ("PUT", "PUT / HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n", false),
            ("DELETE", "DELETE / HTTP/1.1\r\nHost: t\r\n\r\n", false),
            ("PATCH", "PATCH / HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n", false),
            ("CONNECT", "CONNECT t:80 HTTP/1.1\r\nHost: t:80\r\n\r\n", false),
            ("a method that we do not know", "QUERY / HTTP/1.1\r\nHost: t\r\n\r\n", false),
            ("another case", "get / HTTP/1.1\r\nHost: t\r\n\r\n", false),
        ] {
            let mut table = Headers::new();
            match parse_request(request.as_bytes(), &mut table, &Limits::default()) {
                Ok(Parsed::Complete(head)) => assert_eq!(may_go(&head), goes, "{why}"),
                other => panic!("{why}: {other:?}"),
            }
        }
    }
}

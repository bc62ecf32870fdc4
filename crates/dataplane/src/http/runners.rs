//! Tasks for streams: one that has served a stream waits for the next.
//!
//! A stream of HTTP/2 is often a single small request, and a task of its own would cost as much as much of serving it: an
//! allocation that has to begin at a cache line, its place in the runtime's lists, and the end of both. So tasks are kept, as
//! connections to members are.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use super::connection::{Connection, Life};
use crate::{acceptor::Door, stream::Stream};

/// Tasks that wait in a worker at most. Each is about half a KiB.
const WAITING_MAX: usize = 256;

/// The tasks of one worker that wait for a stream.
#[derive(Default)]
pub(crate) struct Runners {
    waiting: RefCell<Vec<Rc<Post>>>,
}

impl Runners {
    /// Serves one stream of a connection, which is one request. Must be called inside the worker's runtime.
    pub(crate) fn serve(self: &Rc<Self>, door: Rc<Door>, client: Stream, peer: SocketAddr) {
        let life = Life::Ordinary(Connection::of_stream(door, client, peer));
        let post = self.waiting.borrow_mut().pop();
        match post {
            Some(post) => {
                post.next.set(Some(life));
                post.waker.wake_by_ref();
            }
            None => drop(tokio::task::spawn_local(Runner { life, post: None, runners: self.clone() })),
        }
    }
}

/// Where a task that waits finds its next stream.
struct Post {
    next: Cell<Option<Life>>,
    waker: Waker,
}

/// A task.
struct Runner {
    life: Life,
    /// Made when it waits for the first time.
    post: Option<Rc<Post>>,
    runners: Rc<Runners>,
}

impl Future for Runner {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let runner = self.get_mut();
        if let Some(post) = &runner.post
            && runner.life.is_over()
        {
            match post.next.take() {
                Some(next) => runner.life = next,
                None => return Poll::Pending,
            }
        }
        if Pin::new(&mut runner.life).poll(cx).is_pending() {
            return Poll::Pending;
        }
        let mut waiting = runner.runners.waiting.borrow_mut();
        if waiting.len() >= WAITING_MAX {
            return Poll::Ready(());
        }
        let make = || Rc::new(Post { next: Cell::new(None), waker: cx.waker().clone() });
        waiting.push(runner.post.get_or_insert_with(make).clone());
        Poll::Pending
    }
}

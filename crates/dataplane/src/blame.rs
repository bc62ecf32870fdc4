//! Whose fault it is that nothing could be begun with a member: the member's (or of the way to it), or this node's.
//!
//! What a node lacks or forbids says nothing of a member: it is counted apart ([`Attempt::NotMade`]), and no outlier detection hears of it.
//! Being told by the network that there is no way to the member counts as the member's, as nobody here can tell a wrong address from a
//! wrong route.

use std::io;

use rustix::io::Errno;
use telemetry::Attempt;

/// What an attempt comes to whose connection, or flow, could not be made because of this.
pub(crate) fn attempt(error: &io::Error) -> Attempt {
    if is_ours(error) { Attempt::NotMade } else { Attempt::ConnectFailed }
}

/// Whether this node could not, or would not: EPERM is a privilege that it is without, or its own packet filter. Not EACCES, which routers
/// between can cause (icmp(7), of IPv6).
fn is_ours(error: &io::Error) -> bool {
    is_lack(error) || errno(error) == Some(Errno::PERM)
}

/// Whether this node could not, for want of something. EADDRNOTAVAIL: no free port (connect(2)), or an address that it may not use.
pub(crate) fn is_lack(error: &io::Error) -> bool {
    is_exhaustion(error) || errno(error) == Some(Errno::ADDRNOTAVAIL)
}

/// Whether this node is out of something that a flow which ends gives back: a descriptor, memory, a port of datagrams (EAGAIN of
/// connect(2), EADDRINUSE of bind(2)).
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    matches!(
        errno(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::AGAIN | Errno::ADDRINUSE)
    )
}

fn errno(error: &io::Error) -> Option<Errno> {
    error.raw_os_error().map(Errno::from_raw_os_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_node_lacks_or_does_not_allow_is_no_failure_of_the_member() {
        for (errno, exhaustion, ours) in [
            (Errno::MFILE, true, true),
            (Errno::NFILE, true, true),
            (Errno::NOBUFS, true, true),
            (Errno::NOMEM, true, true),
            (Errno::AGAIN, true, true),
            (Errno::ADDRINUSE, true, true),
            (Errno::ADDRNOTAVAIL, false, true),
            (Errno::PERM, false, true),
            (Errno::ACCESS, false, false),
            (Errno::CONNREFUSED, false, false),
            (Errno::HOSTUNREACH, false, false),
            (Errno::NETUNREACH, false, false),
            (Errno::TIMEDOUT, false, false),
            (Errno::CONNRESET, false, false),
        ] {
            let error = io::Error::from(errno);
            assert_eq!(is_exhaustion(&error), exhaustion, "{errno}");
            assert_eq!(attempt(&error) == Attempt::NotMade, ours, "{errno}");
            assert_eq!(
                is_lack(&error),
                ours && errno != Errno::PERM,
                "{errno}: a filter is told of by probes"
            );
        }
        assert_eq!(attempt(&io::ErrorKind::UnexpectedEof.into()), Attempt::ConnectFailed);
    }
}

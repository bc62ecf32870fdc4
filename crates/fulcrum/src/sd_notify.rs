//! Telling the service manager how the process is (sd_notify(3)): one datagram with `NAME=value` lines to the socket that it names.
//!
//! Without a service manager nothing is told. What cannot be told is logged, and changes nothing else.

use std::{
    env,
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

use rustix::time::{ClockId, clock_gettime};

/// The process serves.
pub(crate) fn ready() {
    tell(&format!("READY=1\nMAINPID={}\nSTATUS=serving", std::process::id()));
}

/// The process is about to be replaced.
pub(crate) fn reloading() {
    let now = clock_gettime(ClockId::Monotonic);
    let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
    tell(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}\nSTATUS=handing over to a new process"));
}

/// Another process is the service now.
pub(crate) fn succeeded_by(pid: u32) {
    tell(&format!("MAINPID={pid}\nREADY=1\nSTATUS=serving"));
}

/// The process ends when its work has ended.
pub(crate) fn stopping() {
    tell("STOPPING=1\nSTATUS=draining");
}

fn tell(state: &str) {
    let Some(socket) = env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()) else { return };
    if let Err(error) = send(&socket, state) {
        tracing::warn!(%error, ?socket, "the service manager cannot be told");
    }
}

fn send(socket: &OsStr, state: &str) -> io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_address_are_reached() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("notify");
        let name = format!("fulcrum-test-{}", std::process::id());
        let abstract_address = SocketAddr::from_abstract_name(&name).unwrap();
        for (named, socket) in [
            (path.clone().into_os_string(), UnixDatagram::bind(&path).unwrap()),
            (format!("@{name}").into(), UnixDatagram::bind_addr(&abstract_address).unwrap()),
        ] {
            send(&named, "READY=1").unwrap();
            let mut bytes = [0; 64];
            let length = socket.recv(&mut bytes).unwrap();
            assert_eq!(&bytes[..length], b"READY=1");
        }
    }
}

//! What a client may say in HTTP/2, frame by frame: a [`Referee`] stands between the socket and an engine that serves the streams.
//!
//! Engines are lenient where it costs them little, and name one error for many. The referee sees to the rest, so that a client is
//! told exactly what was wrong, and that one malformed request ends its own stream and never the connection, on which others'
//! requests may be.
//!
//! How it is driven: [`Referee::received`] is given all that the client sends and hands on what the engine is to see;
//! [`Referee::sent`] looks at all that goes to the client. After a [`Fault`] nothing more is handed on, and the caller ends the
//! connection with the fault's code.
//!
//! Invariants (property tests): how the bytes are cut changes nothing; the table of the engine's decoder has always the entries of
//! ours, in number and in size, whatever was left out.
//!
//! What it does not do: it keeps no windows, counts no streams, knows no message: the engine does.
//! Source: RFC 9113, RFC 7541.

mod fields;
mod frame;
mod referee;

pub use frame::{Frame, Scan, kind};
pub use referee::{Fault, Referee};

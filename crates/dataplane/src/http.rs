//! HTTP/1.
use crate::acceptor::Door;
use std::{net::SocketAddr, rc::Rc};
use tokio::net::TcpStream;
#[derive(Default)]
pub(crate) struct HttpScratch {}
pub(crate) async fn serve(_door: Rc<Door>, _client: TcpStream, _peer: SocketAddr) {}

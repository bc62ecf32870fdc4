//! Early data of QUIC.

use std::net::SocketAddr;

use http::Method;
use plan::TlsPlan;
use quinn::Endpoint;

use crate::{
    listener,
    quic::{Client, endpoint, request, settings, trusting, whole},
    rig::{self, Member, Rig, free_address, run},
    secured::{certificate, over_tls, tls_plan},
    serving,
};

/// A client that was there and would say something early.
async fn back_again(address: SocketAddr) -> Endpoint {
    let mut tls = trusting();
    tls.enable_early_data = true;
    let endpoint = endpoint(settings(tls, 1 << 20));
    let first = endpoint.connect(address, "t").unwrap().await.unwrap();
    let mut client = Client::over(endpoint.clone(), first).await;
    assert_eq!(client.get("/first").await.0.status().as_u16(), 200);
    endpoint
}

#[test]
fn early_requests_are_served_where_that_is_safe() {
    let member = Member::named("one");
    let address = free_address();
    let plan = listener(address, &[member.address]);
    let early = TlsPlan { early_data: true, ..tls_plan(&certificate(&["t"]), &[]) };
    let _rig = Rig::serving(over_tls(plan, early));
    run(async {
        let endpoint = back_again(address).await;
        for (method, path) in [(Method::GET, "/get"), (Method::POST, "/post")] {
            let connecting = endpoint.connect(address, "t").unwrap();
            let (connection, accepted) = connecting.into_0rtt().map_err(|_| "no session").unwrap();
            let mut client = Client::over(endpoint.clone(), connection).await;
            let mut asked = client.send(request(method, path)).await;
            assert!(accepted.await, "early data of {path} were taken");
            let (head, _, _) = whole(&mut asked).await;
            assert_eq!(head.status().as_u16(), 200, "{path}");
        }
    });
    let heads = member.heads.lock().unwrap();
    let marked: Vec<_> = heads.iter().map(|head| rig::header(head, "early-data")).collect();
    assert_eq!(marked, [None, Some("1".to_owned()), None], "{heads:?}");
}

#[test]
fn without_leave_nothing_is_taken_early() {
    let member = Member::named("one");
    let (_rig, address) = serving(&[member.address]);
    run(async {
        let endpoint = back_again(address).await;
        assert!(endpoint.connect(address, "t").unwrap().into_0rtt().is_err());
    });
}

//! Flavors: the sizes that a load balancer is bought in (behaviour/features.md section 9). A fixed catalogue.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::FlavorId;

/// A size, with its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flavor {
    /// Its id, the same on every site.
    pub id: FlavorId,
    /// Its name, for example `L7_flavor.elb.s1.small`.
    pub name: &'static str,
    /// Which listeners it is for.
    pub layer: FlavorLayer,
    /// Whether it is the elastic one: the layer's highest limits.
    pub elastic: bool,
    /// Most connections at a time.
    pub connections: u64,
    /// Most new connections per second (HTTP for layer 7).
    pub connections_per_second: u64,
    /// Most new HTTPS connections per second; layer 7 only.
    pub https_connections_per_second: Option<u64>,
    /// Most HTTP requests per second; layer 7 only.
    pub requests_per_second: Option<u64>,
    /// Most HTTPS requests per second; layer 7 only.
    pub https_requests_per_second: Option<u64>,
    /// Bandwidth in Mbit/s, the larger of in and out.
    pub bandwidth_mbit: u64,
    /// Billing units.
    pub lcu: Option<u64>,
}

/// Which listeners a flavor is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FlavorLayer {
    /// TCP, UDP, TLS.
    L4,
    /// HTTP, HTTPS, QUIC.
    L7,
}

/// The flavor of that id.
pub fn by_id(id: FlavorId) -> Option<&'static Flavor> {
    CATALOGUE.iter().find(|flavor| flavor.id == id)
}

/// The flavor that a load balancer gets when none is named: the elastic one of the layer.
pub fn site_default(layer: FlavorLayer) -> &'static Flavor {
    match layer {
        FlavorLayer::L4 => &CATALOGUE[6],
        FlavorLayer::L7 => &CATALOGUE[13],
    }
}

const fn l4(number: u8, name: &'static str, connections: u64, cps: u64, mbit: u64, lcu: u64) -> Flavor {
    Flavor {
        id: id(number),
        name,
        layer: FlavorLayer::L4,
        elastic: false,
        connections,
        connections_per_second: cps,
        https_connections_per_second: None,
        requests_per_second: None,
        https_requests_per_second: None,
        bandwidth_mbit: mbit,
        lcu: Some(lcu),
    }
}

const fn l7(number: u8, name: &'static str, connections: u64, cps: u64, mbit: u64, lcu: u64) -> Flavor {
    // The catalogue's other rates follow from the HTTP connection rate: HTTPS a tenth; twice as many HTTP requests; as many HTTPS requests.
    Flavor {
        id: id(number),
        name,
        layer: FlavorLayer::L7,
        elastic: false,
        connections,
        connections_per_second: cps,
        https_connections_per_second: Some(cps / 10),
        requests_per_second: Some(cps * 2),
        https_requests_per_second: Some(cps),
        bandwidth_mbit: mbit,
        lcu: Some(lcu),
    }
}

const fn id(number: u8) -> FlavorId {
    FlavorId::new(Uuid::from_u128(0xf1a0_0000_0000_4000_8000_0000_0000_0000 + number as u128))
}

/// Every flavor: layer 4 first, smallest first, elastic last.
pub static CATALOGUE: [Flavor; 14] = [
    l4(1, "L4_flavor.elb.s1.small", 500_000, 10_000, 50, 10),
    l4(2, "L4_flavor.elb.s2.small", 1_000_000, 20_000, 100, 20),
    l4(3, "L4_flavor.elb.s1.medium", 2_000_000, 40_000, 200, 40),
    l4(4, "L4_flavor.elb.s2.medium", 4_000_000, 80_000, 400, 80),
    l4(5, "L4_flavor.elb.s1.large", 10_000_000, 200_000, 1_000, 200),
    l4(6, "L4_flavor.elb.s2.large", 20_000_000, 400_000, 2_000, 400),
    Flavor { elastic: true, lcu: None, ..l4(7, "L4_flavor.elb.pro.max", 20_000_000, 400_000, 10_000, 0) },
    l7(11, "L7_flavor.elb.s1.small", 200_000, 2_000, 50, 10),
    l7(12, "L7_flavor.elb.s2.small", 400_000, 4_000, 100, 20),
    l7(13, "L7_flavor.elb.s1.medium", 800_000, 8_000, 200, 40),
    l7(14, "L7_flavor.elb.s2.medium", 2_000_000, 20_000, 400, 100),
    l7(15, "L7_flavor.elb.s1.large", 4_000_000, 40_000, 1_000, 200),
    l7(16, "L7_flavor.elb.s2.large", 8_000_000, 80_000, 2_000, 400),
    Flavor { elastic: true, lcu: None, ..l7(17, "L7_flavor.elb.pro.max", 8_000_000, 80_000, 10_000, 0) },
];

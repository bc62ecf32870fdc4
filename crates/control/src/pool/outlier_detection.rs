//! The rules of leaving out members that fail their work: an own setting.

use model::{Pool, PoolProtocol};

use crate::Error;

/// Whether the setting belongs to the pool, can do something there, and has its times in order.
pub(super) fn check(pool: &Pool) -> Result<(), Error> {
    let Some(detection) = pool.outlier_detection else { return Ok(()) };
    let wrong = |reason: &str| Err(Error::invalid("outlier_detection", reason));
    let answers = match pool.protocol {
        PoolProtocol::Tcp | PoolProtocol::Tls | PoolProtocol::Udp | PoolProtocol::Quic => 0,
        PoolProtocol::Http | PoolProtocol::Https | PoolProtocol::Grpc => detection.server_errors.value(),
    };
    if detection.enabled && detection.connect_failures.value() == 0 && answers == 0 {
        return wrong(
            "nothing would count; give connect_failures or, of pools of layer 7, server_errors above 0",
        );
    }
    if detection.ejection_time_max < detection.ejection_time {
        return wrong("ejection_time_max is below ejection_time; it must be at least the same");
    }
    Ok(())
}

//! What a pool's settings come to for a target.

use model::{Algorithm, OutlierDetection, SlowStartDuration, pool::SlowStart};
use plan::compile;

use crate::objects::{Objects, listener_id};

#[test]
fn shares_grow_where_it_is_switched_on_and_the_algorithm_looks_at_weights() {
    let on = Some(SlowStart { enabled: true, duration: SlowStartDuration::of(40) });
    let off = Some(SlowStart { enabled: false, duration: SlowStartDuration::of(40) });
    for (algorithm, set, expected) in [
        (Algorithm::RoundRobin, on, Some(40)),
        (Algorithm::LeastConnections, on, Some(40)),
        (Algorithm::SourceIp, on, None),
        (Algorithm::RoundRobin, off, None),
        (Algorithm::RoundRobin, None, None),
    ] {
        let mut objects = Objects::default();
        objects.load_balancer(1, |_| {});
        objects.pool(1, |pool| (pool.algorithm, pool.slow_start) = (algorithm, set));
        objects.listener(1, 1, Some(1), |_| {});
        let plan = compile(&objects.snapshot, None);
        let target = plan.listeners[&listener_id(1)].default_target.clone().unwrap();
        let grows = target.slow_start.map(|duration| duration.value());
        assert_eq!(grows, expected, "{algorithm:?} with {set:?}");
    }
}

#[test]
fn members_are_left_out_only_where_that_is_switched_on() {
    let on = OutlierDetection::default();
    for (set, expected) in
        [(Some(on), Some(on)), (Some(OutlierDetection { enabled: false, ..on }), None), (None, None)]
    {
        let mut objects = Objects::default();
        objects.load_balancer(1, |_| {});
        objects.pool(1, |pool| pool.outlier_detection = set);
        objects.listener(1, 1, Some(1), |_| {});
        let plan = compile(&objects.snapshot, None);
        let target = plan.listeners[&listener_id(1)].default_target.clone().unwrap();
        assert_eq!(target.outlier_detection, expected, "{set:?}");
    }
}

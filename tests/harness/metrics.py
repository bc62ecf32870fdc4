"""Reading /metrics."""

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from harness.api import Api


def scrape(process):
    """{(sample name, frozenset of labels): value}; fails when the page is not OpenMetrics."""
    reply = Api(process.endpoint, None).request("GET", "/metrics")
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert reply.text.endswith("# EOF\n")
    return {(sample.name, frozenset(sample.labels.items())): sample.value for family in text_string_to_metric_families(reply.text) for sample in family.samples}


def total(samples, name, **labels):
    """The sum of the samples of that name which have these labels."""
    return sum(value for (found, have), value in samples.items() if found == name and labels.items() <= dict(have).items())

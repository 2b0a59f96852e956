"""What several dashboards ask Prometheus for. $__rate_interval is Grafana's."""

EVENTS = 'route=~"/v1/events|/v1/pixel.gif"'
"""The requests that bring events."""
NOT_OURS = 'route!~"/metrics|/health/.*"'
"""All but what Prometheus and the health checks ask for."""


def of_shards(gauge: str) -> str:
    """A gauge of what stands in Redis, of all shards: every api has it, the highest counts."""
    return f"sum(max by (shard) ({gauge}))"


def per_second(counter: str, by: str = "", labels: str = "") -> str:
    return f"sum by ({by}) (rate({counter}{{{labels}}}[$__rate_interval]))".replace("{}", "").replace(" by ()", "")


def quantiles(metric: str, by: str = "", labels: str = "") -> dict[str, str]:
    """Median and 99th percentile of a histogram by legend; by: a label to tell apart."""
    name = f"{{{{{by}}}}} " if by else ""
    return {f"{name}half within": _quantile(0.5, metric, by, labels), f"{name}99 % within": p99(metric, by, labels)}


def p99(metric: str, by: str = "", labels: str = "") -> str:
    """What 99 of 100 took at most."""
    return _quantile(0.99, metric, by, labels)


def _quantile(share: float, metric: str, by: str, labels: str) -> str:
    buckets = per_second(f"{metric}_bucket", f"{by}, le".removeprefix(", "), labels)
    return f"histogram_quantile({share}, {buckets})"

"""PromQL that many panels say in the same way."""

from dashboards.parts import GREEN, RED

OF = "instance=~'$instance'"
"""The daemons that are looked at."""
UP_DOWN = {1.0: ("up", GREEN), 0.0: ("down", RED)}
NO_YES = {0.0: ("no", GREEN), 1.0: ("yes", RED)}


def metric(name: str, *labels: str) -> str:
    """A metric of the daemons that are looked at; `labels` are further conditions."""
    return f"orchestrator_{name}{{{', '.join([OF, *labels])}}}"


def recorded(name: str, *labels: str) -> str:
    """A series that a recording rule of deploy/prometheus makes, of the daemons that are looked at."""
    return f"{name}{{{', '.join([OF, *labels])}}}"


def total(expr: str, *by: str) -> str:
    """The sum; `by` are labels that tell series apart."""
    return f"sum by ({', '.join(by)}) ({expr})" if by else f"sum({expr})"


def or_zero(expr: str) -> str:
    """0 where there is no series."""
    return f"{expr} or vector(0)"


def rate(name: str, *labels: str) -> str:
    """Per second."""
    return f"rate({metric(name, *labels)}[$__rate_interval])"


def increase(name: str, span: str, *labels: str) -> str:
    """How many within the span."""
    return f"increase({metric(name, *labels)}[{span}])"


def quantile(share: float, histogram: str, by: str = "", *labels: str) -> str:
    """Of a histogram, over the rate interval; `by` is a label that tells series apart."""
    groups = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({groups}) ({rate(f'{histogram}_bucket', *labels)}))"


def average(histogram: str, by: str) -> str:
    """Of a histogram, over the rate interval."""
    return f"sum by ({by}) ({rate(f'{histogram}_sum')}) / sum by ({by}) ({rate(f'{histogram}_count')})"


def share(part: str, rest: str, by: str) -> str:
    """Of `part` in both together."""
    return f"{total(part, by)} / ({total(part, by)} + {total(rest, by)})"

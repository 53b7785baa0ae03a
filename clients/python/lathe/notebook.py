"""Tables and plots, when pandas and matplotlib are there."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .resources import Resource, Search


def frame(items: Iterable[dict[str, Any]]) -> Any:
    """A pandas table of resources, removals or shapes; nested members become columns a.b."""
    import pandas  # type: ignore[import-untyped]  # pylint: disable=import-outside-toplevel
    return pandas.json_normalize([dict(item) for item in items])


def plot(resource: Resource, keys: str = "loss,validation_loss", x: str = "tokens") -> Any:
    """Curves of a search or a run; a search also gets its parameters. Returns the figure."""
    from matplotlib import pyplot  # type: ignore[import-not-found,unused-ignore]  # pylint: disable=import-outside-toplevel
    figure, axes = pyplot.subplots()
    for key, points in resource.metrics(keys, x).items():
        axes.plot([p[0] for p in points], [p[1] for p in points], label=key)
    axes.set_xlabel(x)
    axes.set_title(repr(resource))
    axes.legend(loc="upper right")
    if isinstance(resource, Search):
        removals = list(resource.trajectory())
        other = axes.twinx()
        other.step([r[x if x in ("step", "tokens") else "step"] for r in removals],
                   [r["params"] for r in removals], where="post", color="grey")
        other.set_ylabel("parameters")
    return figure

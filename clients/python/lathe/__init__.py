"""Client of Lathe, the architecture-search service for language models.

    import lathe

    service = lathe.connect()                      # address and token as the command line finds them
    data = service.create_dataset("books", text=["books.txt"]).wait()
    search = service.create_search(
        dataset=data, shape=lathe.uniform_shape(layers=8, hidden=128, heads=4, ffn=352),
        train_tokens=400_000, stop={"ratio": 0.7}, snapshots={"ratios": [0.3, 0.5]})
    for event in search.events():                  # live; comes back after a lost connection
        print(event.name, event.data)
    search.wait()
    for row in search.shapes([0.3, 0.5]):
        print(row["ratio"], row["totals"]["params"])
    comparison = service.create_comparison(search.architecture_at(0.5), tokens=400_000, seeds=[1, 2, 3])
    print(comparison.wait()["differences"])
    export = service.create_export(comparison["arms"][0]["run"], ["hf", "gguf:q8_0"]).wait()
    export.download("exported")                    # checked by SHA-256
    speed = service.create_evaluation(search.architecture_at(0.5), [{"form": "latency"}]).wait()
    print(speed.metrics_by_task["latency"]["ms_per_token"])

Only the standard library is needed. With pandas and matplotlib installed, `frame` makes tables of lists
of resources and `plot` draws a search's parameters and losses.
"""
from .client import Event, Lathe, connect
from .errors import ApiError, LatheError, NotFinished, Unreachable
from .notebook import frame, plot
from .resources import Comparison, Evaluation, Export, Resource, Search
from .shapes import uniform_shape

__all__ = ["ApiError", "Comparison", "Evaluation", "Event", "Export", "Lathe", "LatheError", "NotFinished", "Resource", "Search",
           "Unreachable", "connect", "frame", "plot", "uniform_shape"]
__version__ = "0.1.0"

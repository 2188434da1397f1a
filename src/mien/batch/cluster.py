"""Many machines: Ray Data gives shards to actors that load their models once.

Ray retries what a lost machine had begun and holds back shards when results are not taken. Inside an actor a worker
process of `workers` does the work, so that a file that crashes a decoder is treated as on one machine.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa

from mien.batch.dataset import Outcome
from mien.batch.workers import Shard, WorkerOptions, Workers
from mien.errors import MienError
from mien.installs import lacking

_KNOCK_S = 10.0
_QUIET = {  # unless the user says otherwise
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DATA_USAGE_DISABLED": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}


class ShardActor:
    """What runs on the machines of the cluster: one table of pickled shards in, one of pickled outcomes out."""

    def __init__(self, options: WorkerOptions) -> None:
        self.workers = Workers(options, jobs=1)

    def __call__(self, batch: pa.Table) -> pa.Table:
        made: list[list[Outcome] | str] = []
        for content in batch["shard"].to_pylist():
            shard = pickle.loads(content)  # noqa: S301 - our own, see `outcomes`
            try:
                made.append(list(self.workers.outcomes([shard])))
            except (
                MienError
            ) as exc:  # the whole batch is impossible: Ray would try it for ever
                made.append(str(exc))
        return _table("outcome", list(map(pickle.dumps, made)))


class Cluster:
    """The executor on a Ray cluster.

    Args:
        options: What every worker does.
        address: "auto" for the cluster this machine belongs to, "ray://HOST:10001", "HOST:6379", or "local" for a
            cluster of this machine alone.
        jobs: Actors; None takes one for each processor of the cluster.
    """

    def __init__(
        self, options: WorkerOptions, *, address: str, jobs: int | None
    ) -> None:
        self.options = options
        self.address = address
        self.jobs = jobs

    def outcomes(self, shards: Iterable[Shard]) -> Iterator[Outcome]:
        """What becomes of the shards, in the order in which they are done.

        Raises:
            MienError: There is no Ray, no such cluster, or the analyzer cannot be made.
        """
        ray = connect(self.address)
        try:
            table = _table("shard", [pickle.dumps(shard) for shard in shards])
            for batch in self._mapped(ray, table).iter_batches(
                batch_size=1, batch_format="pyarrow", prefetch_batches=0
            ):
                for content in batch["outcome"].to_pylist():
                    outcomes = pickle.loads(content)  # noqa: S301 - what `ShardActor` made
                    if isinstance(outcomes, str):
                        raise MienError(outcomes)
                    yield from outcomes
        finally:
            ray.shutdown()

    def _mapped(self, ray: Any, shards: pa.Table) -> Any:
        processors = int(ray.cluster_resources().get("CPU", 1))
        count = max(1, min(self.jobs or processors, processors, len(shards)))
        blocks = [shards.slice(i, 1) for i in range(len(shards))]
        return ray.data.from_arrow(blocks).map_batches(
            ShardActor,
            fn_constructor_args=(self.options,),
            batch_size=1,
            batch_format="pyarrow",
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(
                size=count, max_tasks_in_flight_per_actor=2
            ),
        )


def connect(address: str) -> Any:
    """Ray, connected.

    Raises:
        MienError: It is not installed, or nothing answers at the address.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.data
    except ImportError as exc:
        raise MienError(lacking("--address", "Ray", "cluster")) from exc
    _knock(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
    except (ConnectionError, RuntimeError, ValueError) as exc:
        raise MienError(
            f"no Ray cluster at {address}: {exc}; start one with 'ray start --head'"
        ) from exc
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray


def _knock(address: str) -> None:
    """Fails at once where nobody listens: Ray itself would try for minutes."""
    place = urlsplit(address if "://" in address else f"//{address}")
    if place.port is None or place.hostname is None:
        return
    try:
        socket.create_connection((place.hostname, place.port), timeout=_KNOCK_S).close()
    except OSError as exc:
        raise MienError(
            f"no Ray cluster at {address}: {exc}; start one with 'ray start --head'"
        ) from exc


def _table(name: str, values: list[bytes]) -> pa.Table:
    return pa.table({name: pa.array(values, pa.large_binary())})

"""Batches on Ray: two nodes on this machine, one of which is lost half-way."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batch import archives
from mien.batch import Progress, run_batch
from mien.errors import MienError
from mien.types import U8

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None,
        reason="Ray is not installed (pip install mien[cluster])",
    ),
]

STORE_BYTES = 100 << 20


@pytest.fixture
def two_nodes() -> Iterator[tuple[Any, Any]]:
    """A cluster and its second node, one processor each."""
    from ray.cluster_utils import Cluster

    head = {
        "num_cpus": 1,
        "object_store_memory": STORE_BYTES,
        "include_dashboard": False,
    }
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        yield cluster, cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
    finally:
        cluster.shutdown()


@pytest.mark.slow(40)
def test_a_node_is_lost_half_way_and_the_rows_are_the_same(
    two_nodes: tuple[Any, Any], astronaut: U8, tmp_path: Path
) -> None:
    cluster, second = two_nodes
    photos, out, fresh = tmp_path / "photos", tmp_path / "out", tmp_path / "fresh"
    archives.write_photos(photos, astronaut, 120)
    (photos / "bad.jpg").write_bytes(b"bad")
    lost_at: list[int] = []

    def on_progress(progress: Progress) -> None:
        if progress.files >= 30 and not lost_at:
            lost_at.append(progress.files)
            cluster.remove_node(second, allow_graceful=False)

    on_ray = archives.options(address=cluster.address, jobs=2, shard_files=3)
    summary = run_batch([str(photos)], out, on_ray, on_progress)
    assert lost_at
    assert lost_at[0] < 100
    assert (summary.analyzed, len(summary.errors)) == (121, 1)
    run_batch([str(photos)], fresh, archives.options())
    assert archives.same_rows(out, fresh)
    assert len(archives.rows(out)) >= 90


def test_an_analyzer_that_cannot_be_made_is_told(
    two_nodes: tuple[Any, Any], astronaut: U8, tmp_path: Path
) -> None:
    cluster, _ = two_nodes
    archives.write_photos(tmp_path / "photos", astronaut, 1)
    unusable = {**archives.IDENTITY, "device": "abacus"}
    with pytest.raises(MienError, match="abacus"):
        run_batch(
            [str(tmp_path)],
            tmp_path / "out",
            archives.options(choices=unusable, address=cluster.address),
        )


def test_no_cluster_is_told(astronaut: U8, tmp_path: Path) -> None:
    archives.write_photos(tmp_path / "photos", astronaut, 1)
    command = [
        sys.executable,
        "-c",
        "from mien.cli import main; main()",
        "batch",
        str(tmp_path),
        "-o",
        "out",
    ]
    result = subprocess.run(
        [*command, "--address", "127.0.0.1:1"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
        check=False,
    )
    assert result.returncode == 2
    assert "no Ray cluster at 127.0.0.1:1" in result.stderr
    assert "Traceback" not in result.stderr

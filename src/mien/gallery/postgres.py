"""PostgreSQL with pgvector as a gallery that several machines share, searched in memory or by the database."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from mien.errors import GalleryError
from mien.gallery import migrations, postgres_copy, replica
from mien.gallery.counter import NEARER, Stricter, stricter
from mien.gallery.replica import Replica
from mien.gallery.schema import vector_text
from mien.gallery.search import Candidates, decide, nobody, number, per_face, told_in
from mien.gallery.sql import SqlGallery
from mien.installs import lacking
from mien.space import EmbeddingSpace
from mien.text import shown
from mien.types import F32, Matches

SCHEMA = "mien"  # of our tables, so that they can live in a database beside others
INDEX = "photos_embedding_hnsw"
ASK_FIRST = (
    32  # faces; all of them take the database about as long as reading everything
)
IN_MEMORY = 2_000_000  # photos, 1.6 GB
_LOOKED_AT = 800  # photos on the way through the index; 200 missed 3 % among a million
_NEAREST = 200  # photos that the index gives per face; they are then compared exactly
_LOOK_S = 5.0  # how long it is believed that there is an index, or none
_CONNECT_S = 10
_LOCK = 0x6D69656E  # any number that nobody else locks
_MADE_MEMORY = "1GB"  # to make the index in

_APART = "embedding <-> CAST(:probe AS vector)"
_WITHIN = sa.text(
    "SELECT name, weighted, apart FROM people JOIN ("  # noqa: S608 - constants of ours
    f" SELECT DISTINCT ON (person_id) person_id, ({_APART}) / weight AS weighted, {_APART} AS apart FROM photos"
    f" WHERE weight > 0 AND {_APART} <= :tolerance ORDER BY person_id, weighted) AS near ON id = person_id"
)
_CLOSEST = sa.text(
    f"SELECT id, {_APART} AS apart FROM photos ORDER BY apart, id LIMIT :count"  # noqa: S608
)
_FIRST = sa.text(
    f"SELECT {_APART} FROM photos WHERE weight > 0 AND person_id NOT IN "  # noqa: S608
    " (SELECT id FROM people WHERE name = ANY(:without)) ORDER BY 1 LIMIT 1"
)
_SIZES = sa.text(
    "SELECT (SELECT count(*) FROM people), EXISTS (SELECT 1 FROM counter_examples)"
)
_NOT_THEM = sa.text(
    f"SELECT name, min({_APART}) FROM counter_examples JOIN people"  # noqa: S608
    f" ON people.id = person_id WHERE {_APART} < :near GROUP BY name"
)
_ABOUT_MANY = sa.text(  # as of the last VACUUM or ANALYZE, if there was one
    "SELECT CASE WHEN reltuples < 0 THEN (SELECT count(*) FROM photos)"
    " ELSE reltuples END FROM pg_class WHERE oid = to_regclass('photos')"
)
_SET_INDEX = sa.text(
    f"SET LOCAL hnsw.ef_search = {_LOOKED_AT}; SET LOCAL hnsw.iterative_scan = relaxed_order"
)

_TAKE_PLACE = (
    "DROP COLUMN embedding",
    "RENAME COLUMN anew TO embedding",
    "ALTER COLUMN embedding SET NOT NULL",
    "ALTER COLUMN embedding SET STORAGE PLAIN",
)

Candidate = tuple[
    str, float, float
]  # a person, the weighted distance to a photo, the distance


class PostgresGallery(SqlGallery):
    """People in a PostgreSQL database, for as many servers as write to it at once.

    Every search asks the database what changed, so what anybody enrolled or deleted is known to all at once. The
    first few faces are compared with every photo by the database; who goes on searching reads the descriptors into
    memory (0.8 GB a million) and is answered from there, exactly. Where `create_index` has made an index, or there
    are more than `in_memory` photos, it is always the database that searches; the nearest that the index gives are
    compared exactly, which needs no memory here and may miss one now and then.

    Args:
        url: `postgresql://user:password@host/database`; everything PostgreSQL's own clients take can stand in it.
            The tables are in the schema "mien", unless `?options=-csearch_path=…` names another.
        space: Of the descriptors.
        as_it_is: Descriptors of another space are taken for what they are.

    Raises:
        GalleryError: The server cannot be reached, or has no pgvector.
        EmbedderMismatch: It holds the descriptors of another embedder.
    """

    ask_first = 32  # faces; the database takes as long for them as reading everything
    in_memory = 2_000_000  # photos, 1.6 GB

    def __init__(
        self, url: str, *, space: EmbeddingSpace, as_it_is: bool = False
    ) -> None:
        self.url = checked_url(url)
        self._asked = 0  # faces that the database was asked for
        self._indexed = (
            -_LOOK_S,
            False,
        )  # when it was looked for, and whether there is one
        engine = sa.create_engine(
            self.url,
            pool_pre_ping=True,
            pool_size=8,
            max_overflow=16,
            connect_args={"connect_timeout": _CONNECT_S, "prepare_threshold": None},
        )
        place = self.url.difference_update_query(["options"]).set(
            drivername="postgresql"
        )
        super().__init__(engine, place=shown(place.render_as_string()), space=space)
        self._migrate(as_it_is=as_it_is)
        self._replica = Replica(self.space)

    def _begin(self, connection: sa.Connection, *, write: bool) -> None:
        """The driver begins by itself; writers lock the people whom they change."""

    def _migrate(self, *, as_it_is: bool) -> None:
        with self.transaction(
            write=True
        ) as connection:  # one process at a time, until the end of the transaction
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            if f"search_path={SCHEMA}," in str(self.url.query.get("options")):
                connection.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
            if not connection.scalar(
                sa.text("SELECT 1 FROM pg_extension WHERE extname = 'vector'")
            ):
                connection.execute(
                    sa.text("CREATE EXTENSION vector WITH SCHEMA public")
                )
            self._bring_up_to_date(connection, as_it_is=as_it_is)
            replica.begin_log(connection)

    @contextmanager
    def transaction(self, *, write: bool = False) -> Iterator[sa.Connection]:
        with super().transaction(write=write) as connection:
            yield connection
            if write:
                replica.prune(connection)

    def check_ready(self) -> None:
        super().check_ready()
        self._asked = max(self._asked, self.ask_first)
        self._fresh(0)

    def reembed(
        self,
        space: EmbeddingSpace,
        rows: Mapping[int, F32],
        without: Collection[int],
        examples: Mapping[str, F32 | None] = MappingProxyType({}),
    ) -> bool:
        done = super().reembed(space, rows, without, examples)
        self._replica = Replica(self.space)
        return done

    def copy_to(self, folder: Path) -> None:
        one_moment = {"isolation_level": "REPEATABLE READ"}
        with self.translated(), self.engine.connect() as connection:
            seeing = connection.execution_options(**one_moment)
            with seeing.begin():
                postgres_copy.write(seeing, folder)

    def replace_by(self, folder: Path) -> None:
        indexed = self.is_indexed()
        with self.transaction(write=True) as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            postgres_copy.put(connection, folder)
            self._bring_up_to_date(connection, as_it_is=True)
        if indexed:
            self.create_index()

    def search(self, embeddings: F32, *, tolerance: float | F32) -> Matches:
        if not len(embeddings):
            return nobody(0)
        limits = per_face(self.space.to_euclidean(tolerance), len(embeddings))
        probes = self.space.kept(embeddings)
        in_memory = self._fresh(len(probes))
        if in_memory is None:
            return self._ask(probes, limits)
        return in_memory.search(probes, limits)

    def _fresh(self, faces: int) -> Replica | None:
        """The descriptors as of now, if they are in memory or so many faces more make it worth while."""
        own = self._replica
        asked, self._asked = self._asked, self._asked + faces
        if not self.is_indexed():
            early = asked < self.ask_first or own.is_being_read
            if not own.is_read and (early or not self._fits()):
                return None
            own.refresh(self.transaction, place=self.place)
            if len(own.table) <= self.in_memory:
                return own
        if own.is_read:
            self._replica = Replica(self.space)
        return None

    def _fits(self) -> bool:
        """Whether there are few enough photos, about."""
        with self.transaction() as connection:
            return int(connection.scalar(_ABOUT_MANY) or 0) <= self.in_memory

    def _ask(self, probes: F32, limits: F32) -> Matches:
        """The database's answer."""
        ask = _ask_index if self.is_indexed() else _ask_all
        with self.transaction() as connection:
            people, denied = connection.execute(_SIZES).one()
            found = []
            for row, limit in zip(probes, map(float, limits), strict=True):
                stricter = self._stricter(connection, row, limit) if denied else {}
                found.append(ask(connection, row, limit, stricter))
        near = [
            (face, name, apart, weighted)
            for face, candidates in enumerate(found)
            for name, weighted, apart in candidates
            if weighted <= limits[face]
        ]
        names, persons = number([name for _, name, _, _ in near])
        faces = np.array([face for face, _, _, _ in near], np.int64)
        distances, weights = (
            np.array([row[k] for row in near], np.float32) for k in (2, 3)
        )
        nearest = np.array(
            [min((apart for *_, apart in some), default=np.inf) for some in found],
            np.float32,
        )
        candidates = Candidates(faces, persons, distances, weights)
        return told_in(
            self.space,
            decide(candidates, names, limits=limits, nearest=nearest, people=people),
        )

    def _stricter(
        self, connection: sa.Connection, probe: F32, tolerance: float
    ) -> Stricter:
        """What counter-examples ask of a face."""
        given = {"probe": vector_text(probe), "near": tolerance / NEARER}
        nearest = connection.execute(_NOT_THEM, given).all()
        return stricter(dict(nearest), self.space)

    def _put(
        self,
        connection: sa.Connection,
        table: sa.Table,
        rows: Mapping[Any, F32],
        size: int,
    ) -> None:
        if size == self.space.size:
            super()._put(connection, table, rows, size)
            return
        grow = f"ALTER TABLE {table.name} ADD COLUMN anew vector({size})"
        connection.execute(sa.text(grow))
        update = sa.text(
            f"UPDATE {table.name} SET anew = CAST(:row AS vector) WHERE id = :key"  # noqa: S608
        )
        if rows:
            texts = [{"key": k, "row": vector_text(row)} for k, row in rows.items()]
            connection.execute(update, texts)
        for change in _TAKE_PLACE:
            connection.execute(sa.text(f"ALTER TABLE {table.name} {change}"))
        self._indexed = (time.monotonic(), False)  # it went with the old column

    def _closest(self, probe: F32, count: int) -> tuple[list[int], list[float]]:
        in_memory = self._fresh(1)
        if in_memory is not None:
            ids, distances = in_memory.table.closest(probe, count)
            return ids.tolist(), distances.tolist()
        given = {"probe": vector_text(probe), "count": count}
        with self.transaction() as connection:
            rows = connection.execute(_CLOSEST, given).all()
        return [key for key, _ in rows], [apart for _, apart in rows]

    def is_indexed(self) -> bool:
        """Whether searches use an index."""
        looked, there = self._indexed
        if time.monotonic() - looked >= _LOOK_S:
            with self.transaction() as connection:
                migrations.check_space(connection, place=self.place, space=self.space)
                there = bool(
                    connection.scalar(
                        sa.text("SELECT to_regclass(:index) IS NOT NULL"),
                        {"index": INDEX},
                    )
                )
            self._indexed = (time.monotonic(), there)
        return there

    def create_index(self) -> None:
        """Makes the index, or makes it anew; others go on enrolling and searching meanwhile.

        Raises:
            GalleryError: The database refuses.
        """
        self.drop_index()
        with self._outside() as connection:
            connection.execute(sa.text(f"SET maintenance_work_mem = '{_MADE_MEMORY}'"))
            connection.execute(
                sa.text(
                    f"CREATE INDEX CONCURRENTLY {INDEX} ON photos USING hnsw"
                    f" (({_short(self.space.size)}) halfvec_l2_ops) WITH (m = 16, ef_construction = 100)"
                )
            )
            connection.execute(sa.text("RESET maintenance_work_mem"))
        self._indexed = (time.monotonic(), True)

    def drop_index(self) -> None:
        """Takes the index away, so that searches compare every photo again."""
        with self._outside() as connection:
            connection.execute(sa.text(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}"))
        self._indexed = (time.monotonic(), False)

    @contextmanager
    def _outside(self) -> Iterator[sa.Connection]:
        """A connection outside of any transaction."""
        with self.translated(), self.engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")


def open_postgres(
    place: str, *, space: EmbeddingSpace, as_it_is: bool = False, **_photos: object
) -> PostgresGallery:
    """It keeps descriptors: how photos are described makes no difference."""
    return PostgresGallery(place, space=space, as_it_is=as_it_is)


def _ask_all(
    connection: sa.Connection, probe: F32, tolerance: float, stricter: Stricter
) -> list[Candidate]:
    """Everybody within the tolerance; if there is nobody, the distance to the nearest."""
    given = {"probe": vector_text(probe)}
    found = connection.execute(_WITHIN, {**given, "tolerance": tolerance}).all()
    within = _allowed(found, stricter)
    if within:
        return within
    without = [
        name for name, weighted, _ in found if weighted > stricter.get(name, np.inf)
    ]
    nearest = connection.scalars(_FIRST, {**given, "without": without})
    return [("", np.inf, apart) for apart in nearest]


def _ask_index(
    connection: sa.Connection, probe: F32, tolerance: float, stricter: Stricter
) -> list[Candidate]:
    """The nearest photos that the index gives, at their exact distances."""
    connection.execute(_SET_INDEX)
    found = connection.execute(by_index(len(probe)), {"probe": vector_text(probe)})
    return _allowed(found, stricter)


def _allowed(found: Iterable[Any], stricter: Stricter) -> list[Candidate]:
    """Candidates without people who it is not."""
    return [
        (name, weighted, apart)
        for name, weighted, apart in found
        if weighted <= stricter.get(name, np.inf)
    ]


def by_index(size: int) -> sa.TextClause:
    """The query for the people nearest to a descriptor of so many numbers, by the index."""
    return sa.text(
        f"SELECT name, ({_APART}) / weight AS weighted, {_APART} AS apart FROM people JOIN ("  # noqa: S608
        " SELECT person_id, embedding, weight FROM photos WHERE weight > 0"
        f" ORDER BY {_short(size)} <-> CAST(CAST(:probe AS vector) AS halfvec({size}))"
        f" LIMIT {_NEAREST}) AS near ON id = person_id"
    )


def _short(size: int) -> str:
    """What the index is of: descriptors in half precision."""
    return f"CAST(embedding AS halfvec({size}))"


def checked_url(text: str) -> sa.URL:
    if importlib.util.find_spec("psycopg") is None:
        raise GalleryError(lacking("a PostgreSQL gallery", "psycopg", "postgres"))
    try:
        url = sa.make_url(text).set(drivername="postgresql+psycopg")
    except (ArgumentError, ValueError) as exc:
        raise GalleryError(
            "the gallery's address is not postgresql://user:password@host/database"
        ) from exc
    if "options" in url.query:
        return url
    return url.update_query_dict({"options": f"-csearch_path={SCHEMA},public"})

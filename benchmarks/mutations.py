"""What happens to damaged files: mutated copies of every format that is read, each in a process with limits.

    python benchmarks/mutations.py                       # 500 of each kind; half an hour and more
    python benchmarks/mutations.py --count 30 --kinds jpeg onnx gallery

By a seed, so that any can be made again: `--kinds KIND --first N --count 1 --keep FOLDER`. A file may be read, or
refused by an error of ours (`MienError`, which a user sees as one line). Wrong are: any other exception (a user would
see a traceback), a process that dies, and more than 30 seconds or 4 GB. Exits with 1 when there was one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import select
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

ROOT = Path(__file__).parents[1]
LIMIT_S, MEMORY = 30.0, 4 << 30
Read = Callable[[Path], object]  # reads the mutated file in a folder of its own


# -- mutations


def mutated(content: bytes, rng: random.Random) -> bytes:
    """The content with one to four things wrong: bits, bytes, numbers, cuts, doubled and swapped parts."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        if not data:
            break
        # Heads decide more than bodies: half of all is done to the first kilobyte.
        at = rng.randrange(min(len(data), rng.choice((1024, len(data)))))
        how = rng.randrange(8)
        if how == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            data[at : at + 8] = rng.randbytes(min(8, len(data) - at))
        elif how == 2:
            number = rng.choice(
                (b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0")
            )
            data[at : at + 4] = number[: len(data) - at]
        elif how == 3:
            del data[at:]
        elif how == 4:
            del data[at : at + rng.randrange(1, 64)]
        elif how == 5:
            data[at:at] = data[at : at + rng.randrange(1, 512)]
        elif how == 6:
            data[at:at] = rng.randbytes(rng.randrange(1, 64))
        else:
            other = rng.randrange(len(data))
            part = rng.randrange(1, 256)
            data[at : at + part] = data[other : other + part]
    return bytes(data)


# -- what is mutated, and who reads it


def photo() -> Image.Image:
    return Image.fromarray(skimage.data.astronaut()).resize((160, 160))


def encoded(kind: str) -> bytes:
    buffer = BytesIO()
    photo().save(buffer, kind)
    return buffer.getvalue()


def heif() -> bytes:
    import pi_heif

    buffer = BytesIO()
    try:
        pi_heif.from_pillow(photo()).save(buffer)
    except RuntimeError as exc:
        raise LookupError("nothing here writes HEIC") from exc
    return buffer.getvalue()


def film(container: str, codec: str) -> bytes:
    import av

    buffer = BytesIO()
    with av.open(buffer, "w", format=container) as out:
        stream = out.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 160, "yuv420p"
        for i in range(8):
            rows = np.roll(np.asarray(photo()), i, axis=1)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rows), "rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return buffer.getvalue()


def read_picture(file: Path) -> object:
    from mien.media import images

    content = file.read_bytes()
    images.pixels_of(content)
    images.taken_at(content)
    return images.read_image(file)


def read_film(file: Path) -> object:
    from mien.sources import open_source

    with open_source(str(file)) as source:
        return sum(1 for _ in source)


def classifier() -> bytes:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(1).normal(size=(3 * 8 * 8, 2)).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["pixels"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["p"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, ["N", 2])],
        [numpy_helper.from_array(weights, "w")],
    )
    opset = helper.make_opsetid("", 18)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=10)
    helper.set_model_props(model, {"labels": '["no", "yes"]'})
    return bytes(onnx.load_from_string(model.SerializeToString()).SerializeToString())


def read_onnx(file: Path) -> object:
    from mien.models.classifier import Classifier

    return Classifier.load(file, "smile")


def dat(name: str) -> bytes:
    import face_recognition_models

    return (
        Path(face_recognition_models.__file__).parent / "models" / name
    ).read_bytes()


def read_landmarks(file: Path) -> object:
    from mien.dlib_models.landmarks import read_shape_predictor

    return read_shape_predictor(file.read_bytes(), file.name)


def read_mmod(file: Path) -> object:
    from mien.dlib_models.reader import read_mmod as read

    return read(file.read_bytes(), file.name)


def shared(name: str) -> bytes:
    place = Path(os.environ.get("MIEN_SHARED", ROOT.parent / "shared"), "weights", name)
    if not place.is_file():
        raise LookupError(f"{name} is not in the shared data")
    return place.read_bytes()


def read_pth(file: Path) -> object:
    from mien.models.attributes.minifasnet import to_onnx

    return to_onnx(file.read_bytes(), file.name)


def read_tflite(file: Path) -> object:
    from mien.models.attributes.landmarker import converted

    return converted(file.read_bytes(), file.name)


_PROTOTXT = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 9 dim: 9 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param { num_output: 2 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


def caffemodel() -> bytes:
    sys.path.insert(0, str(ROOT / "tests" / "train" / "importers"))
    import caffe_writer

    rng = np.random.default_rng(1)
    shapes = {"conv": [(4, 3, 3, 3), (4,)], "fc": [(2, 4 * 7 * 7), (2,)]}
    return caffe_writer.new_caffemodel(
        {
            name: [rng.normal(size=shape).astype(np.float32) for shape in some]
            for name, some in shapes.items()
        }
    )


def read_caffe(file: Path) -> object:
    from mien.train.importers.model_file import ImportOptions, convert

    files = {
        ".prototxt": file.with_name("net.prototxt"),
        ".caffemodel": file.with_name("net.caffemodel"),
    }
    for suffix, place in files.items():
        if suffix == file.suffix:
            file.replace(place)
        else:
            place.write_bytes(
                caffemodel() if suffix == ".caffemodel" else _PROTOTXT.encode()
            )
    labels = file.with_name("labels.txt")
    labels.write_text("no\nyes\n")
    return convert([*files.values(), labels], ImportOptions())


def graph_def() -> bytes:
    from mien.train.importers.graph_files import messages

    graph = messages()["GraphDef"]()
    for name, op, inputs in (
        ("input", "Placeholder", ()),
        ("w", "Const", ()),
        ("MatMul", "MatMul", ("input", "w")),
        ("final_result", "Softmax", ("MatMul",)),
    ):
        node = graph.node.add(name=name, op=op, input=inputs)
        kind = node.attr.add(key="dtype")
        kind.value.type = 1
        if op == "Const":
            tensor = node.attr.add(key="value").value.tensor
            tensor.dtype = 1
            for size in (4, 2):
                tensor.tensor_shape.dim.add(size=size)
            tensor.tensor_content = np.ones((4, 2), "<f4").tobytes()
    return bytes(graph.SerializeToString())


def read_graph(file: Path) -> object:
    from mien.errors import ModelError
    from mien.train.importers.graph_files import array_of, read_graph as read
    from mien.train.importers.tf_graph import read_frozen_graph

    for node in read(file).values():
        if node.op == "Const":
            array_of(node, file)
    with suppress(ModelError):  # the graph says nothing of pictures
        read_frozen_graph(file)
    return None


def filled(kind: str) -> bytes:
    """A database with somebody in it."""
    from mien.gallery import Photo, SqliteGallery
    from mien.gallery.unknown import Sighting, open_unknown_file
    from mien.watch.store import VisitStore
    from mien.watch.visits import BestView, Event
    from mien.zoo import DLIB

    rng = np.random.default_rng(1)
    rows = rng.normal(size=(6, 128)).astype(np.float32)
    picture = encoded("JPEG")
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "a.db"
        if kind == "gallery":
            gallery = SqliteGallery(file, space=DLIB)
            for k, row in enumerate(rows):
                gallery.enroll(
                    f"P{k % 3}", [Photo(row, f"{k:064x}", thumbnail=picture)]
                )
            gallery.close()
        elif kind == "unknown":
            unknown = open_unknown_file(file, space=DLIB)
            unknown.add(
                [
                    Sighting(row, f"{k}", "a.jpg", 1e9, 1e11, 1.0, picture)
                    for k, row in enumerate(rows)
                ]
            )
            unknown.close()
        else:
            visits = VisitStore(file)
            best = (BestView(1e9, 1.0, (0, 0, 1, 1), picture),)
            visits.record(
                Event(
                    "begin",
                    "v",
                    "door",
                    1e9,
                    None,
                    1e9,
                    {"who": "known", "person": "A"},
                    best,
                )
            )
            visits.close()
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
        return file.read_bytes()


def read_gallery(file: Path) -> object:
    from mien.gallery import Photo, SqliteGallery
    from mien.zoo import DLIB

    gallery = SqliteGallery(file, space=DLIB)
    try:
        row = np.ones(128, np.float32)
        gallery.people()
        gallery.search(row[None], tolerance=0.6)
        list(gallery.enrolled())
        gallery.enroll("New", [Photo(row, "f" * 64)])
        gallery.remove("New")
    finally:
        gallery.close()
    return None


def read_unknown(file: Path) -> object:
    from mien.gallery.unknown import open_unknown_file
    from mien.zoo import DLIB

    unknown = open_unknown_file(file, space=DLIB)
    try:
        return unknown.groups(least=1)
    finally:
        unknown.close()


def read_visits(file: Path) -> object:
    from mien.watch.store import VisitStore

    visits = VisitStore(file)
    try:
        return [one.to_dict() for one in visits.visits()]
    finally:
        visits.close()


def archive() -> bytes:
    from mien import backup

    with tempfile.TemporaryDirectory() as name:
        place = Path(name) / "people.db"
        place.write_bytes(filled("gallery"))
        home = backup.Home(str(place), Path(name) / "data")
        backup.write(Path(name) / "a.zip", home, told=lambda done, total: None)
        return (Path(name) / "a.zip").read_bytes()


def read_archive(file: Path) -> object:
    from mien import backup

    home = backup.Home(str(file.with_name("people.db")), file.parent / "data")
    return backup.restore(file, home, told=lambda done, total: None)


_BATCH: list[Path] = []


def parquet(table: str) -> bytes:
    """A table of a batch of one photo; what lies beside it is kept for its reader."""
    return next(_batch().glob(f"{table}/*.parquet")).read_bytes()


def _batch() -> Path:
    if not _BATCH:
        place = Path(tempfile.gettempdir()) / "mien-mutations-batch"
        if not (place / "result").is_dir():
            photos = place / "photos"
            photos.mkdir(parents=True, exist_ok=True)
            Image.fromarray(skimage.data.astronaut()).save(photos / "a.jpg")
            code = "from mien.cli import main; main()"
            command = [
                sys.executable,
                "-c",
                code,
                "batch",
                photos,
                "--output",
                place / "result",
            ]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        _BATCH.append(place / "result")
    return _BATCH[0]


def read_parquet(file: Path, table: str) -> object:
    from mien.batch.dataset import Archive
    from mien.report.numbers import summarise

    copy = file.parent / "result"
    shutil.copytree(_batch(), copy)
    file.replace(next(copy.glob(f"{table}/*.parquet")))
    return summarise(Archive.open(copy))


_TOML = b"""
gallery = "people.db"
min_face = 40
[serve]
port = 8000
[serve.limits]
requests_per_minute = 120
[watch]
keep_days = 30
[[cameras]]
name = "door"
source = "rtsp://camera.local/stream"
zones = [{ name = "path", look = [[0, 0], [1, 0], [1, 1]] }]
hours = ["mon-fri 08:00-18:00"]
[[webhooks]]
name = "home"
url = "https://example.org/hook"
[[rules]]
who = "unknown"
tell = ["home"]
"""


def read_toml(file: Path) -> object:
    from mien.config import load_settings
    from mien.watch.settings import read_file

    load_settings(file)
    return read_file(file)


_XMP = b"""<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/" xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#">
<mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:RegionList><rdf:Bag><rdf:li rdf:parseType="Resource">
<mwg-rs:Name>Ada</mwg-rs:Name><mwg-rs:Type>Face</mwg-rs:Type><mwg-rs:Area stArea:x="0.5" stArea:y="0.5" stArea:w="0.2"
stArea:h="0.2" stArea:unit="normalized"/></rdf:li></rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions></rdf:Description>
</rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


def read_xmp(file: Path) -> object:
    from mien.xmp.tags import TaggedPhoto

    photo_file = file.with_name("a.jpg")
    photo_file.write_bytes(encoded("JPEG"))
    file.replace(photo_file.with_name("a.jpg.xmp"))
    return TaggedPhoto(photo_file).marks()


KINDS: dict[str, tuple[str, Callable[[], bytes], Read]] = {
    "jpeg": (".jpg", lambda: encoded("JPEG"), read_picture),
    "png": (".png", lambda: encoded("PNG"), read_picture),
    "webp": (".webp", lambda: encoded("WEBP"), read_picture),
    "avif": (".avif", lambda: encoded("AVIF"), read_picture),
    "heic": (".heic", heif, read_picture),
    "gif": (".gif", lambda: encoded("GIF"), read_picture),
    "tiff": (".tif", lambda: encoded("TIFF"), read_picture),
    "bmp": (".bmp", lambda: encoded("BMP"), read_picture),
    "ppm": (".ppm", lambda: encoded("PPM"), read_picture),
    "jp2": (".jp2", lambda: encoded("JPEG2000"), read_picture),
    "mp4": (".mp4", lambda: film("mp4", "libx264"), read_film),
    "mkv": (".mkv", lambda: film("matroska", "libx264"), read_film),
    "webm": (".webm", lambda: film("webm", "libvpx"), read_film),
    "avi": (".avi", lambda: film("avi", "mpeg4"), read_film),
    "ts": (".ts", lambda: film("mpegts", "mpeg2video"), read_film),
    "onnx": (".onnx", classifier, read_onnx),
    "landmarks.dat": (".dat", lambda: dat("shape_predictor_5_face_landmarks.dat"), read_landmarks),
    "mmod.dat": (".dat", lambda: dat("mmod_human_face_detector.dat"), read_mmod),
    "pth": (".pth", lambda: shared("2.7_80x80_MiniFASNetV2.pth"), read_pth),
    "tflite": (".task", lambda: shared("face_landmarker.task"), read_tflite),
    "prototxt": (".prototxt", lambda: _PROTOTXT.encode(), read_caffe),
    "caffemodel": (".caffemodel", caffemodel, read_caffe),
    "tf-graph": (".pb", graph_def, read_graph),
    "gallery": (".db", lambda: filled("gallery"), read_gallery),
    "unknown": (".db", lambda: filled("unknown"), read_unknown),
    "visits": (".db", lambda: filled("visits"), read_visits),
    "backup": (".zip", archive, read_archive),
    "parquet-faces": (".parquet", lambda: parquet("faces"), lambda file: read_parquet(file, "faces")),
    "parquet-sources": (".parquet", lambda: parquet("sources"), lambda file: read_parquet(file, "sources")),
    "toml": (".toml", lambda: _TOML, read_toml),
    "xmp": (".xmp", lambda: _XMP, read_xmp),
}  # fmt: skip


# -- one process that reads, and the one that looks at it


def work(kind: str, first: int, count: int, keep: Path | None) -> None:
    """Reads mutated files one after another; a line of JSON before and behind each."""
    from mien.errors import MienError

    suffix, make, read = KINDS[kind]
    content = make()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with tempfile.TemporaryDirectory(prefix="mien-mutations-") as name:
        file = Path(name) / f"a{suffix}"
        file.write_bytes(content)
        read(file)  # as it was it must be good, or nothing is tried by changing it
    for number in range(first, first + count):
        print(json.dumps({"at": number}), flush=True)
        with tempfile.TemporaryDirectory(prefix="mien-mutations-") as name:
            file = Path(name) / f"a{suffix}"
            file.write_bytes(mutated(content, random.Random(f"{kind}{number}")))
            if keep is not None:
                shutil.copy(file, keep / f"{kind}-{number}{suffix}")
            try:
                read(file)
                outcome = "read"
            except MienError:
                outcome = "refused"
            except BaseException as exc:  # whatever it is, it is what is looked for
                outcome = f"wrong: {type(exc).__module__}.{type(exc).__name__}: {str(exc)[:120]}"
        print(json.dumps({"at": number, "outcome": outcome}), flush=True)


def look(kind: str, first: int, count: int, keep: Path | None) -> Counter[str]:
    """What became of each file of a kind."""
    found: Counter[str] = Counter()
    at, end = first, first + count
    while at < end:
        words = [
            sys.executable,
            __file__,
            "--work",
            kind,
            "--first",
            str(at),
            "--count",
            str(end - at),
        ]
        words += [] if keep is None else ["--keep", str(keep)]
        process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        at = follow(process, kind, at, found)
    return found


def follow(
    process: subprocess.Popen[bytes], kind: str, at: int, found: Counter[str]
) -> int:
    """Counts what a process tells until it ends, dies or is too slow; the number to go on with."""
    begun, buffer = False, b""
    until = time.monotonic() + 10 * LIMIT_S  # it has to begin
    while True:
        ready, _, _ = select.select(
            [process.stdout], [], [], max(0.0, until - time.monotonic())
        )
        more = os.read(process.stdout.fileno(), 65536) if ready else b""
        if not more:
            break
        *lines, buffer = (buffer + more).split(b"\n")
        for line in lines:
            said = json.loads(line)
            begun, at = "outcome" not in said, said["at"]
            until = time.monotonic() + (LIMIT_S if begun else 10 * LIMIT_S)
            if not begun:
                note(kind, at, said["outcome"], found)
                at += 1
    slow = process.poll() is None and not ready
    process.kill()
    said_last = process.communicate()[1].decode(errors="replace").strip()[-200:]
    if begun:
        died = (
            f"too slow: {LIMIT_S:g} s"
            if slow
            else f"died: {process.returncode} {said_last}"
        )
        note(kind, at, f"wrong: {died}", found)
        return at + 1
    if process.returncode and not slow and not found:
        raise SystemExit(f"{kind} cannot be made: {said_last}")
    return at


def note(kind: str, number: int, outcome: str, found: Counter[str]) -> None:
    found[outcome.partition(":")[0]] += 1
    if outcome.startswith("wrong"):
        print(f"{kind} {number}: {outcome}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--count", type=int, default=500, help="of each kind")
    parser.add_argument("--first", type=int, default=0, help="the number to begin with")
    parser.add_argument("--keep", type=Path, help="a folder for the mutated files")
    parser.add_argument("--work", choices=KINDS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given.work, given.first, given.count, given.keep)
        return
    wrong = 0
    for kind in given.kinds:
        try:
            KINDS[kind][1]()
        except LookupError as exc:
            print(f"{kind:>14}: left out, {exc}")
            continue
        began = time.monotonic()
        found = look(kind, given.first, given.count, given.keep)
        wrong += found["wrong"]
        took = time.monotonic() - began
        print(f"{kind:>14}: {dict(sorted(found.items()))}, {took:.0f} s", flush=True)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()

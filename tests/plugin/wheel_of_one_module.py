"""Builds the wheel of this package with nothing but Python, so that pip can install it without a network."""

from __future__ import annotations

import tomllib
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
MODULE = "mien_plugin_for_tests.py"


def build_wheel(
    wheel_directory: str,
    config_settings: object = None,
    metadata_directory: object = None,
) -> str:
    project = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    name = f"{project['name'].replace('-', '_')}-{project['version']}"
    groups = [
        f"[{group}]\n"
        + "\n".join(f"{key} = {value}" for key, value in entries.items())
        + "\n"
        for group, entries in project["entry-points"].items()
    ]
    about = {
        "METADATA": f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "entry_points.txt": "\n".join(groups),
        "RECORD": "",
    }
    file = f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(Path(wheel_directory, file), "w") as wheel:
        wheel.write(HERE / MODULE, MODULE)
        for path, text in about.items():
            wheel.writestr(f"{name}.dist-info/{path}", text)
    return file

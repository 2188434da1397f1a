"""Which model files of the user's tell what; chosen while the service runs."""

from __future__ import annotations

from collections.abc import Mapping

from mien.attribute import IDENTITY, check_attribute_name
from mien.errors import InputError, ModelError
from mien.models.attributes.heads import BUILT_IN
from mien.models.folder import ModelFile, ModelFolder
from mien.pipeline import Analyzer
from mien.server.problems import Problem


class Models:
    """The folder's model files and the choice among them; analyzers are made, never changed.

    Args:
        start: The analyzer the service was started with.
        folder: Where the files are; None: there are none.
    """

    def __init__(self, start: Analyzer, folder: ModelFolder | None) -> None:
        self.start = start
        self.folder = folder
        self.serving: Mapping[str, str | None] = dict.fromkeys(
            sorted(self._attributes())
        )

    def _attributes(self) -> set[str]:
        return {part for part in self.start.parts if part != IDENTITY}

    def files(self) -> list[ModelFile]:
        """The files to choose from."""
        return [] if self.folder is None else self.folder.files()

    def choose(self, now: Analyzer, attribute: str, name: str | None) -> Analyzer:
        """The analyzer in which a model file tells the attribute; None: as at the start.

        Raises:
            Problem: No such attribute or model.
        """
        try:
            check_attribute_name(attribute)
        except InputError as exc:
            raise Problem("invalid", str(exc)) from exc
        if attribute in BUILT_IN and attribute not in self.start.parts:
            raise Problem("invalid", f"this service does not compute {attribute}")
        if name is None:
            chosen = now.with_model(attribute, self.start.models.get(attribute))
        else:
            chosen = self._with_file(now, attribute, self._file(name))
        serving = {**self.serving, attribute: name}
        known = self._attributes()
        self.serving = {
            key: value
            for key, value in sorted(serving.items())
            if value is not None or key in known
        }
        return chosen

    def _with_file(self, now: Analyzer, attribute: str, file: ModelFile) -> Analyzer:
        try:
            return now.with_model(attribute, now.load_model(attribute, file.file))
        except ModelError as exc:
            detail = str(exc).replace(str(file.file), file.name)
            raise Problem(
                "unusable-input", f"{file.name} cannot be used: {detail}"
            ) from exc

    def _file(self, name: str) -> ModelFile:
        found = next((file for file in self.files() if file.name == name), None)
        if found is None:
            where = (
                "start it with --models-dir"
                if self.folder is None
                else "GET /v1/models lists them"
            )
            raise Problem(
                "model-not-found",
                f"this service has no model file of this name; {where}",
            )
        if found.error:
            raise Problem("unusable-input", f"{found.name}: {found.error}")
        return found

"""Models of the user's own: which there are, and which tell what."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from mien.server.problems import documented
from mien.server.records import ChoiceRecord, ModelRecord, ModelsRecord
from mien.server.security import Admin, Reader, ServiceDep
from mien.server.service import Service

router = APIRouter(tags=["models"])

Attribute = Annotated[
    str,
    Path(
        max_length=40,
        description="A built-in attribute, or a name of your own.",
        examples=["glasses"],
    ),
]


@router.get(
    "/v1/models",
    summary="Model files to choose from",
    responses=documented("unusable-input"),
)
def list_models(caller: Reader, service: ServiceDep) -> ModelsRecord:
    """The files in the folder the service was started with (`--models-dir`), and which of them tell what."""
    return _record(service)


@router.put(
    "/v1/models/{attribute}",
    summary="Choose a model",
    responses=documented(
        "model-not-found",
        "model-unavailable",
        "unusable-input",
        "too-large",
        "too-slow",
    ),
)
def choose_model(
    caller: Admin, service: ServiceDep, attribute: Attribute, choice: ChoiceRecord
) -> ModelsRecord:
    """Lets a model file tell an attribute from the next request on; what is being worked on ends as it began.

    The choice lasts until the service ends.
    """
    service.choose(attribute, choice.model)
    return _record(service)


def _record(service: Service) -> ModelsRecord:
    serving = dict(service.models.serving)
    active = set(serving.values())
    records = [
        ModelRecord(
            name=file.name,
            attribute=file.attribute or None,
            labels=list(file.labels),
            licence=file.licence or None,
            active=file.name in active,
            error=file.error or None,
        )
        for file in service.models.files()
    ]
    return ModelsRecord(models=records, serving=serving)

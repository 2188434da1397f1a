"""Rules: who is told of which visits."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from mien.server.problems import documented
from mien.server.records import (
    RuleChangeRecord,
    RuleOrderRecord,
    RuleRecord,
    RulesRecord,
    RuleTestRecord,
)
from mien.server.routes.cameras import watching_of
from mien.server.security import Admin, ServiceDep

router = APIRouter(tags=["watching"])

_ADDED = (
    *("address-refused", "unusable-input", "source-lost", "too-large"),
    *("too-slow", "gallery-unavailable", "not-watching"),
)
_KNOWN = ("rule-not-found", "not-watching", "gallery-unavailable")
RuleId = Annotated[
    str, Path(max_length=64, description="As listed.", examples=["file-1"])
]


@router.get("/v1/rules", summary="Rules", responses=documented("not-watching"))
def list_rules(caller: Admin, service: ServiceDep) -> RulesRecord:
    """All rules, those of the service's file first; addresses without their secrets."""
    rules = watching_of(service).rules.all()
    return RulesRecord(rules=[RuleRecord.of(one) for one in rules])


@router.post(
    "/v1/rules",
    status_code=201,
    summary="Add a rule",
    responses=documented("busy", *_ADDED),
)
def add_rule(
    caller: Admin, service: ServiceDep, order: RuleOrderRecord, response: Response
) -> RuleRecord:
    """Tells an address of visits from now on; of private ones only those of `--url-host`."""
    watching = watching_of(service)
    added = watching.rules.add(order.said(), watching.names)
    response.headers["location"] = f"/v1/rules/{added.id}"
    return RuleRecord.of(added)


@router.post(
    "/v1/rules/{rule_id}/test", summary="Send a test", responses=documented(*_KNOWN)
)
def test_rule(caller: Admin, service: ServiceDep, rule_id: RuleId) -> RuleTestRecord:
    """Tells whom a rule tells of a visit that never was (`event` is `test`), at once; says whether that went well."""
    return RuleTestRecord(told=watching_of(service).rules.test(rule_id))


@router.patch(
    "/v1/rules/{rule_id}",
    summary="Change a rule",
    responses=documented("rule-fixed", "rule-not-found", *_ADDED),
)
def change_rule(
    caller: Admin, service: ServiceDep, rule_id: RuleId, order: RuleChangeRecord
) -> RuleRecord:
    """Changes a rule that was added; what is not given stays. Those of the file are changed there."""
    watching = watching_of(service)
    return RuleRecord.of(watching.rules.change(rule_id, order.said(), watching.names))


@router.delete(
    "/v1/rules/{rule_id}",
    status_code=204,
    summary="Remove a rule",
    responses=documented("rule-fixed", *_KNOWN),
)
def delete_rule(caller: Admin, service: ServiceDep, rule_id: RuleId) -> Response:
    """Ends a rule that was added; what it still had to tell is not told."""
    watching_of(service).rules.remove(rule_id)
    return Response(status_code=204)

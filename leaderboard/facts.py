"""What a method consumes and under which license it comes: from run.json, else from the installed plugin."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from motionbench import registry
from motionbench.errors import MotionBenchError
from motionbench.gate import gate_of
from motionbench.method import InputContract
from motionbench.typed_json import to_object

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MethodFacts:
    """What stands beside a method's numbers.

    contract: None where neither run.json nor an installed plugin states it. license: of the package that brings the
    method. gate: `passed`, `unvalidated`, or None for controls and where nothing states it; gate_note: the numbers.
    """

    contract: InputContract | None
    license: str | None
    gate: str | None
    gate_note: str
    summary: str
    is_control: bool

    @property
    def uses_backbone(self) -> bool:
        """False for controls whose clips owe nothing to the backbone, and so stand in the tables of all."""
        return self.contract is None or self.contract.uses_backbone


def method_facts(
    method: str, manifests: Iterable[Mapping[str, Any]], gates: Iterable[Mapping[str, Any]] = ()
) -> MethodFacts:
    """The facts about a method, as the first run.json that states them, else as its plugin.

    gates: as the runs' summaries state them, for a method that is not installed here.
    """
    stated = [block for manifest in manifests for block in (manifest, manifest.get("environment") or {})]
    contract = _first(stated, "contract")
    license = _first(stated, "license")
    summary = _first(stated, "summary")
    known = to_contract(contract) if isinstance(contract, dict) else installed_contract(method)
    gate, note = method_gate(method, _first(stated, "gate"), gates)
    return MethodFacts(
        contract=known,
        license=license if isinstance(license, str) else registry.license_of("methods", method),
        gate=gate,
        gate_note=note,
        summary=summary if isinstance(summary, str) else installed_summary(method),
        is_control=known is not None and known.is_control,
    )


def _first(blocks: Iterable[Mapping[str, Any]], key: str) -> Any:
    return next((block[key] for block in blocks if block.get(key) is not None), None)


def method_gate(method: str, stated: Any, gates: Iterable[Mapping[str, Any]] = ()) -> tuple[str | None, str]:
    """The state and the note of the gate: as run.json states them, else as the package of the installed method does.

    gates: what summaries state, for a method that is not installed.
    """
    if isinstance(stated, dict) and isinstance(stated.get("passed"), bool):
        return "passed" if stated["passed"] else "unvalidated", str(stated.get("note", ""))
    if method in registry.names("methods"):
        gate = gate_of(method)
        state, note = str(gate.state), gate.note
    else:
        shown = next((gate for gate in gates if gate.get("state")), {})
        state, note = str(shown.get("state", "exempt")), str(shown.get("note", ""))
    return (None, "") if state == "exempt" else (state, note)


def to_contract(value: Mapping[str, Any]) -> InputContract | None:
    """A contract from JSON; None if it is malformed, which shows as `?` and ranks nothing differently."""
    try:
        return to_object(InputContract, value, refuse_unknown=False)
    except ValueError:
        return None


@cache
def installed_contract(method: str) -> InputContract | None:
    """The contract that the installed method declares; None if it is not installed or cannot be imported."""
    if method not in registry.names("methods"):
        return None
    try:
        contract = registry.load("methods", method).contract
    except MotionBenchError as error:
        logger.warning("the contract of %s is unknown: %s", method, error)
        return None
    return contract if isinstance(contract, InputContract) else None


@cache
def installed_summary(method: str) -> str:
    """One line on an installed method; "" for others."""
    return registry.summary("methods", method) if method in registry.names("methods") else ""

"""Calls about feature services."""

from __future__ import annotations

from collections.abc import Sequence

from tiffin.client.call import Call, Steps, as_nothing, as_type, get, named, post
from tiffin.client.calls.upkeep import examine
from tiffin.doctor import Finding
from tiffin.errors import InvalidInputError
from tiffin.registry import Service


def create_service(
    name: str, features: Sequence[str], *, description: str = "", replace: bool = False
) -> Call[Service]:
    """Save a list of references under a name, for one model.

    As `FeatureStore.create_service`.
    """
    if isinstance(features, str):
        raise InvalidInputError(
            f"features of service {name!r} is {features!r}", hint=f"give a list of references: [{features!r}]"
        )
    asked = {"name": name, "features": features, "description": description, "replace": replace}
    return post("/services", as_type(Service), asked)


def services() -> Call[list[Service]]:
    """List the feature services by name.

    As `FeatureStore.services`.
    """
    return get("/services", list[Service])


def service(name: str) -> Call[Service]:
    """Return a feature service.

    As `FeatureStore.service`.
    """
    return get(named("services", name), Service)


def drop_service(name: str) -> Call[None]:
    """Remove a feature service; the tables stay as they are.

    As `FeatureStore.drop_service`.
    """
    return Call(method="DELETE", path=named("services", name), decode=as_nothing)


def examine_services() -> Steps[list[Finding]]:
    """Check that every feature service can be read and finds its features, as `examine` does with all else."""
    findings: list[Finding] = yield examine()
    return [finding for finding in findings if finding.service]

"""A second source of the same facts: the pydantic models of `hera` 7.1, generated from Argo 4.0's OpenAPI document.

The two sources share no step: hera's models come from the server's OpenAPI document by a generator of its own, our
schema from the field reference. hera has one release at a time; what it says of 4.0 reaches the others through the
known differences (`test_schema_differences`).
"""

import types
import typing

import pytest
from pydantic import BaseModel

from bridge.validation.differences import notation
from bridge.validation.library import SchemaLibrary

argo = pytest.importorskip("hera.workflows.models.io.argoproj.workflow.v1alpha1")
core = pytest.importorskip("hera.workflows.models.io.k8s.api.core.v1")
policy = pytest.importorskip("hera.workflows.models.io.k8s.api.policy.v1")
meta = pytest.importorskip("hera.workflows.models.io.k8s.apimachinery.pkg.apis.meta.v1")

DEFINITIONS = SchemaLibrary().schema("4.0.10")["$defs"]
# hera models a scalar type as a class with one field `root`.
SCALAR_TYPES = {"Amount", "IntOrString", "Item", "Quantity", "Time"}
NAMES = {str: "string", int: "integer", bool: "boolean", float: "number"}

# Where the two differ, and who is right by the verdict of Argo's own decoder (`corrections` has the sources).
OURS_IS_RIGHT = {
    "Parameter.value": ("string", "string or number or boolean"),
    "Parameter.default": ("string", "string or number or boolean"),
    "Parameter.description": ("string", "string or number or boolean"),
    "Parameter.enum": ("list of string", "list of string or number or boolean"),
    "ValueFrom.default": ("string", "string or number or boolean"),
    # A port may be named; hera narrows it by hand.
    "HTTPGetAction.port": ("integer", "IntOrString"),
}


def models(module):
    """The model classes that a module defines, by name."""
    return {
        name: one
        for name, one in vars(module).items()
        if isinstance(one, type) and issubclass(one, BaseModel) and one.__module__ == module.__name__
    }


ARGO = models(argo)
KUBERNETES = models(core) | models(policy) | models(meta)


def model_of(name):
    """hera's model of one of our types."""
    return KUBERNETES[name.removeprefix("k8s.")] if name.startswith("k8s.") else (ARGO.get(name) or KUBERNETES[name])


def shown(annotation):
    """An annotation in the words of `differences.notation`."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(shown(one) for one in arguments if one is not type(None))
    if origin is list:
        inner = shown(arguments[0])
        return f"list of {'list of WorkflowStep' if inner == 'ParallelSteps' else inner}"
    if origin is dict:
        return f"map of {shown(arguments[1])}"
    if origin is typing.Annotated:
        return shown(arguments[0])
    if origin is typing.Literal:
        return " | ".join(f'"{one}"' for one in arguments)
    return NAMES.get(annotation, getattr(annotation, "__name__", str(annotation)))


TYPES = sorted(name for name, one in DEFINITIONS.items() if one.get("properties"))


@pytest.mark.parametrize("name", TYPES)
def test_a_type_has_the_same_fields_with_the_same_types_in_both_sources(name):
    """Neither source has a field that the other lacks."""
    theirs = {field.alias or key: field.annotation for key, field in model_of(name).model_fields.items()}
    ours = DEFINITIONS[name]["properties"]
    assert set(ours) == set(theirs)
    for field, schema in ours.items():
        mine, other = notation(schema).replace("k8s.", ""), shown(theirs[field])
        if f"{name}.{field}" in OURS_IS_RIGHT:
            assert (other, mine) == OURS_IS_RIGHT[f"{name}.{field}"]
        elif "anyOf" in schema or "const" in schema:
            assert other in ("string", mine) or other[0].isupper(), f"{name}.{field}: {mine} / {other}"
        else:
            assert mine == other, f"{name}.{field}: {mine} / {other}"


def test_every_model_of_a_manifest_is_among_our_types():
    """What only hera has are requests and answers of the server's API."""
    reachable, waiting = set(), [ARGO[name] for name in ("Workflow", "CronWorkflow", "ClusterWorkflowTemplate")]
    waiting += [ARGO["WorkflowTemplate"], ARGO["WorkflowEventBinding"]]
    while waiting:
        model = waiting.pop()
        if model.__name__ in reachable:
            continue
        reachable.add(model.__name__)
        for field in model.model_fields.values():
            waiting += [one for one in inner_types(field.annotation) if issubclass(one, BaseModel)]
    assert len(reachable) > 200
    assert reachable - {"ParallelSteps"} - SCALAR_TYPES <= set(DEFINITIONS)


def inner_types(annotation):
    """The classes that an annotation mentions."""
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return [annotation]
    return [one for argument in typing.get_args(annotation) for one in inner_types(argument)]

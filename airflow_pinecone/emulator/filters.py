"""Metadata filters: which records a filter selects."""

from collections.abc import Callable, Mapping
from typing import Any

from airflow_pinecone.emulator.errors import ApiError

Predicate = Callable[[Mapping[str, Any]], bool]

_MISSING: Any = object()


def predicate(expression: Any) -> Predicate:
    """Return a function that tells whether metadata matches a filter; 400 if the filter is invalid."""
    if not isinstance(expression, dict):
        raise ApiError(400, "A filter must be an object.")
    parts = [_part(name, condition) for name, condition in expression.items()]
    return lambda metadata: all(part(metadata) for part in parts)


def _part(name: str, condition: Any) -> Predicate:
    if name in {"$and", "$or"}:
        if not isinstance(condition, list) or not condition:
            raise ApiError(400, f"{name} must have a list of filters.")
        parts = [predicate(each) for each in condition]
        if name == "$and":
            return lambda metadata: all(part(metadata) for part in parts)
        return lambda metadata: any(part(metadata) for part in parts)
    if name.startswith("$"):
        raise ApiError(400, f"Unknown operator in a filter: {name}.")
    if not isinstance(condition, dict):
        condition = {"$eq": condition}
    tests = [_test(operator, operand) for operator, operand in condition.items()]
    return lambda metadata: all(test(metadata.get(name, _MISSING)) for test in tests)


def _test(operator: str, operand: Any) -> Callable[[Any], bool]:
    """Return a function that tells whether the value of a field, or _MISSING, fulfils a condition."""
    match operator, operand:
        case "$eq", str() | int() | float():
            return lambda value: _equals(value, operand)
        case "$ne", str() | int() | float():
            return lambda value: not _equals(value, operand)
        case "$in", list():
            return lambda value: any(_equals(value, each) for each in operand)
        case "$nin", list():
            return lambda value: not any(_equals(value, each) for each in operand)
        case "$exists", bool():
            return lambda value: (value is not _MISSING) == operand
        case "$gt", int() | float() if _is_number(operand):
            return lambda value: _is_number(value) and value > operand
        case "$gte", int() | float() if _is_number(operand):
            return lambda value: _is_number(value) and value >= operand
        case "$lt", int() | float() if _is_number(operand):
            return lambda value: _is_number(value) and value < operand
        case "$lte", int() | float() if _is_number(operand):
            return lambda value: _is_number(value) and value <= operand
    raise ApiError(400, f"Invalid operator or operand in a filter: {operator}.")


def _equals(value: Any, operand: Any) -> bool:
    """Return whether a value, or an item of a list, is the operand. True is not 1."""
    if isinstance(value, list):
        return operand in value
    return bool(isinstance(value, bool) == isinstance(operand, bool) and value == operand)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)

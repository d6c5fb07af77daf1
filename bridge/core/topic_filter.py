"""MQTT topic names and filters: validity, matching by position, overlap. Pure functions.

Source: MQTT 5.0 section 4.7 (and 3.1.1 section 4.7, the same rules).
"""

from __future__ import annotations

MAX_TOPIC_BYTES = 65_535


def filter_problem(topic_filter: str) -> str:
    """Return why `topic_filter` is not a valid topic filter, or "" if it is (MQTT 5.0 section 4.7.1)."""
    problem = _text_problem(topic_filter)
    if problem:
        return problem
    levels = topic_filter.split("/")
    for position, level in enumerate(levels):
        if "#" in level and (level != "#" or position != len(levels) - 1):
            return "# must be the whole last level"
        if "+" in level and level != "+":
            return f'+ must be a whole level, found "{level}"'
    return ""


def name_problem(topic: str) -> str:
    """Return why `topic` is not a valid topic name, or "" if it is (MQTT 5.0 section 4.7.1: no wildcards)."""
    problem = _text_problem(topic)
    if problem:
        return problem
    return "a topic name must not have wildcards (+ or #)" if "+" in topic or "#" in topic else ""


def _text_problem(text: str) -> str:
    if not text:
        return "a topic must have at least one character"
    if "\0" in text:
        return "a topic must not have a NUL character"
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return "a topic must be valid UTF-8"
    return f"a topic has at most {MAX_TOPIC_BYTES} bytes" if size > MAX_TOPIC_BYTES else ""


def matches(topic_filter: str, topic: str) -> bool:
    """Whether the topic name `topic` matches `topic_filter`, level by level.

    A wildcard in the first level does not match a topic that begins with ``$`` (MQTT 5.0 section 4.7.2).
    ``sport/#`` matches ``sport`` itself (section 4.7.1.2).
    """
    if topic.startswith("$") and topic_filter[:1] in ("+", "#"):
        return False
    wanted, levels = topic_filter.split("/"), topic.split("/")
    for position, level in enumerate(wanted):
        if level == "#":
            return True
        if position >= len(levels) or level not in ("+", levels[position]):
            return False
    return len(wanted) == len(levels)


def overlap(first: str, second: str) -> bool:
    """Whether any topic name matches both filters (either may be a plain topic name)."""
    if first[:1] in ("+", "#") and second.startswith("$"):
        return False
    if second[:1] in ("+", "#") and first.startswith("$"):
        return False
    left, right = first.split("/"), second.split("/")
    for position in range(max(len(left), len(right))):
        a = left[position] if position < len(left) else None
        b = right[position] if position < len(right) else None
        if a == "#" or b == "#":
            # "#" also matches zero further levels, so one side may have ended here.
            return True
        if a is None or b is None:
            return False
        if a != b and a != "+" and b != "+":
            return False
    return True


def covers(broader: str, narrower: str) -> bool:
    """Whether every topic name that matches `narrower` also matches `broader` (either may be a plain topic name)."""
    if broader[:1] in ("+", "#") and narrower[:1] == "$":
        return False
    left, right = broader.split("/"), narrower.split("/")
    for position, level in enumerate(left):
        if level == "#":
            return True
        if position >= len(right) or right[position] == "#":
            return False
        if level != "+" and level != right[position]:
            return False
    return len(left) == len(right)

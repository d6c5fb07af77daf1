"""The operations of the interface; `operation_options` has their options and replies."""

from __future__ import annotations

from enum import Enum


class Operation(Enum):
    """One operation; the value is its topic level and its name in ``interface.operations``."""

    TRIGGER = "trigger"
    STOP = "stop"
    TERMINATE = "terminate"
    SUSPEND = "suspend"
    RESUME = "resume"
    RETRY = "retry"
    RESUBMIT = "resubmit"
    DELETE = "delete"
    SET = "set"
    GET = "get"
    LIST = "list"
    LINT = "lint"
    LOGS = "logs"
    LIST_TEMPLATES = "list-templates"
    GET_TEMPLATE = "get-template"
    SUSPEND_CRON = "suspend-cron"
    RESUME_CRON = "resume-cron"
    TRIGGER_CRON = "trigger-cron"

"""Differences between the simulated Argo Server releases.

Only facts, from recordings of real servers (tests/contract/recordings). Immutable, so any thread may read it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Release:
    """The behaviour of one Argo release where the five differ.

    Attributes:
        version: Release without the leading `v`.
        git_commit: What `GET version` reports as `gitCommit`.
        field_manager_suffix: Appended to `argo` and `workflow-controller` in `managedFields`.
        version_header: Unary successes carry `Grpc-Metadata-Argo-Version`.
        grpc_header_on_errors: Errors from behind the gateway carry `Grpc-Metadata-Content-Type`.
        kube_text_on_watch: A watch refused by kube tells kube's own text; if not, client-go's generic one.
        live_continue: `continue` is set for a truncated page of live workflows without being asked for.
        long_name_required: The text for a missing name lists a second cause.
        null_creation_timestamp: A zero creationTimestamp prints as null; if not, it is left out.
        user_interface: Paths outside /api answer a page; if not, an empty body (a build without the UI).
        template_cache: Templates are read from the server's cache, so a denial reads `permission denied`.
        template_managed_fields: GET of a template shows its managedFields.
        container_in_message: A failed pod's message starts with the container's name.
        task_result_synced: Pod nodes have `taskResultSynced`.
        task_results_map: The status has `taskResultsCompletionStatus`.
        trace_annotation: The controller writes a trace-id annotation.
        last_seen_annotation: The controller writes a last-seen-version annotation.
        template_label: The controller labels a workflow with its template; if not, only `submit` does.
        suspend_completed_is_invalid: Suspending a finished workflow is a 400; if not, a 500.
        retry_sets_phase: A retry's answer says Running; if not, it has no phase and its label keeps the old one.
        retry_resets_suspends: A retry resets failed suspend nodes too; if not, only nodes that execute something.
        actor_labels: The verbs note who called them in labels.
        schedules: CronWorkflows have `schedules`; if not, only `schedule`.
        all_operators: fieldSelector takes `==` and `!=` for these fields.
    """

    version: str
    git_commit: str
    field_manager_suffix: str = ""
    version_header: bool = True
    grpc_header_on_errors: bool = True
    kube_text_on_watch: bool = True
    live_continue: bool = False
    long_name_required: bool = True
    null_creation_timestamp: bool = False
    user_interface: bool = True
    template_cache: bool = True
    template_managed_fields: bool = False
    container_in_message: bool = True
    task_result_synced: bool = True
    task_results_map: bool = False
    trace_annotation: bool = False
    last_seen_annotation: bool = False
    template_label: bool = False
    suspend_completed_is_invalid: bool = False
    retry_sets_phase: bool = False
    retry_resets_suspends: bool = False
    actor_labels: bool = True
    schedules: bool = True
    all_operators: frozenset[str] = frozenset()

    @property
    def minor(self) -> tuple[int, int]:
        """Major and minor number, for ordering."""
        major, minor, _ = self.version.split(".", 2)
        return int(major), int(minor)


RELEASES: dict[str, Release] = {
    release.version: release
    for release in (
        Release(
            version="3.5.15",
            git_commit="b44c9b6a21cc60c00ef0cf3ca6a6a49e197a59b7",
            field_manager_suffix="-3.5.15",
            version_header=False,
            grpc_header_on_errors=False,
            kube_text_on_watch=False,
            live_continue=True,
            long_name_required=False,
            null_creation_timestamp=True,
            user_interface=False,
            template_cache=False,
            template_managed_fields=True,
            container_in_message=False,
            task_result_synced=False,
            task_results_map=True,
            retry_sets_phase=True,
            retry_resets_suspends=True,
            actor_labels=False,
            schedules=False,
        ),
        Release(
            version="3.6.19",
            git_commit="c66a734c911a25a1e0f626af5995a222d6267e37",
            field_manager_suffix="-3.6.19",
            live_continue=True,
            long_name_required=False,
            null_creation_timestamp=True,
            user_interface=False,
            template_cache=False,
            template_managed_fields=True,
            container_in_message=False,
            task_result_synced=False,
            task_results_map=True,
            last_seen_annotation=True,
            retry_sets_phase=True,
            actor_labels=False,
        ),
        Release(
            version="3.7.18",
            git_commit="66e32e5cc367f223e2ecf4fbe852b95eaed83034",
            field_manager_suffix="-3.7.18",
            live_continue=True,
            long_name_required=False,
            null_creation_timestamp=True,
            template_managed_fields=True,
            retry_sets_phase=True,
        ),
        Release(
            version="4.0.10",
            git_commit="2334ea9dd8ccb0e5a6bfd1399fb84a114279e7d6",
            field_manager_suffix="-4.0.10",
            null_creation_timestamp=True,
            template_managed_fields=True,
            all_operators=frozenset({"metadata.name"}),
        ),
        Release(
            version="4.1.2",
            git_commit="16a52d67daf2f4a8a76fa8bec02a76a46aa46257",
            trace_annotation=True,
            template_label=True,
            suspend_completed_is_invalid=True,
            all_operators=frozenset({"metadata.name", "metadata.namespace"}),
        ),
    )
}

DEFAULT_VERSION = "4.1.2"


def find_release(version: str) -> Release:
    """Return the release that `version` names.

    Args:
        version: `4.1.2`, `v4.1.2`, or the minor version alone (`4.1`).

    Raises:
        ValueError: No release with that name is simulated; the text lists those that are.
    """
    wanted = version.removeprefix("v")
    for name, release in RELEASES.items():
        if wanted in (name, name.rsplit(".", 1)[0]):
            return release
    raise ValueError(f"argo version {version!r} is not simulated; choose one of {', '.join(RELEASES)}")

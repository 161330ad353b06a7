"""Which builds of a Jenkins job deliver: what the library decides, as a table for people.

Sources: the variables of Jenkins' branch sources (CHANGE_ID, TAG_NAME, BRANCH_IS_PRIMARY) and of the
plugins that build changes before they are merged: GitHub pull request builder, GitLab, Gerrit trigger,
Bitbucket push and pull request, Bitbucket and Stash pull request builder, Phabricator.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipegraft.ci.model import EventRow

__all__ = ["CHANGES", "TIMERS", "event_rows"]

CHANGES = (
    *("CHANGE_ID", "ghprbPullId", "gitlabMergeRequestIid", "gitlabMergeRequestId"),
    *("BITBUCKET_PULL_REQUEST_ID", "pullRequestId", "PULL_REQUEST_ID", "DIFF_ID"),
)
"""Variables that are set where a change is built before it is merged."""
TIMERS = (
    "hudson.triggers.TimerTrigger$TimerTriggerCause",
    "org.jenkinsci.plugins.parameterizedscheduler.ParameterizedTimerTriggerCause",
)
"""Causes of builds that nobody and no commit started."""


def event_rows(branch: str, behind: Sequence[str], *, timers: bool) -> tuple[EventRow, ...]:
    """The table of builds.

    Arguments:
        branch: the delivered branch, empty where Jenkins knows it alone.
        behind: the team's stages that must have ended well.
        timers: whether the calls let a timer's build deliver.
    """
    named = branch or "the primary branch"
    stages = tuple(behind)

    def delivers(event: str, name: str) -> EventRow:
        return EventRow(event, name, "yes", "yes", stages)

    def does_not(event: str, name: str, why: str) -> EventRow:
        return EventRow(event, name, "yes", "no", why=why)

    return (
        delivers("push", f"push to {named}"),
        does_not("push-elsewhere", "push to another branch", f"{named} alone is delivered"),
        does_not("merge-request", "change request", "it is not merged"),
        does_not("tag", "tag", "branches alone are delivered"),
        delivers("schedule", "timer")
        if timers
        else does_not("schedule", "timer", "timers: true lets it deliver"),
        delivers("web", "started by hand"),
        delivers("upstream", "started by another job"),
        does_not("not-good", "unstable, failed or aborted so far", "only a good build is delivered"),
    )

"""Jobs: what runs, how it ends, what stands still."""

from dashboards.parts import Board, Panel, Query
from dashboards.words import NO_YES, average, increase, metric, rate, total

BOARD = Board(
    "orchestrator-jobs",
    "Orchestrator: jobs",
    "What runs, how it ends, what stands still.",
    [
        (
            "Standing still",
            [
                Panel(
                    "Paused",
                    "By a person; `orchestrator ctl resume JOB` ends it.",
                    "none",
                    [Query(metric("job_paused"), "{{job_name}}")],
                    "control.md",
                    "states",
                    names=NO_YES,
                    height=10,
                ),
                Panel(
                    "Crashed too often",
                    "1 for a job that is not started any more; the log has the tracebacks.",
                    "none",
                    [Query(metric("job_failed"), "{{job_name}}")],
                    "runbook.md#job_failed",
                    "states",
                    names=NO_YES,
                    height=10,
                ),
                Panel(
                    "Since the last success",
                    "By the daemon's clock; empty for a job that never had one.",
                    "s",
                    [
                        Query(
                            f"time() - ({metric('job_last_success_timestamp_seconds')} > 0)",
                            "{{job_name}}",
                        )
                    ],
                    "jobs.md#how-a-job-is-looked-after",
                    "bars",
                    height=10,
                ),
            ],
        ),
        (
            "Running",
            [
                Panel(
                    "Runs",
                    "A second, by how they ended.",
                    "ops",
                    [Query(total(rate("job_runs_total"), "outcome"), "{{outcome}}")],
                    "jobs.md#how-a-run-ends",
                    "areas",
                    width=12,
                ),
                Panel(
                    "Runs by job",
                    "Within an hour.",
                    "short",
                    [Query(total(increase("job_runs_total", "1h"), "job_name"), "{{job_name}}")],
                    "jobs.md",
                    width=12,
                ),
                Panel(
                    "How long they take",
                    "On average, the wait for a context included.",
                    "s",
                    [Query(average("job_run_seconds", "job_name"), "{{job_name}}")],
                    "jobs.md",
                    width=12,
                ),
                Panel(
                    "Restarts",
                    "After a bug, within an hour. Any is worth a look into the log.",
                    "short",
                    [Query(total(increase("job_restarts_total", "1h"), "job_name"), "{{job_name}}")],
                    "runbook.md#job_failed",
                    steps=(1,),
                    width=12,
                ),
            ],
        ),
    ],
)

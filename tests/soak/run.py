"""A week of the demo's schedule in an hour, with real browser, database and site: does anything grow?

    python -m tests.soak.run --minutes 60 --samples soak.jsonl --picture docs/images/soak.svg

Ends with 1 when a figure grows by more than `verdict.LIMITS` allow.
"""
# ruff: noqa: T201 - it is a program of the terminal

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from tests.soak.picture import draw
from tests.soak.samples import Sample, take
from tests.soak.verdict import judge

SPEED = 168.0
"""A week in an hour."""
START_S, END_S = 120.0, 90.0
SAMPLES = 60
"""In all, but never more than one every `SHORTEST_S`."""
SHORTEST_S = 2.0


def soak(minutes: float, samples_file: Path, show: bool = True) -> list[Sample]:
    """Run the demo for so long; each sample is also a line of the file."""
    every_s = max(SHORTEST_S, min(60.0, minutes * 60 / SAMPLES))
    samples: list[Sample] = []
    with tempfile.TemporaryDirectory(prefix="soak-") as directory, samples_file.open("w") as lines:
        Path(directory).chmod(0o755)  # as root, PostgreSQL's own user must reach its data
        state_dir = Path(directory) / "state"
        state_dir.mkdir(mode=0o755)
        with _demo(state_dir) as process:
            started_at = time.monotonic()
            while (passed_s := time.monotonic() - started_at) <= minutes * 60:
                sample = take(process.pid, state_dir, passed_s / 60)
                samples.append(sample)
                lines.write(json.dumps(asdict(sample)) + "\n")
                lines.flush()
                if show:
                    print(_line(sample), flush=True)
                time.sleep(max(0.0, started_at + every_s * len(samples) - time.monotonic()))
    return samples


def _line(sample: Sample) -> str:
    parts = ", ".join(f"{part} {size:.0f}" for part, size in sample.memory_mb.items())
    return (
        f"{sample.minute:6.1f} min  {sample.total_mb:.0f} MB ({parts}); {sample.files} files, "
        f"{sample.processes} processes, {sample.threads} threads; database {sample.database_mb:.1f} MB, "
        f"{sample.published} posts"
    )


@contextmanager
def _demo(state_dir: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """The demo on the directory, ready; drained and gone at the end."""
    command = [
        *(sys.executable, "-m", "orchestrator", "demo", "--plain", "--speed", f"{SPEED:g}"),
        *("--state-dir", str(state_dir), "--http-port", "0", "--site-port", "0", "--load", "1"),
    ]
    log = state_dir / "daemon.log"
    with (state_dir / "output").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    try:
        give_up_at = time.monotonic() + START_S
        while not (log.exists() and b'"event": "ready"' in log.read_bytes()):
            if process.poll() is not None or time.monotonic() > give_up_at:
                raise RuntimeError(f"the demo is not ready: {(state_dir / 'output').read_text()[-500:]}")
            time.sleep(0.2)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description="A week of the demo in an hour: does anything grow?")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--samples", type=Path, default=Path("soak.jsonl"))
    parser.add_argument("--picture", type=Path, help="where to draw memory over time, as SVG")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # not without the demo's end
    samples = soak(options.minutes, options.samples)
    findings = judge(samples)
    for finding in findings:
        print(finding)
    first, last = samples[0], samples[-1]
    print(
        f"{last.minute * SPEED / 1440:.1f} days of the schedule; posts {first.published} → {last.published}; "
        f"database {first.database_mb:.1f} → {last.database_mb:.1f} MB (it keeps all records)"
    )
    if options.picture is not None:
        options.picture.write_text(draw(samples, SPEED))
    return 0 if all(finding.is_flat for finding in findings) else 1


if __name__ == "__main__":
    sys.exit(main())

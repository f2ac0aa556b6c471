"""Items of work in a process beside this one, within a time: one that crashes, hangs or spoils the device costs that item only.

Items go to the process one a line, as JSON, and their results come back likewise behind a mark.
"""

# Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0

import json
import os
import select
import signal
import subprocess
import sys
import time

MARK = "@result "


class Budget:
    """The whole time in parts, one behind the other; what a part leaves is for the next ones."""

    def __init__(self, parts, clock=time.monotonic):
        self._clock, self._start, self._ends = clock, clock(), {}
        end = 0.0
        for name, seconds in parts.items():
            end += seconds
            self._ends[name] = end

    def left(self, part):
        return self._start + self._ends[part] - self._clock()

    def spent(self):
        return self._clock() - self._start


class _Worker:
    def __init__(self, command, log):
        # A session of its own: what it starts ends with it.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True)
        self._buffer = b""

    def ask(self, item, seconds):
        """The item's result; what is wrong instead, as text."""
        try:
            self._process.stdin.write((json.dumps(item) + "\n").encode())
            self._process.stdin.flush()
        except (BrokenPipeError, OSError):
            return self._how_it_ended()
        end = time.monotonic() + seconds
        while True:
            line, found, rest = self._buffer.partition(b"\n")
            if found:
                self._buffer = rest
                text = line.decode(errors="replace")
                if text.startswith(MARK):
                    return json.loads(text[len(MARK):])
                continue
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                return f"no answer within {seconds:.0f} s"
            more = os.read(self._process.stdout.fileno(), 1 << 16)
            if not more:
                return self._how_it_ended()
            self._buffer += more

    def _how_it_ended(self):
        status = self._process.wait()
        return f"the process was ended by signal {-status}" if status < 0 else f"the process ended with status {status}"

    def close(self):
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # none of them is left
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


def run_items(command, items, left, each, log=None, said=lambda result: None):
    """A result for every item: the worker's, or a status of "failed" (it gave none) or "not run" (no time was left).

    left          seconds that are left, when asked
    each          the most seconds for one item
    """
    results, worker = [], None
    try:
        for item in items:
            if left() <= 0:
                results.append({"id": item["id"], "status": "not run", "detail": "no time was left"})
                continue
            if worker is None:
                worker = _Worker(command, log)
            # The last one may end a little late rather than be cut off.
            seconds = min(each, left() + 5)
            answer = worker.ask(item, seconds)
            if isinstance(answer, str):
                out_of_time = seconds < each and answer.startswith("no answer")
                answer = {"status": "not run" if out_of_time else "failed", "detail": answer, "end": True}
            if answer.pop("end", False):
                worker.close()
                worker = None
            results.append({"id": item["id"], **answer})
            said(results[-1])
    finally:
        if worker is not None:
            worker.close()
    return results


def serve(handle):
    """The worker's side: handles items of standard input until there are no more, or `handle` asks to end."""
    for line in sys.stdin:
        answer = handle(json.loads(line))
        sys.stdout.write("\n" + MARK + json.dumps(answer) + "\n")
        sys.stdout.flush()
        if answer.get("end"):
            return  # the process is of no more use  # the process is of no more use

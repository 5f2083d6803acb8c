"""A process of its own that is asked about one file after another: what ends or hangs it is known by name."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PATIENCE = 300  # seconds for all of them


def asked(program: str, paths: Sequence[Path]) -> dict[str, Any]:
    """Run a program that reads a path per line and answers each with a line of JSON; return file name -> answer."""
    answers = {}
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        timer = threading.Timer(PATIENCE, process.kill)
        timer.start()
        try:
            for path in paths:
                process.stdin.write(json.dumps(str(path)) + "\n")
                process.stdin.flush()
                line = process.stdout.readline()
                assert line, f"{path.name!r} ended the process"
                answers[path.name] = json.loads(line)
        finally:
            timer.cancel()
            process.stdin.close()
    return answers

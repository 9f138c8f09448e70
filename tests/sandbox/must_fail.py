#!/usr/bin/env python3
"""Starts the demo of a program without the filters and expects `letterlock sandbox-test` to find it out (exit 4)."""
import json
import signal
import subprocess
import sys
import tempfile

program = sys.argv[1]
with tempfile.TemporaryDirectory() as top:
    demo = subprocess.Popen([program, "demo", "--json", "--state", f"{top}/demo", "--port-base", "24000"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        line = demo.stdout.readline()
        if not line:
            sys.exit("the demo did not start")
        p = subprocess.run([program, "sandbox-test", "--config", json.loads(line)["config"]], capture_output=True, text=True, timeout=60)
        print(p.stdout + p.stderr)
    finally:
        demo.send_signal(signal.SIGINT)
        demo.wait(30)
sys.exit(0 if p.returncode == 4 else f"sandbox-test answered {p.returncode}, not 4")

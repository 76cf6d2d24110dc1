"""Plays the scim2-tester suite against the built server and fails on anything but success.

    conformance.py PLUMM_BINARY
"""

import collections
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading

import httpx2
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import Status, check_server

sys.dont_write_bytecode = True
from plumm import listening  # noqa: E402

SECONDS_MAX = 240


def main():
    binary = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        plumm = [binary, "--db", os.path.join(folder, "plumm.db")]
        # The suite makes up usernames and renames accounts: support can allow both.
        subprocess.run(plumm + ["org", "create", "suite", "--activate", "--username-format", "any",
                                "--identity-changes", "allow"], check=True)
        made = subprocess.run(plumm + ["--json", "token", "create", "suite"], check=True,
                              capture_output=True)
        token = json.loads(made.stdout)["token"]
        server = subprocess.Popen(plumm + ["serve", "--listen", "127.0.0.1:0"], text=True,
                                  stderr=subprocess.PIPE)
        watchdog = threading.Timer(SECONDS_MAX, server.kill)
        watchdog.start()
        try:
            results = play(listening(server), token)
            server.send_signal(signal.SIGTERM)
            assert server.wait(timeout=15) == 0
        finally:
            watchdog.cancel()
            server.kill()
    counts = collections.Counter(result.status for result in results)
    print("scim2-tester:", ", ".join(f"{count} {status.name}" for status, count in counts.items()))
    wrong = [result for result in results if result.status is not Status.SUCCESS]
    for result in wrong:
        print(f"  {result.status.name} {result.title}: {result.reason}")
    if wrong or not results:
        raise SystemExit(1)


def play(base, token):
    headers = {"Authorization": f"Bearer {token}"}
    with httpx2.Client(base_url=base + "/scim/v2", headers=headers, timeout=20) as client:
        return check_server(SyncSCIMClient(client))


main()

"""docs/first-five-minutes.md as it stands, typed by nobody: what it promises is what comes.

    first_minutes.py PLUMM_BINARY

The blocks of the page run in a shell, in an empty folder; only the port is another one, since this host may use it.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
from plumm import listening, not_run  # noqa: E402
from proxy import ROOT, SECONDS_MAX, free_port  # noqa: E402

MARK = "-- the end of a block --"
# What each block of the second terminal must show, in this order.
PROMISED = [
    [r"HTTP/1\.1 201 Created", r"mara\.novak@example\.com +active"],
    [r"HTTP/1\.1 200 OK", r'"active":true'],
    [r"HTTP/1\.1 200 OK", r'"active":false', r"HTTP/1\.1 403 Forbidden"],
    [r"token five minutes .* created the user mara", r"deactivated the user mara.*active true → false",
     r"May log in +no", r"backup +TO DO", r"plumm .*--backup-dir"],
]


def main():
    binary = os.path.abspath(sys.argv[1])
    if not shutil.which("curl"):
        not_run("docs/first-five-minutes.md: there is no curl here")
        return
    with open(os.path.join(ROOT, "docs", "first-five-minutes.md"), encoding="utf-8") as file:
        blocks = re.findall(r"^```sh\n(.*?)^```$", file.read(), re.M | re.S)
    assert len(blocks) == 1 + len(PROMISED), blocks
    port = free_port()
    assert blocks[0] == "plumm serve --init acme\n" and "127.0.0.1:8080" in blocks[1], blocks
    environment = {"PATH": os.path.dirname(binary) + os.pathsep + os.environ["PATH"], "LC_ALL": "C.UTF-8",
                   "PLUMM_LISTEN": f"127.0.0.1:{port}", "PLUMM_ENV_FILE": ""}
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        shell = {"cwd": folder, "env": environment, "text": True}
        server = subprocess.Popen(["bash", "-c", "exec " + blocks[0]], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, **shell)
        try:
            listening(server)
            typed = f"echo '{MARK}'\n".join(it.replace("127.0.0.1:8080", f"127.0.0.1:{port}") for it in blocks[1:])
            ran = subprocess.run(["bash", "-u", "-c", typed], capture_output=True, timeout=SECONDS_MAX, **shell)
            for shown, patterns in zip(ran.stdout.split(MARK), PROMISED, strict=True):
                for pattern in patterns:
                    found = re.search(pattern, shown)
                    assert found, (pattern, shown, ran.stderr)
                    shown = shown[found.end():]
            server.send_signal(signal.SIGINT)
            assert server.wait(timeout=SECONDS_MAX) == 0
            others = [it for it in os.listdir(folder) if not it.startswith("plumm.db")]
            assert others == [], others
        finally:
            server.kill()
            server.wait()
    print(f"first five minutes: the page keeps its promises, in {time.monotonic() - begun:.1f} s")


main()

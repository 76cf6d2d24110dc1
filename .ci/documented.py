"""The commands of the documents, typed as they stand: each block of shell of README and docs/ is run, or has its reason
in this file why not.

    documented.py PLUMM_BINARY

A block is run on a database with an organisation, two people and a webhook, beside a server. Addresses and ids that
are examples become those of this run, and what ends by Ctrl-C is ended once it works. Every command must succeed:
curl with an answer below 400, `plumm doctor` also with something to do, and what asks for --yes must ask. Nothing but
plumm and curl is run; `sudo systemctl` and `journalctl` do nothing.
"""

import glob
import http.server
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import threading
import time

sys.dont_write_bytecode = True
from plumm import Client, GROUP, Server, command, not_run, user  # noqa: E402
from proxy import ROOT, write  # noqa: E402

SECONDS_MAX = 60
# Documents that are read from their beginning to their end: each block goes on where the one before has ended. The
# blocks of the others stand for themselves.
STORIES = ["application", "backup-and-standby", "by-hand", "own-attributes", "people", "upgrade"]
# Those that begin before there are people.
NOBODY_YET = ["application", "by-hand", "people"]
# Those that begin before there is an organisation.
NO_ORGANISATION = ["entra"]
ACME = "asks an authority on the internet: tests/it/acme.rs plays one"
PACKAGES = ".ci/package-test does it in a clean Debian"
LITESTREAM = ".ci/litestream.py runs it"
# What is not run, by document and the beginning of the block.
ELSEWHERE = {
    "README": [("cargo run", ".ci/run runs it"), ("plumm serve --init acme --acme", ACME)],
    "docs/backup-and-standby": [("install -m 644 deploy/litestream.yml", LITESTREAM), ("umask 077", LITESTREAM),
                                ("systemctl stop litestream", LITESTREAM)],
    "docs/demo": [("plumm --db /tmp/plumm-demo-…", "each demonstration has a folder of another name: tests/it/demo.rs")],
    "docs/first-five-minutes": [("", ".ci/first_minutes.py runs it, and looks at what it shows")],
    "docs/install": [("apt install", PACKAGES), ("dnf install", f"{PACKAGES}, with rpm alone"),
                     ("mkdir image", f"{PACKAGES}, with buildah and without a network"), ("cargo build", ".ci/run runs it"),
                     ("export PATH", "all of these do it"), ("install -m 755 plumm", PACKAGES), ("sudo -u plumm", PACKAGES)],
    "docs/settings": [("# Comments", "it is a file: tests/it/settings.rs reads such")],
    "docs/tls-and-proxies": [("plumm serve --acme", ACME), ("#!/bin/sh", "certbot calls it"),
                             ('"$JAVA_HOME', "it changes what Java trusts")],
    "docs/uninstall": [("sudo systemctl disable", PACKAGES), ("sudo rm", PACKAGES)],
}
# How a line that may be run begins; what goes on from the line before is indented.
ALLOWED = re.compile(r"plumm |curl |[A-Z]+=\$\(plumm |sudo systemctl |journalctl |[ #]|$")

STUBS = {
    "curl": 'exec "$REAL_CURL" --silent --show-error --fail-with-body "$@"',
    "sudo": '[[ $1 == systemctl ]]',
    "journalctl": ":",
    "plumm": r"""
ends=yes more=()
for word in "$@"; do
  case $word in
    serve | --follow) ends=no ;;
    demo) ends=no more=(--listen 127.0.0.1:0) ;;
    doctor) ends=maybe ;;
    purge | delete) ends=refused ;;
    --yes) ends=yes ;;
  esac
done
case $ends in
  yes) exec "$PLUMM" "$@" ;;
  maybe) "$PLUMM" "$@" || [[ $? == 1 ]] ;;
  # Without --yes it only says what it would do.
  refused) ! "$PLUMM" "$@" || exit 1 ;;
  no)
    said=$(mktemp)
    "$PLUMM" "$@" "${more[@]}" 2>"$said" &
    begun=$SECONDS
    until [[ $* == *--follow* ]] || grep -q 'listening on' "$said"; do
      kill -0 $! && ((SECONDS - begun < 30)) || { cat "$said" >&2; exit 1; }
      sleep 0.05
    done
    sleep 0.3
    kill -INT $!
    code=0
    wait $! || code=$?
    cat "$said" >&2
    # What follows is ended by the signal itself.
    [[ $code == 0 || $* == *--follow* && $code == 130 ]]
    ;;
esac
""",
}


class Receiver(http.server.BaseHTTPRequestHandler):
    """The application's end of a webhook."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


class Scene:
    """A folder with a database and what the documents speak of."""

    def __init__(self, binary, folder, stubs, receiver, page, text):
        self.binary, self.folder, self.stubs = binary, folder, stubs
        os.mkdir(folder)
        os.mkdir(os.path.join(folder, "backups"))
        self.database = os.path.join(folder, "plumm.db")
        self.variables, self.texts = {}, {
            "0.0.0.0:443": "127.0.0.1:0", "10.0.0.7:8443": "127.0.0.1:0", "/backups": f"{folder}/backups",
            "https://app.example.com/plumm": receiver, "after=117&wait=30": "after=0&wait=1",
        }
        command(binary, self.database, "tls", "self-signed", "--host", "scim.example.com",
                "--out-cert", os.path.join(folder, "fullchain.pem"), "--out-key", os.path.join(folder, "privkey.pem"))
        for name, content in re.findall(r"`(\w+\.json)`[^`]*?^```json\n(.*?)^```$", text, re.M | re.S):
            write(folder, name, content)
        for content in re.findall(r"^ *```csv\n(.*?)^ *```$", text, re.M | re.S)[:1]:
            write(folder, "people.csv", textwrap.dedent(content))
        if page not in NO_ORGANISATION:
            self.fill(receiver, page not in NOBODY_YET)

    def fill(self, receiver, people):
        command(self.binary, self.database, "org", "create", "acme", "--activate")
        token = command(self.binary, self.database, "token", "create", "acme")
        hook = command(self.binary, self.database, "webhook", "add", "acme", receiver)["id"]
        self.variables["TOKEN"] = token["token"]
        write(self.folder, "token.txt", token["token"] + "\n")
        self.texts |= {"TOKEN_ID": token["id"], "wh_x7k2m9q4c1bz": hook, "webhook show ID": f"webhook show {hook}",
                       "webhook test ID": f"webhook test {hook}", "plm_THAT_TOKEN": token["token"]}
        if not people:
            return
        server = Server(self.binary, self.database)
        try:
            client = Client(server.address, token["token"])
            made = [client.call("POST", "/Users", user(f"{it}@example.com", "Guide"), [201])[1]["id"]
                    for it in ("mara.novak", "jon.berg")]
            group = {"schemas": [GROUP], "displayName": "Staff", "members": [{"value": made[0]}]}
            self.texts["3i99pbe2x6z8"] = client.call("POST", "/Groups", group, [201])[1]["id"]
            client.call("POST", "/Users", user("mara.novak@example.com", "Guide"), [409])
            server.stop()
        finally:
            server.kill()
        command(self.binary, self.database, "backup", os.path.join(self.folder, "backups", "plumm-20260331T020000Z.db"))

    def run(self, block):
        """Types a block; what it says when it fails, or nothing."""
        server, texts = None, dict(self.texts)
        if os.path.exists(self.database) and not re.search(r"\bplumm (serve|demo|restore)\b", block):
            server = Server(self.binary, self.database)
            url = "http://{}:{}".format(*server.address)
            texts |= {"http://127.0.0.1:8080": url, "https://scim.example.com": url}
            if "TOKEN" in self.variables and "$ID" in block:
                self.variables["ID"] = Client(server.address, self.variables["TOKEN"]).lookup("mara.novak@example.com")[0]["id"]
        try:
            for old, new in texts.items():
                block = block.replace(old, new)
            kept = os.path.join(self.folder, "variables")
            environment = {
                "PATH": self.stubs + os.pathsep + os.environ["PATH"], "LC_ALL": "C.UTF-8", "PLUMM_ENV_FILE": "",
                "PLUMM_DB": self.database, "PLUMM_LISTEN": "127.0.0.1:0", "PLUMM": self.binary,
                "REAL_CURL": shutil.which("curl"), **self.variables}
            # What a block puts into TOKEN is there in the next one.
            typed = f"set -euo pipefail\n{block}\nprintf %s \"${{TOKEN-}}\" >{kept}\n"
            ran = subprocess.run(["bash", "-c", typed], cwd=self.folder, env=environment, capture_output=True, text=True,
                                 timeout=SECONDS_MAX, check=False)
            if ran.returncode == 0:
                with open(kept) as file:
                    self.variables["TOKEN"] = file.read()
            complaints = server.complaints if server else []
            return f"{ran.stdout}{ran.stderr}{complaints}" if ran.returncode or complaints else None
        finally:
            if server:
                server.kill()


def blocks(text):
    return [textwrap.dedent(it) for it in re.findall(r"^ *```sh\n(.*?)^ *```$", text, re.M | re.S)]


def main():
    binary = os.path.abspath(sys.argv[1])
    if not shutil.which("curl"):
        not_run("the commands of the documents: there is no curl here")
        return
    begun, ran, passed_over, faults = time.monotonic(), 0, 0, []
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    address = "http://127.0.0.1:{}/plumm".format(receiver.server_port)
    with tempfile.TemporaryDirectory() as folder:
        stubs = os.path.join(folder, "stubs")
        os.mkdir(stubs)
        for name, text in STUBS.items():
            os.chmod(write(stubs, name, f"#!/usr/bin/env bash\n{text}\n"), 0o755)
        paths = [os.path.join(ROOT, "README.md"), *sorted(glob.glob(os.path.join(ROOT, "docs", "*.md")))]
        for path in paths:
            name = os.path.relpath(path, ROOT).removesuffix(".md")
            page = os.path.basename(name)
            with open(path, encoding="utf-8") as file:
                text = file.read()
            reasons, scene = list(ELSEWHERE.get(name, [])), None
            used = set()
            for number, block in enumerate(blocks(text)):
                reason = next((it for it in reasons if block.startswith(it[0])), None)
                if reason:
                    used.add(reason)
                    passed_over += 1
                    continue
                strange = [it for it in block.splitlines() if not ALLOWED.match(it)]
                if strange:
                    faults.append(f"{name}: \"{strange[0]}\" is not run: say in ELSEWHERE of .ci/documented.py what does")
                    continue
                if not scene or page not in STORIES:
                    scene = Scene(binary, os.path.join(folder, f"{page}-{number}"), stubs, address, page, text)
                if told := scene.run(block):
                    faults.append(f"{name}:\n{textwrap.indent(block, '    ')}\n{told}")
                ran += 1
            faults += [f"{name} has no block that begins with \"{it[0]}\"" for it in reasons if it not in used]
    for fault in faults:
        print(f"** {fault}")
    print(f"documents: {ran} blocks of commands were run as they stand, {passed_over} are run by others or have their reason "
          f"({time.monotonic() - begun:.0f} s)")
    sys.exit(bool(faults))


main()

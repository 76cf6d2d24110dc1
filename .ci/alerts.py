"""The alert rules and the dashboard of deploy/: the rules by promtool, on series of each fault (alerts.yml), and both
by a Prometheus that scrapes the real server over TLS: each rule is evaluated, each panel has something to show, and a
server that is gone is noticed.

    alerts.py PLUMM_BINARY FOLDER

FOLDER is where .ci/debian has unpacked Debian's package `prometheus`; that of the host will do too. Without it this is
said to be not run. Everything listens on loopback.
"""

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

sys.dont_write_bytecode = True
from plumm import Server, command, not_run, user  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RULES = os.path.join(ROOT, "deploy", "prometheus-rules.yml")
DASHBOARD = os.path.join(ROOT, "deploy", "grafana-dashboard.json")
SERIES = os.path.join(ROOT, ".ci", "alerts.yml")
SECONDS_MAX = 60
# What the panels' variables stand for here.
VARIABLES = {"$__rate_interval": "20s", "$job": ".*", "$instance": ".*"}


def program(name, folder):
    found = shutil.which(name) or os.path.join(folder, "usr", "bin", name)
    return found if os.path.exists(found) else None


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


def check_rules(promtool):
    for arguments in [("check", "rules", RULES), ("test", "rules", SERIES)]:
        ran = subprocess.run([promtool, *arguments], capture_output=True, text=True, timeout=300)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    with open(RULES) as file:
        names = re.findall(r"- alert: (\w+)", file.read())
    with open(SERIES) as file:
        series = file.read()
    untried = [name for name in names if name not in series]
    assert not untried, f"no series raises {untried}"
    print(f"alerts: {len(names)} rules are well-formed, and series of each fault raise them")
    return names


class Prometheus:
    def __init__(self, binary, folder, target, token):
        self.port = free_port()
        token_file, config = os.path.join(folder, "token"), os.path.join(folder, "prometheus.yml")
        with open(token_file, "w") as file:
            file.write(token)
        with open(config, "w") as file:
            json.dump({
                "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                "rule_files": [RULES],
                "scrape_configs": [{
                    "job_name": "plumm",
                    "scheme": "https",
                    "authorization": {"credentials_file": token_file},
                    "tls_config": {"ca_file": os.path.join(folder, "cert.pem")},
                    "static_configs": [{"targets": [target]}],
                }],
            }, file)
        self.log = open(os.path.join(folder, "prometheus.log"), "w+")
        self.process = subprocess.Popen(
            [binary, f"--config.file={config}", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{self.port}"],
            stdout=self.log, stderr=subprocess.STDOUT)

    def get(self, path, **parameters):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=SECONDS_MAX) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            try:
                return json.loads(text)
            except ValueError:
                # While it starts it says so in words.
                return {"status": "error", "error": text}
        except OSError:
            return {"status": "error", "error": "it does not answer yet"}

    def until(self, what, is_so):
        end = time.monotonic() + SECONDS_MAX
        while True:
            seen = what()
            if is_so(seen):
                return seen
            if time.monotonic() > end:
                self.log.seek(0)
                raise SystemExit(f"it has not come: {seen}\n{self.log.read()[-2000:]}")
            time.sleep(0.5)

    def query(self, expression):
        answer = self.get("query", query=expression)
        return answer["data"]["result"] if answer["status"] == "success" else answer

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=SECONDS_MAX)


def call(base, trust, token, method, path, body=None, **headers):
    request = urllib.request.Request(base + path, method=method, data=body and json.dumps(body).encode(), headers={
        "Authorization": f"Bearer {token}", "Content-Type": "application/scim+json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=SECONDS_MAX, context=trust) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def expressions(panels):
    for panel in panels:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


def check_live(binary, prometheus, promtool, names, folder):
    database = os.path.join(folder, "plumm.db")
    cert, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    command(binary, database, "org", "create", "acme", "--activate")
    command(binary, database, "tls", "self-signed", "--out-cert", cert, "--out-key", key)
    scim, admin, access = (
        command(binary, database, "token", "create", "acme", "--scope", scope, "--expires", "90")["token"]
        for scope in ("scim", "admin", "access"))
    command(binary, database, "webhook", "add", "acme", f"http://127.0.0.1:{free_port()}/")
    command(binary, database, "backup", os.path.join(folder, "copy.db"))
    server = Server(binary, database, ("--tls-cert", cert, "--tls-key", key))
    target = f"{server.address[0]}:{server.address[1]}"
    base, trust = f"https://{target}", ssl.create_default_context(cafile=cert)
    watcher = Prometheus(prometheus, folder, target, admin)
    try:
        def traffic():
            assert call(base, trust, scim, "POST", "/scim/v2/Users", {}) == 400
            assert call(base, trust, access, "GET", "/access/v1/users/ann%40example.com") in (200, 404)
            assert call(base, trust, scim, "GET", "/scim/v2/Users?count=1", Via="1.1 proxy") == 200

        assert call(base, trust, scim, "POST", "/scim/v2/Users", user("ann@example.com", "")) == 201
        watcher.until(lambda: watcher.query('up{job="plumm"}'),
                      lambda it: isinstance(it, list) and it and it[0]["value"][1] == "1")
        traffic()
        watcher.until(lambda: watcher.query("plumm_last_refusal_timestamp_seconds"),
                      lambda it: isinstance(it, list) and it)
        for _ in range(4):
            traffic()
            time.sleep(1)
        groups = watcher.until(
            lambda: watcher.get("rules").get("data", {}).get("groups", []),
            lambda it: it and all(rule["health"] != "unknown" for group in it for rule in group["rules"]))
        rules = [rule for group in groups for rule in group["rules"]]
        assert [rule["name"] for rule in rules] == names, rules
        for rule in rules:
            assert rule["health"] == "ok", rule
            assert rule["state"] != "firing", rule
        with open(DASHBOARD) as file:
            dashboard = json.load(file)
        shown = list(expressions(dashboard["panels"]))
        empty = []
        for title, expression in shown:
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            result = watcher.query(expression)
            assert isinstance(result, list), (title, expression, result)
            if not result:
                empty.append(title)
        # Its token has just been used: the file does not know it yet.
        assert set(empty) <= {"Last contact"}, empty
        text = subprocess.run(
            [promtool, "check", "metrics"], input=urllib.request.urlopen(urllib.request.Request(
                base + "/metrics", headers={"Authorization": f"Bearer {admin}"}), context=trust).read(),
            capture_output=True, timeout=SECONDS_MAX)
        assert text.returncode == 0 and not text.stderr, text.stderr
        server.kill()
        watcher.until(lambda: watcher.get("alerts").get("data", {}).get("alerts", []),
                      lambda it: [alert for alert in it if alert["labels"]["alertname"] == "PlummDown"])
    finally:
        watcher.stop()
        server.kill()
    print(f"alerts: Prometheus evaluates each rule on the real server, {len(shown)} expressions of the dashboard "
          "have something to show, and a killed server is noticed")


def main():
    binary, folder = os.path.abspath(sys.argv[1]), sys.argv[2]
    promtool, prometheus = program("promtool", folder), program("prometheus", folder)
    if not promtool or not prometheus:
        return not_run("the alert rules and the dashboard of deploy/: there is no Prometheus here")
    names = check_rules(promtool)
    with tempfile.TemporaryDirectory() as place:
        check_live(binary, prometheus, promtool, names, place)


main()

"""Checks /openapi.json of a real server: it is a valid document, its examples fit its schemas, and so does
each real answer, which says nothing that the document does not.

    openapi.py PLUMM_BINARY

Needs the packages of requirements.txt.
"""

import http.client
import json
import os
import sqlite3
import sys
import tempfile
import urllib.parse

from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

sys.dont_write_bytecode = True
from plumm import GROUP, Client, Server, command, patch, user  # noqa: E402

SECONDS_MAX = 30
# What cannot be brought about here: a server that fails, or has too much to do.
NOT_PLAYED = {"500", "503", "507"}
ANN = "ann@example.com"


class Document:
    """The document, and the answers that were checked by it."""

    def __init__(self, text):
        self.text, self.played = text, set()
        # What an answer may have beyond what is said of it is said too.
        self.closed = closed(text)

    def check(self, schema, value, at):
        """Fails unless a value fits a schema, both as it stands and with nothing beside it."""
        for components in (self.text["components"], self.closed["components"]):
            whole = {"components": components, **schema}
            validator = Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER)
            faults = [f"{'/'.join(map(str, it.absolute_path))}: {it.message}"
                      for it in validator.iter_errors(value)]
            assert not faults, (at, faults, value)

    def resolved(self, value):
        while "$ref" in value:
            found = self.text
            for part in value["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            value = found
        return value

    def operations(self):
        for path, item in self.text["paths"].items():
            for method, operation in item.items():
                yield path, method, operation

    def check_examples(self):
        count = 0
        for path, method, operation in self.operations():
            for parameter in map(self.resolved, operation.get("parameters", [])):
                if "example" in parameter:
                    self.check(parameter["schema"], parameter["example"], (path, parameter["name"]))
                    count += 1
            for status, response in operation["responses"].items():
                for media in self.resolved(response).get("content", {}).values():
                    for name, example in media.get("examples", {}).items():
                        self.check(media["schema"], example["value"], (path, method, status, name))
                        count += 1
        return count

    def check_answer(self, path, answer, body, method="GET"):
        status = str(answer.status)
        at = (method.lower(), path, status)
        described = self.text["paths"][path][method.lower()]["responses"]
        assert status in described, (at, body)
        response = self.resolved(described[status])
        for name, header in response.get("headers", {}).items():
            header, value = self.resolved(header), answer.getheader(name)
            assert value is not None or not header.get("required"), (at, name)
            if value is not None:
                number = header["schema"]["type"] == "integer"
                self.check(header["schema"], int(value) if number else value, (at, name))
        for name in ("Plumm-Change", "X-Plumm-User-Id", "Retry-After", "WWW-Authenticate"):
            assert not answer.getheader(name) or name in response.get("headers", {}), (at, name)
        content = response.get("content")
        if content is None:
            assert not body, (at, body)
        else:
            kind = answer.getheader("Content-Type").split(";")[0]
            assert kind in content, (at, kind)
            value = json.loads(body) if kind == "application/json" else body.decode(errors="replace")
            self.check(content[kind]["schema"], value, at)
        self.played.add(at)

    def not_played(self):
        for path, method, operation in self.operations():
            for status in operation["responses"]:
                if status not in NOT_PLAYED and (method, path, status) not in self.played:
                    yield method, path, status


def closed(value):
    """The same schemas, with no properties but those that they name."""
    if isinstance(value, list):
        return [closed(it) for it in value]
    if not isinstance(value, dict):
        return value
    value = {name: closed(it) for name, it in value.items()}
    if value.get("type") == "object" and "additionalProperties" not in value:
        value["unevaluatedProperties"] = False
    return value


class Application:
    """Asks what the document describes."""

    def __init__(self, address, document, tokens):
        self.address, self.document, self.tokens = address, document, tokens
        self.status, self.tag = 0, ""

    def ask(self, scope, path, expected, fields=None, query=None, body=None, target=None, **values):
        """Asks as a token of this scope, by POST where there is a body; what comes must be described."""
        method = "GET" if body is None else "POST"
        sent = b"" if body is None else json.dumps(body).encode()
        target = target or path
        for name, value in values.items():
            target = target.replace("{" + name + "}", urllib.parse.quote(value, safe=""))
        if query:
            target += "?" + urllib.parse.urlencode(query)
        token = self.tokens.get(scope, scope)
        given = [*(fields or {}).items()] + [("Authorization", f"Bearer {it}") for it in [token] if it]
        connection = http.client.HTTPConnection(*self.address, timeout=SECONDS_MAX)
        try:
            connection.putrequest(method, target)
            if sent:
                connection.putheader("Content-Length", str(len(sent)))
            for name, value in given + ([given[-1]] if expected == "two tokens" else []):
                connection.putheader(name, value)
            connection.endheaders(sent or None)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        status = 400 if expected == "two tokens" else expected
        self.status, self.tag = answer.status, answer.getheader("ETag", "")
        assert answer.status in (status if isinstance(status, set) else {status}), (target, answer.status, body)
        self.document.check_answer(path, answer, body, method)
        return json.loads(body) if body[:1] == b"{" else body.decode(errors="replace")


def play(app, scim, support):
    by_name, by_key, check, changes = ("/access/v1/users/{userName}", "/access/v1/user", "/access/v1/check",
                                       "/access/v1/changes")
    for path in (by_name, by_key, check, changes, "/metrics"):
        app.ask("", path, 401, userName=ANN)
        app.ask("scim", path, 403, userName=ANN)
        app.ask("slow", path, 429, userName=ANN)
        app.ask("read", path, "two tokens", userName=ANN)
    for path in ("/healthz", "/readyz", "/openapi.json"):
        app.ask("", path, 200)
    app.ask("admin", "/metrics", 200)

    ann = scim.call("POST", "/Users", {**user(ANN, "Boss"), "externalId": "e1", "displayName": "Ann"}, [201])[1]
    bob = scim.call("POST", "/Users", {**user("bob@example.com", "Boss"), "externalId": "e1"}, [201])[1]
    group = {"schemas": [GROUP], "displayName": "Staff", "members": [{"value": ann["id"]}]}
    staff = scim.call("POST", "/Groups", group, [201])[1]
    everybody = {"schemas": [GROUP], "displayName": "All", "members": [{"value": staff["id"]}]}
    scim.call("POST", "/Groups", everybody, [201])
    for scope in ("access", "read"):
        account = app.ask(scope, by_name, 200, userName=ANN)
        assert [it["type"] for it in account["groups"]].count("indirect") == 1, account
    app.ask("access", by_name, 404, userName="nobody@example.com")
    app.ask("access", by_key, 200, query={"id": ann["id"]})
    app.ask("access", by_key, 409, query={"externalId": "e1"})
    app.ask("access", by_key, 404, query={"email": "nobody@example.com"})
    app.ask("access", by_key, 400, query={"id": ann["id"], "userName": ANN})
    app.ask("access", check, 204, {"Remote-User": ANN})
    app.ask("access", check, 400, {"Remote-User": ANN, "X-Forwarded-User": "bob@example.com"})

    at = f"/Users/{ann['id']}"
    scim.call("PATCH", at, patch({"op": "replace", "value": {"active": False, "title": "Dr"}}), [200])
    app.ask("access", by_name, 403, userName=ANN)
    app.ask("access", by_key, 403, query={"userName": ANN})
    app.ask("access", check, 403, {"Remote-User": ANN})
    scim.call("PATCH", at, patch({"op": "replace", "value": {"active": True}}), [200])
    scim.call("PATCH", f"/Groups/{staff['id']}", patch({"op": "replace", "path": "displayName", "value": "Crew"}),
              [200])
    scim.call("DELETE", at, None, [204])
    support("user", "restore", "acme", ANN)
    scim.call("DELETE", f"/Groups/{staff['id']}", None, [204])
    scim.call("DELETE", f"/Users/{bob['id']}", None, [204])
    support("user", "purge", "acme", bob["id"], "--yes")
    support("org", "deactivate", "acme")
    support("org", "activate", "acme")
    told, after, more = [], 0, True
    while more:
        page = app.ask("read", changes, 200, query={"after": after, "limit": 3})
        told += page["changes"]
        after, more = page["last"], page["more"]
    app.ask("read", changes, 200, query={"after": after, "wait": 1})
    app.ask("read", changes, 400, query={"wait": 61})
    described = app.document.text["components"]["schemas"]["Event"]["properties"]["type"]["examples"]
    missing = set(described) - {it["type"] for it in told}
    assert not missing, missing
    return len(told)


def play_page(app, scim, support):
    """The page, and what it reads."""
    for path, at in (("/admin", "/admin/"), ("/admin/{file}", "/admin/page.css")):
        app.ask("", path, 200, target=at)
        app.ask("", path, 304, {"If-None-Match": app.tag}, target=at)
    app.ask("", "/admin", 308)
    app.ask("", "/admin/{file}", 404, file="nothing")

    made = app.ask("admin", "/admin/api/tokens", 201, body={"label": "made", "scope": "scim", "expires": 9})
    eve = scim.call("POST", "/Users", user("eve@example.com", "Boss"), [201])[1]
    gone = scim.call("POST", "/Users", user("gone@example.com", "Boss"), [201])[1]
    scim.call("DELETE", f"/Users/{gone['id']}", None, [204])
    crew = scim.call("POST", "/Groups", {"schemas": [GROUP], "displayName": "C", "members": [{"value": eve["id"]}]},
                     [201])[1]
    hook = support("webhook", "add", "acme", "http://127.0.0.1:9/nobody")["id"]
    ids = {"groups": crew["id"], "tokens": made["id"], "users": eve["id"], "webhooks": hook}
    for path, method, _ in list(app.document.operations()):
        if not path.startswith("/admin/api"):
            continue
        body = ({"from": 1} if path.endswith("replay") else {}) if method == "post" else None
        for scope, status in (("", 401), ("scim", 403), ("slow", 429), ("read", "two tokens")):
            app.ask(scope, path, status, id="x", body=body)
        if "{id}" in path:
            app.ask("admin", path, 404, id="x", body=body)
            app.ask("admin", path, 200, id=ids[path.split("/")[3]], body=body)
        elif method == "get":
            app.ask("admin", path, 200)
        if path.endswith("activate"):
            app.ask("admin", path, 409, id=gone["id"], body={})
    while app.status != 409:
        app.ask("admin", "/admin/api/tokens", {201, 409}, body={})
    # The file is given to nobody while others are in it.
    app.ask("admin", "/admin/api/backup/snapshot", 400, body={"file": "x"})
    app.ask("admin", "/admin/api/backup/snapshot", 403, body={})
    support("org", "delete", "slow", "--yes")
    app.ask("admin", "/admin/api/backup/snapshot", 200, body={})


def main():
    binary = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        database = os.path.join(folder, "plumm.db")

        def support(*arguments):
            return command(binary, database, *arguments)

        support("org", "create", "acme", "--activate")
        support("org", "create", "slow", "--activate", "--rate", "1")
        tokens = {it: support("token", "create", "acme", "--scope", it)["token"]
                  for it in ("scim", "access", "read", "admin")}
        tokens["slow"] = support("token", "create", "slow", "--scope", "scim")["token"]
        server = Server(binary, database)
        try:
            connection = http.client.HTTPConnection(*server.address, timeout=SECONDS_MAX)
            connection.request("GET", "/openapi.json")
            text = json.loads(connection.getresponse().read())
            connection.close()
            validate(text)
            assert text["servers"] == [{"url": "http://{}:{}".format(*server.address)}], text["servers"]
            document = Document(text)
            examples = document.check_examples()
            app = Application(server.address, document, tokens)
            app.ask("slow", "/metrics", 403)
            events = play(app, Client(server.address, tokens["scim"]), support)
            play_page(app, Client(server.address, tokens["scim"]), support)
            # As if the lines of the log were a year old.
            with sqlite3.connect(database) as file:
                file.execute("UPDATE org SET trimmed = 3 WHERE name = 'acme'")
            file.close()
            app.ask("read", "/access/v1/changes", 410, query={"after": 2})
            left = list(document.not_played())
            assert not left, f"described, and not played: {left}"
            server.stop()
            assert not server.complaints, server.complaints
        finally:
            server.kill()
    print(f"openapi: valid; {examples} examples, {len(document.played)} kinds of answers and {events} events fit")


main()

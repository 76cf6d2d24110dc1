"""Lets in whom plumm lets in, and ends the sessions of whoever is deactivated, within a second.

    PLUMM_URL=http://127.0.0.1:8080 PLUMM_TOKEN=plm_… flask --app examples/flask_app.py run

The token has the scope read. How people prove who they are is left out: your single sign-on does that.
"""
import json, os, secrets, threading, time, urllib.parse, urllib.request
from flask import Flask, abort, request, session

URL, FIELDS = os.environ["PLUMM_URL"], {"Authorization": "Bearer " + os.environ["PLUMM_TOKEN"]}
ENDS = {"user.deactivated", "user.deleted", "user.purged"}
BLIND_SECONDS_MAX = 120  # For how long sessions live on while the feed cannot be read.
app = Flask(__name__, static_folder=None)
app.secret_key = secrets.token_bytes(32)
sessions, read_at = {}, time.monotonic()  # The account's id, by the session's key.

def ask(path, **parameters):
    target = f"{URL}{path}?{urllib.parse.urlencode(parameters)}"
    return urllib.request.urlopen(urllib.request.Request(target, headers=FIELDS), timeout=40)

def follow():
    global read_at
    after = None
    while True:
        try:
            if after is None:  # From here on; who was logged in before has to log in again.
                after = int(ask("/scim/v2/Users", count=1).headers["Plumm-Change"])
                sessions.clear()
            page = json.load(ask("/access/v1/changes", after=after, wait=30))
            for event in page["changes"]:
                if event["type"] in ENDS or event.get("user", "") is None:
                    for key in [key for key, it in list(sessions.items()) if it == event["userId"]]:
                        sessions.pop(key, None)
            after, read_at = page["last"], time.monotonic()
        except (OSError, ValueError) as error:
            after = None if getattr(error, "code", 0) == 410 else after
            time.sleep(1)

threading.Thread(target=follow, daemon=True).start()

@app.post("/login")
def login():
    key = secrets.token_urlsafe()
    try:
        account = json.load(ask("/access/v1/user", userName=request.form["userName"]))
        sessions[key] = account["id"]
        # Asked again: an event that came before the session was noted has ended nothing.
        ask("/access/v1/user", id=account["id"])
    except (OSError, ValueError):  # 403, 404, and whatever else is no plain yes.
        sessions.pop(key, None)
        abort(403)
    session["key"] = key
    return f"Hello {account['userName']}\n"

@app.get("/")
def page():
    if session.get("key") not in sessions or time.monotonic() - read_at > BLIND_SECONDS_MAX:
        abort(401)
    return "You are in.\n"

"""What the application asks plumm, and whether a webhook comes from it."""
import base64, hmac, json, os, time, urllib.parse, urllib.request

URL, FIELDS = os.environ["PLUMM_URL"], {"Authorization": "Bearer " + os.environ["PLUMM_TOKEN"]}
KEY = base64.b64decode(os.environ.get("PLUMM_WEBHOOK_SECRET", "").removeprefix("whsec_"))
AGE_SECONDS_MAX = 300  # An older webhook may be a copy that somebody sends again.

def ask(path, **parameters):
    """The answer as JSON, and the number of the last change that it has seen. Whatever is not 200 is an OSError."""
    target = f"{URL}{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(urllib.request.Request(target, headers=FIELDS), timeout=40) as answer:
        return json.load(answer), int(answer.headers["Plumm-Change"])

def verified(headers, body, act):
    """Acts on the event of a webhook, and returns whether it is genuine. `body` is the bytes as they came.
    https://www.standardwebhooks.com, signed with HMAC-SHA256."""
    at, signatures = headers.get("webhook-timestamp", ""), headers.get("webhook-signature", "").split()
    signed = f"{headers.get('webhook-id')}.{at}.".encode() + body
    expected = b"v1," + base64.b64encode(hmac.digest(KEY, signed, "sha256"))
    is_fresh = at.isdecimal() and abs(time.time() - int(at)) < AGE_SECONDS_MAX
    # Two keys sign while one takes the other's place.
    genuine = [it for it in signatures if hmac.compare_digest(it.encode(), expected)]
    if KEY and is_fresh and genuine:
        act(json.loads(body)["data"])
    return bool(KEY and is_fresh and genuine)

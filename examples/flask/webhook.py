"""Whether a webhook comes from plumm: https://www.standardwebhooks.com, signed with HMAC-SHA256."""
import base64, hmac, json, os, time

KEY = base64.b64decode(os.environ.get("PLUMM_WEBHOOK_SECRET", "").removeprefix("whsec_"))
AGE_SECONDS_MAX = 300  # An older one may be a copy that somebody sends again.

def verified(headers, body, act):
    """Acts on the event of a webhook, and returns whether it is genuine. `body` is the bytes as they came."""
    at, signatures = headers.get("webhook-timestamp", ""), headers.get("webhook-signature", "").split()
    signed = f"{headers.get('webhook-id')}.{at}.".encode() + body
    expected = b"v1," + base64.b64encode(hmac.digest(KEY, signed, "sha256"))
    is_fresh = at.isdecimal() and abs(time.time() - int(at)) < AGE_SECONDS_MAX
    # Two keys sign while one takes the other's place.
    genuine = [it for it in signatures if hmac.compare_digest(it.encode(), expected)]
    if KEY and is_fresh and genuine:
        act(json.loads(body)["data"])
    return bool(KEY and is_fresh and genuine)

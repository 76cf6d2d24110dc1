// Whether a webhook comes from plumm: https://www.standardwebhooks.com, signed with HMAC-SHA256.
import { createHmac, timingSafeEqual } from "node:crypto";

const KEY = Buffer.from((process.env.PLUMM_WEBHOOK_SECRET ?? "").replace(/^whsec_/, ""), "base64");
const AGE_SECONDS_MAX = 300; // An older one may be a copy that somebody sends again.

// Acts on the event of a webhook, and returns whether it is genuine. `body` is the bytes as they came.
export function verified(headers, body, act) {
  const { "webhook-id": id, "webhook-timestamp": at, "webhook-signature": signatures = "" } = headers;
  const fresh = /^\d{1,12}$/.test(at) && Math.abs(Date.now() / 1000 - Number(at)) < AGE_SECONDS_MAX;
  if (!KEY.length || !fresh || !Buffer.isBuffer(body)) return false;
  const signed = createHmac("sha256", KEY).update(`${id}.${at}.`).update(body).digest("base64");
  const expected = Buffer.from(`v1,${signed}`);
  // Two keys sign while one takes the other's place.
  const given = signatures.split(" ").map((it) => Buffer.from(it));
  const genuine = given.some((it) => it.length === expected.length && timingSafeEqual(it, expected));
  if (genuine) act(JSON.parse(body).data);
  return genuine;
}

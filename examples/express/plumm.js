// What the application asks plumm, and whether a webhook comes from it.
import { createHmac, timingSafeEqual } from "node:crypto";

const { PLUMM_URL, PLUMM_TOKEN, PLUMM_WEBHOOK_SECRET = "" } = process.env;
const headers = { Authorization: `Bearer ${PLUMM_TOKEN}` };
const KEY = Buffer.from(PLUMM_WEBHOOK_SECRET.replace(/^whsec_/, ""), "base64");
const AGE_SECONDS_MAX = 300; // An older webhook may be a copy that somebody sends again.

// The answer as JSON, with the number of the last change that it has seen. Whatever is not 200 is an error.
export async function ask(path, parameters) {
  const target = `${PLUMM_URL}${path}?${new URLSearchParams(parameters)}`;
  const answer = await fetch(target, { headers, signal: AbortSignal.timeout(40_000) });
  if (answer.status !== 200) throw Object.assign(new Error(answer.statusText), { status: answer.status });
  return { ...(await answer.json()), change: Number(answer.headers.get("Plumm-Change")) };
}

// Acts on the event of a webhook, and returns whether it is genuine. `body` is the bytes as they came.
// https://www.standardwebhooks.com, signed with HMAC-SHA256.
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

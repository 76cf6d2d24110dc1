// What happened, in sentences: changes and refused requests.

import { icon } from "./icons.js";
import { attribute, dayName, h, hour, moment, pill, time } from "./make.js";

const VERBS = { created: "created", updated: "changed", deleted: "deleted", restored: "restored",
  purged: "erased for good", "members changed": "changed the members of",
  deactivated: "deactivated", reactivated: "reactivated", activated: "activated",
  revoked: "revoked", added: "added", removed: "removed", renamed: "renamed" };

const MARKS = { created: "plus", added: "plus", restored: "back", reactivated: "tick", activated: "tick",
  deactivated: "minus", revoked: "minus", removed: "minus", deleted: "bin", purged: "bin" };

// What a refused request wanted, by its method.
const WANTED = { POST: "tried to create", PUT: "tried to change", PATCH: "tried to change",
  DELETE: "tried to delete", GET: "asked for" };

// How many changed values stand under a sentence; the others are shown when asked for.
const VALUES_SHOWN = 3;
const VALUE_CHARS = 120;

export function by(who) {
  if (who.kind === "token") return who.label || `token ${who.id}`;
  const sudo = who.sudo ? ` (sudo by ${who.sudo})` : "";
  return who.user ? `a command of ${who.user}${sudo}` : "a command";
}

const KINDS = { Organization: "the organisation", Token: "the token", Webhook: "the webhook",
  Group: "the group", Schema: "the schema", ResourceType: "the resource type" };
const PLACES = { User: "users", Group: "groups" };

function about(it) {
  const text = it.name ?? it.resource ?? "";
  const kind = it.resourceType === "User" ? ""
    : `${KINDS[it.resourceType] ?? (it.resourceType ? `the ${it.resourceType}` : "")} `;
  const place = PLACES[it.resourceType];
  return [kind, place && it.resource
    ? h("a", { href: `#${place}/${encodeURIComponent(it.resource)}` }, text)
    : h("span", { class: "name" }, text)];
}

function value(it) {
  if (it === null || it === undefined || it === "") return h("span", { class: "none" }, "nothing");
  if (it === true) return "yes";
  if (it === false) return "no";
  const text = words(it);
  return text.length > VALUE_CHARS ? `${text.slice(0, VALUE_CHARS)}…` : text;
}

// A value with parts is its parts, one behind the other; of one with a "value" that is said.
function words(it) {
  if (it === null || typeof it !== "object") return String(it);
  if (!Array.isArray(it) && typeof it.value === "string") return it.value;
  return Object.values(it).map(words).join(Array.isArray(it) ? ", " : " ");
}

// One value that changed: before and after, or how many came and went.
function change([name, it]) {
  const has = it !== null && typeof it === "object";
  const many = (list, word) => list?.length > 0 && `${list.length} ${word}`;
  let parts = [value(it)];
  if (has && (Array.isArray(it.added) || Array.isArray(it.removed))) {
    parts = [[many(it.added, "added"), many(it.removed, "removed")].filter(Boolean).join(", ")];
  } else if (has && ("after" in it || "before" in it)) {
    const nothing = it.before === null || it.before === undefined;
    parts = [nothing ? "" : [h("del", null, value(it.before)), h("span", { class: "arrow" }, " → ")],
      h("ins", null, value(it.after))];
  }
  return [h("dt", { title: name }, attribute(name)), h("dd", null, parts)];
}

const isObject = (it) => it !== null && typeof it === "object" && !Array.isArray(it);

// What has parts is told part by part: a name, and what stands below the URN of a schema.
function parts([name, it]) {
  if (!isObject(it) || !("after" in it || "before" in it)) return [[name, it]];
  const urn = name.startsWith("urn:");
  const [before, after] = [it.before ?? {}, it.after ?? {}];
  const both = isObject(it.before) && isObject(it.after);
  if (!isObject(before) || !isObject(after) || !(urn || both)) return [[name, it]];
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return names.map((part) => [`${name}${urn ? ":" : "."}${part}`, { before: before[part], after: after[part] }]);
}

function changed(changes) {
  const lines = Object.entries(changes ?? {}).filter(([name]) => name !== "schemas" && name !== "id").flatMap(parts);
  if (lines.length === 0) return null;
  const list = h("dl", { class: "changes" }, lines.slice(0, VALUES_SHOWN).map(change));
  const rest = lines.slice(VALUES_SHOWN);
  return [list, rest.length > 0 && h("details", null, h("summary", null, `${rest.length} more`),
    h("dl", { class: "changes" }, rest.map(change)))];
}

// What was said, and behind it what to click, where that was said too.
function advice(detail) {
  const at = detail.search(/(?<=[.:;] )In (Okta|Entra)/);
  return at < 0 ? [h("p", null, detail)] : [h("p", null, detail.slice(0, at).trim()),
    h("p", { class: "advice" }, h("strong", null, "What to do: "), detail.slice(at))];
}

// One thing that happened, as an item of a list; `shown` makes its time.
export function entry(it, shown = time) {
  const row = (kind, mark, sentence, ...more) => h("li", { class: kind },
    h("span", { class: "mark" }, icon(mark)),
    h("div", { class: "what" }, h("p", { class: "head" }, sentence), more), shown(it.time));
  if (it.kind !== "refusal") {
    const name = MARKS[it.action] ?? "pencil";
    return row(name, name,
      [h("strong", null, by(it.by)), ` ${VERBS[it.action] ?? it.action} `, about(it)],
      it.reason && h("p", null, `Reason: ${it.reason}`), changed(it.changed));
  }
  const often = it.count > 1 && ` ${it.count} times since ${moment(it.first)}`;
  const wanted = WANTED[it.method] ?? "sent";
  const what = it.name || it.resource ? about(it) : it.resourceType ? `a ${it.resourceType}` : "a request";
  const code = [`${it.method} ${it.path}`, `${it.status} ${it.scimType ?? ""}`.trim(),
    it.client && `from ${it.client}`, it.request && `request ${it.request}`];
  return row("refused", "wrong",
    [pill("bad", "Refused"), " ", h("strong", null, by(it.by)), ` ${wanted} `, what, often],
    advice(it.detail), h("p", { class: "codes" }, code.filter(Boolean).join(" · ")));
}

export const plain = (entries) => h("ul", { class: "card story" }, entries.map((it) => entry(it)));

// A long list under the names of its days, to which is added at both ends.
export class Story {
  constructor() {
    this.element = h("div", { class: "days" });
  }

  get length() {
    return this.element.querySelectorAll(".story > li").length;
  }

  clear() {
    this.element.replaceChildren();
  }

  // The list of a day at an end, which is made when another day stands there.
  day(it, end) {
    const name = dayName(it.time);
    const there = end === "first" ? this.element.firstElementChild : this.element.lastElementChild;
    if (there?.dataset.day === name) return there.querySelector("ul");
    const list = h("ul", { class: "card story" });
    const section = h("section", { "data-day": name }, h("h2", null, name), list);
    this.element[end === "first" ? "prepend" : "append"](section);
    return list;
  }

  newer(it) {
    const item = entry(it, hour);
    // A refusal that is repeated is one, which is told of anew.
    if (it.kind === "refusal") {
      item.dataset.refusal = it.number;
      this.forget(`[data-refusal="${it.number}"]`);
    }
    item.classList.add("new");
    this.day(it, "first").prepend(item);
  }

  older(it) {
    const item = entry(it, hour);
    if (it.kind === "refusal") item.dataset.refusal = it.number;
    this.day(it, "last").append(item);
  }

  forget(selector) {
    const item = this.element.querySelector(selector);
    const list = item?.parentElement;
    item?.remove();
    if (list?.children.length === 0) list.parentElement.remove();
  }
}

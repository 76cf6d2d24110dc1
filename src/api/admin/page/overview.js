// How it goes: people, what happened per day, what needs to be looked after.

import { get } from "./ask.js";
import { icon } from "./icons.js";
import { bytes, card, count, day, empty, h, note, number, svg, table, time } from "./make.js";
import { plain } from "./story.js";

const SOON_DAYS = 30;
const DAY = 86_400_000;

export async function overview({ content, signal, known }) {
  const it = known ?? await get("overview", { offset: -new Date().getTimezoneOffset() }, signal);
  const tile = (value, text, hint, href) => h("a", { class: "tile card", href },
    h("span", { class: "hint" }, text), h("strong", null, number(value)), h("span", { class: "hint" }, hint));
  content.append(
    it.org.activated ? "" : note("problem", "wrong", h("p", null,
      "Provisioning is not activated for this organisation: the identity provider is refused ",
      "until Plumm Support activates it.")),
    h("div", { class: "tiles" },
      tile(it.users.active, "Active", "may log in", "#users"),
      tile(it.users.inactive, "Inactive", "may not log in", "#users?state=inactive"),
      tile(it.users.deleted, "Deleted", "can be restored", "#users?state=deleted"),
      tile(it.groups, "Groups", "with their members", "#groups")),
    h("div", { class: "two" },
      card("The last 30 days", chart(it.days)),
      card("To look after", h("ul", { class: "checks" }, checks(it)))),
    h("div", { class: "heading" }, h("h2", null, "Refused lately"),
      it.refused.length > 0 && h("a", { href: "#activity?outcome=refused" }, "All refused requests")),
    it.refused.length > 0 ? plain(it.refused)
      : empty("No request was refused, as far as plumm still knows."));
}

// What is well and what is not, the provider first.
function checks(it) {
  const row = (kind, name, ...text) => h("li", { class: kind },
    h("span", { class: "mark" }, icon(kind === "good" ? "tick" : kind === "warn" ? "wrong" : "minus")),
    h("div", null, h("strong", null, name), h("p", null, text)));
  const contact = it.lastContact ?? it.lastPush;
  const soon = it.tokens.expireSoon.map((token) =>
    h("span", { class: "line" }, `${token.label || token.id} expires `, time(token.expires), "."));
  const { made, failed } = it.backup;
  const left = it.certificate && (new Date(it.certificate.expires) - Date.now()) / DAY;
  return [
    contact ? row("good", "Identity provider", "Was here last ", time(contact), ".")
      : row("warn", "Identity provider", "Was not here yet. ",
        h("a", { href: "#setup" }, "Set up Okta"), " says how."),
    row(soon.length > 0 ? "warn" : "good", "Tokens", soon.length > 0 ? soon
      : `${count(it.tokens.valid, "is", "are")} valid, and none expires soon.`),
    failed ? row("warn", "Backup", "Has failed since ", time(failed.since), `: ${failed.reason}`)
      : made ? row("good", "Backup", "Was made ", time(made.time), `, ${bytes(made.bytes)}.`)
        : row("warn", "Backup", "None is known of. ", h("a", { href: "#backup" }, "Backup"), " says how."),
    it.certificate ? row(left < SOON_DAYS ? "warn" : "good", "Certificate", "Expires ",
      time(it.certificate.expires), ".")
      : row("", "Certificate", "The server has none of its own; a proxy in front may have one."),
  ];
}

// Bars, and the same as a table.
function chart(days) {
  const total = (name) => days.reduce((sum, it) => sum + it[name], 0);
  if (total("changes") + total("refused") === 0) {
    return empty("Nothing has happened in the last 30 days. ", h("a", { href: "#setup" }, "Set up Okta"),
      " is next.");
  }
  const most = Math.max(...days.map((it) => it.changes + it.refused));
  const height = 150;
  const bars = days.map((it, i) => {
    const size = (value) => (value > 0 ? Math.max(2, Math.round(value / most * height)) : 0);
    const [changes, refused] = [size(it.changes), size(it.refused)];
    const text = `${day(it.from)}: ${count(it.changes, "change", "changes")}, ${it.refused} refused`;
    const bar = (kind, from, tall) => tall > 0 && svg("rect", { class: kind, x: i * 20 + 3,
      y: height - from - tall, width: 14, height: tall });
    return svg("g", null, svg("title", null, text),
      svg("rect", { class: "hit", x: i * 20, y: 0, width: 20, height }),
      bar("changes", 0, changes), bar("refused", changes, refused));
  });
  const line = (y) => svg("line", { x1: 0, x2: days.length * 20, y1: y, y2: y });
  const label = `${count(total("changes"), "change", "changes")} and ` +
    `${count(total("refused"), "refused request", "refused requests")} in 30 days`;
  const rows = days.filter((it) => it.changes + it.refused > 0).reverse();
  return h("figure", null,
    h("figcaption", null,
      h("span", null, h("span", { class: "key changes" }), `${number(total("changes"))} changes`),
      h("span", null, h("span", { class: "key refused" }), `${number(total("refused"))} refused`)),
    h("div", { class: "plot" },
      h("div", { class: "scale", "aria-hidden": "true" }, h("span", null, number(most)), h("span", null, "0")),
      svg("svg", { viewBox: `0 0 ${days.length * 20} ${height}`, role: "img", "aria-label": label,
        preserveAspectRatio: "none" }, line(0.5), line(height / 2), bars),
      h("div", { class: "axis", "aria-hidden": "true" }, h("span", null, day(days[0].from)),
        h("span", null, day(days[15].from)), h("span", null, "today"))),
    h("details", null, h("summary", null, "As a table"),
      table("What happened on each day", ["Day", "Changes", "Refused"],
        rows.map((it) => [day(it.from), number(it.changes), number(it.refused)]))));
}

// Groups, and one with its members.

import { get } from "./ask.js";
import { at, card, count, empty, facts, h, number, table } from "./make.js";
import { searched } from "./people.js";

export const groups = (view) => searched({ ...view, path: "groups",
  rows: (entries) => table("Groups", ["Name", "Last changed"], entries.map((it) =>
    [h("a", { href: `#groups/${encodeURIComponent(it.id)}` }, it.displayName ?? it.id),
      at(it.lastModified)])),
  none: (asked) => (asked.search ? empty("No group has these words in its name.")
    : empty("There is no group yet. In Okta, groups come with ", h("strong", null, "Push Groups"),
      ": ", h("a", { href: "#setup" }, "Set up Okta"), " says how.")) });

export async function group({ content, signal, name, id }) {
  const it = await get(`groups/${encodeURIComponent(id)}`, {}, signal);
  name(it.displayName ?? it.id);
  const place = (member) => (member.type === "Group" ? "groups" : "users");
  const link = (member) => h("a", { href: `#${place(member)}/${encodeURIComponent(member.id)}` },
    member.userName ?? member.displayName ?? member.id);
  const hidden = it.memberCount - it.members.length;
  content.append(
    card(null, facts([["External id", it.externalId], ["Created", at(it.created)],
      ["Last changed", at(it.lastModified)], ["Id", h("code", null, it.id)]])),
    h("h2", null, count(it.memberCount, "member", "members")),
    it.members.length > 0
      ? table("Members", ["Member", "Name"], it.members.map((one) => [link(one),
        one.type === "Group" ? [one.displayName, h("span", { class: "hint" }, " a group")] : one.displayName]))
      : empty("Nobody is in this group."),
    hidden > 0 ? h("p", { class: "hint below" }, `${number(hidden)} more are not shown.`) : "");
}

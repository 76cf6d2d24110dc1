// Groups, and one with its members.

import { get } from "./ask.js";
import { count, empty, h, table, time } from "./make.js";
import { searched } from "./people.js";

export const groups = ({ content, signal }) => searched({ content, signal, path: "groups",
  rows: (entries) => table("Groups", ["Name", "Last changed"], entries.map((it) =>
    [h("a", { href: `#groups/${encodeURIComponent(it.id)}` }, it.displayName ?? it.id),
      time(it.lastModified)])),
  none: (asked) => (asked.search ? empty("No group has these words in its name.")
    : empty("There is no group yet. In Okta, groups come with ", h("em", null, "Push Groups"), ".")) });

export async function group({ content, signal, name, id }) {
  const it = await get(`groups/${encodeURIComponent(id)}`, {}, signal);
  name(it.displayName ?? it.id);
  const place = (member) => (member.type === "Group" ? "groups" : "users");
  const link = (member) => h("a", { href: `#${place(member)}/${encodeURIComponent(member.id)}` },
    member.userName ?? member.displayName ?? member.id);
  const hidden = it.memberCount - it.members.length;
  content.append(
    h("dl", null, h("dt", null, "Id"), h("dd", null, h("code", null, it.id)),
      it.externalId && [h("dt", null, "External id"), h("dd", null, it.externalId)],
      h("dt", null, "Created"), h("dd", null, time(it.created)),
      h("dt", null, "Last changed"), h("dd", null, time(it.lastModified))),
    h("h2", null, count(it.memberCount, "member", "members")),
    it.members.length > 0
      ? table("Members", ["Member", "Name"], it.members.map((one) => [link(one), one.displayName]))
      : empty("Nobody is in this group."),
    hidden > 0 ? h("p", { class: "hint" }, `${hidden} more are not shown.`) : "");
}

// How the identity provider is set up, step by step; what has arrived ticks itself off.

import { entry, pause } from "./activity.js";
import { get, post } from "./ask.js";
import { copied, h, problem, say, select, field, time } from "./make.js";
import { shownOnce } from "./tokens.js";

const LOOK = 3_000;
const QUIET = 60_000;

const GUIDES = {
  okta: { name: "Okta", path: "In Okta, open the app's Provisioning tab, Integration, and click Edit.",
    url: "SCIM connector base URL", token: "API token (HTTP Header: Authorization, Bearer)",
    test: "Click Test API Credentials", user: "Switch on Create Users under To App, and assign the first person",
    update: "Switch on Update User Attributes, and change a title in the person's profile",
    deactivation: "Switch on Deactivate Users, and unassign a person",
    groups: "Under Push Groups, push a group",
    note: "Set Application username format to Email, under Sign On." },
  entra: { name: "Entra ID", path: "In Entra ID, open the enterprise application, Provisioning, mode Automatic.",
    url: "Tenant URL", token: "Secret token",
    test: "Click Test Connection", user: "Assign the first person, and Start provisioning (or Provision on demand)",
    update: "Change a job title of the person",
    deactivation: "Remove a person's assignment",
    groups: "Assign a group",
    note: "Entra ID pushes every 40 minutes; Provision on demand pushes at once." },
};

export async function setup({ content, signal }) {
  let guide = GUIDES.okta;
  let last = null;
  const opened = Date.now();
  const steps = h("ol", { class: "steps" });
  const told = h("div");
  const intro = h("div");
  const token = h("div");
  const make = h("button", { type: "button", class: "main", onclick: async () => {
    make.disabled = true;
    try {
      token.replaceChildren(shownOnce(await post("tokens", { label: guide.name, scope: "scim" })));
    } catch (error) {
      if (error.status !== 401) token.replaceChildren(problem(error));
    } finally {
      make.disabled = false;
    }
  } });
  const draw = (it) => {
    const done = it.steps;
    const step = (name, text, extra) => h("li", { class: done[name].done ? "done" : "" },
      h("span", { class: "tick", role: "img", "aria-label": done[name].done ? "Done" : "Not yet" },
        done[name].done ? "✓" : ""),
      h("div", null, h("p", null, text), done[name].time && h("p", { class: "hint" }, "Arrived ",
        time(done[name].time)), extra));
    steps.replaceChildren(step("credentials", `${guide.test}.`), step("user", `${guide.user}.`),
      step("update", `${guide.update}.`), step("deactivation", `${guide.deactivation}.`),
      step("groups", `${guide.groups}.`));
    const parts = [];
    if (!it.org.activated) {
      parts.push(h("div", { class: "problem" }, h("p", null,
        "Provisioning is not activated for this organisation: every request is refused until Plumm Support activates it.")));
    }
    if (it.refused) {
      parts.push(h("h2", null, "Refused last"), h("ul", { class: "story" }, entry(it.refused)));
    }
    if (!done.credentials.done && Date.now() - opened > QUIET) {
      parts.push(h("div", { class: "note" }, h("p", null, "Nothing has arrived yet. Look at these:"),
        h("ul", null,
          h("li", null, "Is the address right, and can it be reached from outside? It must begin with https and end with /scim/v2."),
          h("li", null, "Does a proxy or firewall in between let it through, with the Authorization header?"),
          h("li", null, "Was the whole token pasted, from plm_ to its last letter?"))));
    }
    told.replaceChildren(...parts);
    const all = JSON.stringify(Object.values(done).map((one) => one.done));
    if (last !== null && last !== all) say("A step is done");
    last = all;
  };
  const look = async () => {
    const it = await get("setup", {}, signal);
    if (!intro.hasChildNodes()) introduce(it);
    draw(it);
    return it;
  };
  const introduce = (it) => {
    make.textContent = `Create a token for ${guide.name}`;
    intro.replaceChildren(h("p", null, guide.path), copied(guide.url, it.baseUrl),
      h("p", { class: "hint" }, `Then the token, as ${guide.token}. `, guide.note), make, token);
  };
  const choose = async (value) => {
    guide = GUIDES[value];
    token.replaceChildren();
    intro.replaceChildren();
    await look().catch(() => {});
  };
  content.append(field("Identity provider",
    select(Object.entries(GUIDES).map(([key, it]) => [key, it.name]), "okta", choose)),
    intro, h("h2", null, "What has arrived"), steps, told);
  await look();
  (async () => {
    for (;;) {
      await pause(LOOK, signal);
      await look().catch((error) => {
        if (error.name === "AbortError" || error.status === 401) throw error;
        told.replaceChildren(problem(error));
      });
    }
  })().catch(() => {});
}

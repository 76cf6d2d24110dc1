// Every view of an invented organisation: wide and narrow, light and dark, as pictures.
import assert from "node:assert/strict";
import { readable, signIn, view } from "./browser.mjs";
import { invent } from "./invented.mjs";

const VIEWS = ["Overview", "Users", "Groups", "Activity", "Tokens", "Webhooks", "Set up Okta", "Backup"];
const BYTES_MAX = 150 * 1024;

export async function views(browser, server) {
  const ids = await invent(server);
  const hooks = await (await server.page("webhooks")).json();
  const groups = await (await server.page("groups")).json();
  const single = [["person", `users/${ids[33]}`], ["deleted", `users/${ids[9]}`],
    ["group", `groups/${groups.entries[0].id}`], ["webhook", `webhooks/${hooks.entries[0].id}`]];
  browser.done("an organisation is invented");
  for (const [width, scheme] of [[1280, "light"], [320, "light"], [1280, "dark"], [320, "dark"]]) {
    const page = await browser.open(server, width, scheme);
    const sizes = [];
    page.on("requestfinished", (it) =>
      sizes.push(it.sizes().then((all) => all.responseBodySize + all.responseHeadersSize)));
    await page.goto(`${server.base}/admin/`);
    await page.getByLabel("Admin token").waitFor();
    await readable(page, "Sign in");
    await page.screenshot({ path: `Sign-in-${width}-${scheme}.png` });
    await page.getByLabel("Admin token").fill(server.admin);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.locator(".tiles").waitFor();
    const bytes = (await Promise.all(sizes)).reduce((a, b) => a + b, 0);
    assert.ok(bytes < BYTES_MAX, `${bytes} bytes at first`);
    for (const name of VIEWS) {
      await view(page, name);
      await page.locator("main :is(.tiles, table, .story li, .steps li, .empty)").first().waitFor();
      await page.screenshot({ path: `${name.replaceAll(" ", "-")}-${width}-${scheme}.png` });
      await readable(page, `${name}, ${width}, ${scheme}`);
    }
    for (const [name, address] of single) {
      await page.goto(`${server.base}/admin/#${address}`);
      await page.locator("main dl").first().waitFor();
      await page.screenshot({ path: `${name}-${width}-${scheme}.png` });
      await readable(page, `${name}, ${width}, ${scheme}`);
    }
    await page.goto(`${server.base}/admin/#users/${ids[2]}`);
    await page.getByRole("button", { name: "Deactivate by hand" }).click();
    await page.screenshot({ path: `dialog-${width}-${scheme}.png` });
    await readable(page, `the question, ${width}, ${scheme}`);
    await page.context().close();
    browser.done(`every view at ${width}, ${scheme}: no finding of axe, nothing beside the screen; ${(bytes / 1024).toFixed(0)} KiB at first`);
  }
}

// What a new organisation shows: what to do next, on every view.
export async function empties(browser, server) {
  const page = await browser.open(server, 320);
  await signIn(page, server);
  for (const [name, text] of [["Overview", "Was not here yet"], ["Users", "There is nobody yet"],
    ["Groups", "There is no group yet"], ["Webhooks", "No application is told"]]) {
    await view(page, name);
    await page.getByText(text).waitFor();
    await readable(page, `${name}, empty`);
  }
  await page.context().close();
  browser.done("an empty view says what to do next");
}

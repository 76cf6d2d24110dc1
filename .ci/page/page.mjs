// The web page in a real browser. Each check says what it is about; the first that fails ends all.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { Browser, heading, link, readable, signIn, until, view } from "./browser.mjs";
import { ENTERPRISE, GROUP, Server, person } from "./server.mjs";
import { empties, views } from "./views.mjs";

const [plumm, browserPath] = process.argv.slice(2);
const HTML = '<img src=x onerror="document.title=\'run\'"><script>document.title="run"</script>';
const PEOPLE = 10_000;
const REFUSED = /status of 40[13]/;
const GONE = /ERR_|Failed to load/;
const NONE = /a^/;

const browser = await Browser.launch(browserPath);
const server = new Server(plumm);
const invented = new Server(plumm);
const done = (text) => browser.done(text);
let told = 0;
const receiver = createServer((request, answer) => {
  told += 1;
  request.resume().on("end", () => answer.end("taken"));
}).listen(0, "127.0.0.1");

try {
  server.command("webhook", "add", "acme", "http://127.0.0.1:9/nobody");
  await server.serve();
  await invented.serve();
  await empties(browser, invented);

  const page = await browser.open(server);
  page.expected = REFUSED;
  await signIn(page, server, "plm_nobody_nothing");
  assert.match(await page.getByRole("alert").innerText(), /token/i);
  await signIn(page, server, server.token("--scope", "read"));
  await page.getByRole("alert").filter({ hasText: "scope" }).waitFor();
  await readable(page, "a refused sign-in");
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  done("a wrong token and one of another scope are refused in words");

  page.expected = NONE;
  await signIn(page, server, `Bearer ${server.admin} `);
  await heading(page, "Overview");
  assert.equal(await page.evaluate(() => Object.keys(localStorage).length + document.cookie.length), 0);
  await page.reload();
  await heading(page, "Overview");
  const other = await browser.open(server);
  await other.goto(`${server.base}/admin/#users`);
  await heading(other, "Sign in to plumm");
  await other.context().close();
  done("sign-in; the token is in no address, no cookie and no lasting storage, and in this tab only");

  const quiet = await browser.open(server);
  await quiet.clock.install();
  await signIn(quiet, server);
  await view(quiet, "Set up Okta");
  assert.equal(await quiet.getByText("Nothing has arrived yet").count(), 0);
  await quiet.clock.fastForward(62_000);
  await quiet.getByText("Nothing has arrived yet").waitFor();
  await readable(quiet, "nothing arrives");
  await quiet.context().close();
  done("when nothing arrives for a minute, set-up says where to look");

  await view(page, "Set up Okta");
  assert.equal(await page.getByLabel("SCIM connector base URL", { exact: true }).inputValue(), `${server.base}/scim/v2`);
  await page.getByRole("button", { name: "Copy SCIM connector base URL" }).click();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), `${server.base}/scim/v2`);
  await page.getByRole("button", { name: "Create a token for Okta" }).click();
  server.okta = await page.getByLabel("New token", { exact: true }).inputValue();
  const ticks = () => page.getByRole("img", { name: "Done", exact: true }).count();
  assert.equal(await ticks(), 0);
  await server.scim("GET", "/Users?startIndex=1&count=2");
  await until(async () => (await ticks()) === 1, "the test of the credentials ticks itself off");
  await server.scim("POST", "/Users", person("jdoe"));
  await page.getByText("What to do:").waitFor();
  await page.getByText("Application username format to Email, then assign").waitFor();
  const mara = await server.scim("POST", "/Users", person("mara@example.com", { displayName: HTML, title: "Engineer" }));
  await until(async () => (await ticks()) === 2, "the first person ticks itself off");
  await page.getByLabel("Identity provider").selectOption("Entra ID");
  await page.getByText("Click Test Connection").waitFor();
  await server.patch(mara.id, { title: "Director" });
  await until(async () => (await ticks()) === 3, "the first update ticks itself off");
  await server.patch(mara.id, { active: false });
  await until(async () => (await ticks()) === 4, "the first deactivation ticks itself off");
  await server.scim("POST", "/Groups", { schemas: [GROUP], displayName: HTML, members: [{ value: mara.id }] });
  await page.getByText("All done").waitFor();
  assert.equal(await ticks(), 5);
  done("set-up of Okta and of Entra ID ticks itself off, and shows the last refusal with what to click");

  await view(page, "Activity");
  await page.getByText("Live", { exact: true }).waitFor();
  const newest = page.locator(".story li").first();
  await newest.waitFor();
  await server.scim("POST", "/Users", person("jroe"));
  await newest.filter({ hasText: 'userName "jroe" is not an email address.' }).waitFor();
  await newest.filter({ hasText: "What to do: In Okta, open the app's Sign On tab" }).waitFor();
  const tom = await server.scim("POST", "/Users", person("tom@example.com"));
  await newest.filter({ hasText: "Okta created tom@example.com" }).waitFor();
  await page.getByLabel("Outcome").selectOption("Refused");
  const items = (kind = "") => page.locator(`.story > li${kind}`).count();
  await until(async () => (await items()) > 0 && (await items()) === (await items(".refused")), "nothing but refusals");
  await page.getByLabel("Outcome").selectOption("Done and refused");
  await page.getByLabel("Kind").selectOption("Groups");
  await until(async () => (await items()) === 1, "nothing but groups");
  await page.getByLabel("Kind").selectOption("Everything");
  await page.getByLabel("Person").fill("tom@example.com");
  await until(async () => (await items()) === 1, "nothing but of one person");
  await server.patch(tom.id, { title: "Analyst", [ENTERPRISE]: { department: "Design" } });
  await newest.filter({ hasText: "Okta changed tom@example.com" }).waitFor();
  await newest.locator("dt", { hasText: /^Department$/ }).waitFor();
  await newest.locator("ins", { hasText: /^Design$/ }).waitFor();
  await server.patch(mara.id, { title: "Engineer" });
  const saved = async (button) => {
    const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: button }).click()]);
    const path = join(server.folder, file.suggestedFilename());
    await file.saveAs(path);
    return path;
  };
  const csv = readFileSync(await saved("Download CSV"), "utf8").trim().split("\r\n");
  assert.equal(csv.length, 3, "a line of names, and two of tom's");
  assert.ok(csv[0].includes("time,who") && csv[1].includes("tom@example.com") && csv[1].includes("Analyst"), csv[1]);
  await page.reload();
  await until(async () => (await items()) === 2, "the filter stands in the address");
  done("a refusal and a change appear while one looks, are filtered, and saved as CSV");

  for (const [name, one] of [["Users", "mara@example.com"], ["Groups", HTML]]) {
    await view(page, name);
    await page.locator("main").getByRole("link", { name: one }).first().click();
    await heading(page, one);
    await readable(page, one);
  }
  await page.getByRole("link", { name: "mara@example.com" }).click();
  await page.getByText(/May not log in: deactivated by Okta today/).waitFor();
  assert.equal(await page.locator("main img, main script").count(), 0);
  assert.notEqual(await page.title(), "run");
  done("markup in names is text; why a person may not log in is said");

  await page.getByRole("button", { name: "Activate by hand" }).click();
  await page.getByRole("dialog").getByText("may undo it").waitFor();
  await page.getByLabel("Reason").fill("unassigned by mistake");
  await page.getByRole("dialog").getByRole("button", { name: "Activate" }).click();
  await page.getByText("May log in.", { exact: true }).waitFor();
  await page.getByText("Reason: unassigned by mistake").waitFor();
  done("login is given back by hand, with a reason");

  await view(page, "Tokens");
  await page.getByLabel("Label").fill(HTML);
  await page.getByLabel("Scope").selectOption("read");
  await page.getByRole("button", { name: "Create token" }).click();
  const made = await page.getByLabel("New token", { exact: true }).inputValue();
  const asks = async () => (await fetch(`${server.base}/access/v1/changes`, { headers: { Authorization: `Bearer ${made}` } })).status;
  assert.equal(await asks(), 200);
  await readable(page, "a token that was made");
  await page.getByRole("button", { name: `Revoke ${HTML}` }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
  assert.equal(await asks(), 200, "it was asked first");
  await page.getByRole("button", { name: `Revoke ${HTML}` }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
  await until(async () => (await asks()) === 401, "it is refused");
  await page.reload();
  await heading(page, "Tokens");
  await page.getByText("revoked").waitFor();
  assert.ok(!(await page.content()).includes(made));
  done("a token is made, shown once and revoked");

  server.command("webhook", "add", "acme", `http://127.0.0.1:${receiver.address().port}/here`);
  for (const [name, came] of [["nobody", "not taken: Nothing listens"], ["here", "was taken: 200"]]) {
    await view(page, "Webhooks");
    await page.locator("main").getByRole("link", { name }).click();
    await page.getByRole("button", { name: "Send test event" }).click();
    await page.getByText(came).waitFor();
    await page.getByRole("cell", { name: "webhook.test" }).first().waitFor();
    await readable(page, `a test event to ${name}`);
  }
  await page.getByRole("button", { name: "Disable" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Disable" }).click();
  await page.getByText("disabled", { exact: true }).waitFor();
  const before = told;
  await page.getByLabel("Replay from change").fill("1");
  await page.getByRole("button", { name: "Replay", exact: true }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Replay" }).click();
  await page.getByText("It goes on from change 1.").waitFor();
  await until(() => told > before, "the events are sent again");
  done("a test event says what came back; a webhook is disabled, and its events are sent again");

  await view(page, "Backup");
  const snapshot = await saved("Download snapshot");
  await page.getByText("Downloaded and whole").waitFor();
  await readable(page, "a snapshot was downloaded");
  execFileSync(plumm, ["check", snapshot]);
  server.command("org", "create", "second");
  await page.reload();
  await page.getByText("several organisations").waitFor();
  assert.equal(await page.getByRole("button", { name: "Download snapshot" }).count(), 0);
  await readable(page, "no snapshot of several");
  server.command("org", "delete", "second", "--yes");
  done("a snapshot is downloaded that plumm check calls whole, and none where others are in the file");

  await server.create(Array.from({ length: PEOPLE }, (_, i) => person(`person${i}@example.com`, { displayName: `Person ${i}` })));
  done(`${PEOPLE} people come`);
  await view(page, "Users");
  await page.getByLabel("Search").pressSequentially("person 9876");
  await page.locator("tbody tr").nth(1).waitFor({ state: "detached" });
  await page.getByRole("link", { name: "person9876@example.com" }).click();
  await heading(page, "person9876@example.com");
  await page.goBack();
  await page.getByRole("link", { name: "person9876@example.com" }).waitFor();
  assert.equal(await page.getByLabel("Search").inputValue(), "person 9876");
  await page.getByLabel("Search").fill("nobody of this name");
  await page.getByText("Nobody has these words").waitFor();
  await page.getByLabel("Search").fill("");
  await page.getByRole("button", { name: "Show more" }).click();
  await until(async () => (await page.locator("tbody tr").count()) === 100, "the next page");
  done("one of them is found as one types, and again when one goes back");

  const demo = await browser.open(server);
  await demo.route("**/admin/api/overview*", async (route) => {
    const answer = await route.fetch();
    await route.fulfill({ response: answer, json: { ...await answer.json(), demo: true } });
  });
  await signIn(demo, server);
  for (const name of ["Users", "Backup"]) {
    await view(demo, name);
    await demo.getByRole("complementary", { name: "Demonstration" }).waitFor();
  }
  await readable(demo, "a demonstration");
  await demo.context().close();
  done("a demonstration says on every view that it is one");

  const keys = await browser.open(server);
  await keys.goto(`${server.base}/admin/`);
  await keys.getByLabel("Admin token").waitFor();
  await keys.keyboard.type(server.admin);
  await keys.keyboard.press("Enter");
  await heading(keys, "Overview");
  const press = async (key, locator) => {
    for (let i = 0; i < 40; i++) {
      if (await locator.evaluate((it) => it === document.activeElement)) break;
      await keys.keyboard.press("Tab");
      const seen = await keys.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
      if (await keys.evaluate(() => document.activeElement !== document.body)) assert.notEqual(seen, "none", "focus is seen");
    }
    await keys.keyboard.press(key);
  };
  await press("Enter", link(keys, "Tokens"));
  await heading(keys, "Tokens");
  await keys.getByRole("button", { name: "Revoke Okta" }).first().waitFor();
  const revoke = keys.getByRole("button", { name: "Revoke Okta" }).first();
  await press("Enter", revoke);
  await keys.getByRole("dialog").waitFor();
  await keys.keyboard.press("Escape");
  await keys.getByRole("dialog").waitFor({ state: "detached" });
  assert.ok(await revoke.evaluate((it) => it === document.activeElement), "focus is where it was");
  done("by keyboard alone");

  const at = new URL(server.base).host;
  await view(page, "Activity");
  page.expected = GONE;
  keys.expected = GONE;
  await newest.waitFor();
  await server.stop();
  await page.getByText("The server does not answer").first().waitFor();
  await link(keys, "Users").click();
  await keys.getByRole("alert").filter({ hasText: "The server does not answer" }).waitFor();
  await server.serve(at);
  await page.getByText("Live", { exact: true }).waitFor();
  await server.scim("POST", "/Users", person("back@example.com"));
  await newest.filter({ hasText: "back@example.com" }).waitFor();
  await keys.getByRole("button", { name: "Try again" }).click();
  await keys.locator("table").waitFor();
  done("the server stops and comes back while the page is open");

  const short = server.token("--scope", "admin", "--label", "short", "--expires", "1");
  const late = await browser.open(server);
  await signIn(late, server, short);
  await heading(late, "Overview");
  await server.stop();
  execFileSync("python3", ["-c", `
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("UPDATE token SET expires = 1 WHERE id = ?", (sys.argv[2],))
db.commit()`, server.db, short.split("_")[1]]);
  await server.serve(at);
  late.expected = REFUSED;
  page.expected = /ERR_|Failed to load/;
  await link(late, "Users").click();
  await late.getByRole("alert").filter({ hasText: "expired" }).waitFor();
  assert.equal(await late.evaluate(() => sessionStorage.length), 0);
  server.command("token", "revoke", server.admin.split("_")[1]);
  await page.getByRole("heading", { name: "Sign in to plumm" }).waitFor({ timeout: 60_000 });
  await page.getByRole("alert").filter({ hasText: "revoked" }).waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  done("a token that expires or is revoked while the page is open signs out, and says why");

  await views(browser, invented);
} finally {
  receiver.close();
  await browser.close();
  await server.end().catch(() => {});
  await invented.end().catch(() => {});
}

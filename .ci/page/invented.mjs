// An organisation that nobody is in: what pictures show.
import { execFileSync } from "node:child_process";
import { GROUP, person } from "./server.mjs";

const GIVEN = ["Amara", "Bruno", "Chiara", "Daan", "Elif", "Farid", "Greta", "Hana", "Imre", "Jonas",
  "Kaya", "Liv", "Mara", "Nils", "Oona", "Pavel", "Quinn", "Rosa", "Sami", "Tomasz"];
const FAMILY = ["Abel", "Bianchi", "Costa", "Dahl", "Eriksen", "Fischer", "Gruber", "Horvat", "Ivanov",
  "Jensen", "Keller", "Lindgren", "Moreau", "Novak", "Okafor", "Petrov", "Rossi", "Silva", "Tanaka", "Weber"];
const TITLES = ["Engineer", "Designer", "Analyst", "Account manager", "Director"];
const TEAMS = ["Engineering", "Design", "Sales", "Finance", "Support", "Office Lisbon", "Everyone"];

const invented = Array.from({ length: 320 }, (_, i) => {
  const givenName = GIVEN[i % GIVEN.length];
  const familyName = FAMILY[(i + Math.floor(i / GIVEN.length)) % FAMILY.length];
  const userName = `${givenName}.${familyName}@example.com`.toLowerCase();
  return person(userName, { displayName: `${givenName} ${familyName}`, name: { givenName, familyName },
    title: TITLES[i % TITLES.length], emails: [{ value: userName, type: "work", primary: true }] });
});

// Fills the organisation of a running server, and starts it anew.
export async function invent(server) {
  server.token("--label", "Billing app", "--scope", "read");
  server.token("--label", "Login proxy", "--scope", "access", "--expires", "5");
  server.command("webhook", "add", "acme", "http://127.0.0.1:9/plumm", "--insecure-http");
  const ids = await server.create(invented);
  for (const [i, displayName] of TEAMS.entries()) {
    const members = ids.filter((_, j) => displayName === "Everyone" || j % (TEAMS.length - 1) === i)
      .map((value) => ({ value }));
    await server.scim("POST", "/Groups", { schemas: [GROUP], displayName, members });
  }
  for (let i = 0; i < 140; i++) await server.patch(ids[i * 2], { title: TITLES[(i * 3 + 1) % TITLES.length] });
  for (let i = 5; i < 320; i += 17) await server.patch(ids[i], { active: false });
  for (let i = 9; i < 320; i += 90) await server.scim("DELETE", `/Users/${ids[i]}`);
  await server.stop();
  days(server.db);
  await server.serve(new URL(server.base).host);
  await server.scim("POST", "/Users", person("jdoe", { displayName: "John Doe" }));
  await server.scim("POST", "/Users", person("mara.moreau@example.com", { userType: 7 }));
  await server.patch(ids[40], { userName: "amara.new@example.com" });
  await server.patch(ids[33], { title: "Head of design", active: false });
  return ids;
}

// What was done in a second becomes the story of thirty days. The people are as old as their story.
function days(db) {
  execFileSync("python3", ["-c", `
import sqlite3, sys, time
DAY = 86_400_000_000_000
db = sqlite3.connect(sys.argv[1])
rows = [seq for seq, in db.execute("SELECT seq FROM provisioning_log ORDER BY seq")]
now = time.time_ns()
for i, seq in enumerate(rows):
    past = 1 - (i + 1) / (len(rows) + 1)
    # More on some days than on others, as it is.
    wave = past * 29 + 0.7 * ((i * 7919 % 97) / 97 - 0.5) * min(1, past * 8)
    db.execute("UPDATE provisioning_log SET time = ? WHERE seq = ?", (now - int(max(wave, 0.02) * DAY) - (len(rows) - i) * 1000, seq))
for column, which in (("created", "min"), ("last_modified", "max")):
    db.execute(f"UPDATE resource SET {column} = coalesce((SELECT {which}(time) FROM provisioning_log AS log "
               f"WHERE log.resource = resource.id), {column})")
db.commit()
`, db]);
}

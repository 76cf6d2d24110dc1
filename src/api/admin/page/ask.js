// Requests to the server. The token stays in this tab: in its session storage and nowhere else.

const KEY = "plumm-admin-token";

// What went wrong, in words.
export class Problem extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

let signedOut = () => {};

export const onSignedOut = (call) => { signedOut = call; };
export const token = () => sessionStorage.getItem(KEY);
export const keepToken = (text) => sessionStorage.setItem(KEY, text);
export const forgetToken = () => sessionStorage.removeItem(KEY);

export const get = (path, parameters, signal) => ask("GET", path, parameters, undefined, signal);
export const post = (path, body) => ask("POST", path, {}, body ?? {});

async function ask(method, path, parameters, body, signal) {
  const used = token();
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters ?? {})) {
    if (value !== null && value !== undefined && value !== "") query.set(name, value);
  }
  const url = `api/${path}${query.size > 0 ? `?${query}` : ""}`;
  const headers = { Authorization: `Bearer ${used}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(url, { method, headers, signal, cache: "no-store", redirect: "error",
      body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The server does not answer. It may be stopped, or the network is down.");
  }
  const answer = await response.json().catch(() => null);
  if (response.ok && answer !== null) return answer;
  const detail = answer?.detail ?? `The server answered ${response.status} without saying why.`;
  const problem = new Problem(response.status, detail);
  // A token that was replaced meanwhile has signed nobody out.
  if (response.status === 401 && used === token()) signedOut(problem);
  throw problem;
}

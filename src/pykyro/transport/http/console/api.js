// What the console asks: the REST of the server it came from. The key is kept in the session of this tab only.
const KEY = "kyrodb.key";

export const keep = (key) => key ? sessionStorage.setItem(KEY, key) : sessionStorage.removeItem(KEY);
export const hasKey = () => sessionStorage.getItem(KEY) !== null;

// Integers beyond 2^53 stay the digits they are.
function exact(name, value, context) {
  const digits = typeof value === "number" && !Number.isSafeInteger(value) && context && /^-?\d+$/.test(context.source);
  return digits ? context.source : value;
}

async function fetched(path, options) {
  const headers = { ...options.headers };
  if (hasKey()) headers.authorization = `Bearer ${sessionStorage.getItem(KEY)}`;
  return fetch(path, { ...options, headers, credentials: "omit" });
}

export async function ask(path, body, method = body === undefined ? "GET" : "POST") {
  const headers = body === undefined ? {} : { "content-type": "application/json" };
  headers["request-timeout"] = "30";
  const response = await fetched(path, { method, headers, body: body && JSON.stringify(body) });
  const text = await response.text();
  let answer = {};
  try { answer = JSON.parse(text, exact); } catch { answer = { detail: text }; }
  if (!response.ok && !(path === "/health" && answer.status)) {
    throw new Error(`${response.status}: ${answer.detail || answer.error || "refused"}`);
  }
  return answer;
}

export const within = (collection, rest = "") => `/v1/collections/${encodeURIComponent(collection)}${rest}`;

export async function figures() {
  const response = await fetched("/metrics", {});
  if (!response.ok) throw new Error(`/metrics: ${response.status}`);
  const samples = new Map();
  for (const line of (await response.text()).split("\n")) {
    const at = line.lastIndexOf(" ");
    if (at > 0 && line[0] !== "#") samples.set(line.slice(0, at), Number(line.slice(at + 1)));
  }
  return samples;
}

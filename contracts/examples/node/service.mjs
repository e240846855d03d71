// A service with two protected routes, on Node's own HTTP server.
// `node service.mjs ISSUER AUDIENCE [PORT]`

import { createServer, STATUS_CODES } from "node:http";

import { InvalidToken, KeysUnavailable } from "./errors.mjs";
import { remoteKeys } from "./keys.mjs";
import { hasPermission } from "./permissions.mjs";
import { createVerifier } from "./verify.mjs";

const [issuer, audience, port = "0"] = process.argv.slice(2);

const verify = createVerifier({ issuer, audience, keys: remoteKeys(issuer) });

const routes = {
  "GET /stock": { needs: hasPermission("inventory.read"), answer: () => ({ bolts: 40, nuts: 12 }) },
  "POST /stock": { needs: hasPermission("inventory.write"), answer: () => ({ accepted: true }) },
};

/** Returns the one bearer token of `request` (RFC 6750 section 2.1). */
function bearerToken(request) {
  // Not headers.authorization: of two headers that shows the first, and somebody
  // in front of us may have read the second.
  const values = request.headersDistinct.authorization ?? [];
  if (values.length === 0) throw new Refusal(401, "missing_token");
  const [, token] = /^bearer +([^\s,]+)$/i.exec(values[0].trim()) ?? [];
  if (values.length > 1 || !token) throw new Refusal(400, "invalid_request");
  return token;
}

// Fixed texts: nothing of a request is ever in an answer.
const texts = {
  missing_token: "An access token is required.",
  invalid_request: "Send exactly one bearer token.",
  permission_denied: "The access token lacks a permission.",
  keys_unavailable: "Try again in a moment.",
  not_found: "There is nothing here.",
  internal_error: "Something went wrong on our side.",
};

class Refusal extends Error {
  constructor(status, code, extensions) {
    super(texts[code] ?? "The access token is refused.");
    Object.assign(this, { status, code, extensions });
  }
}

async function respond(request) {
  const route = routes[`${request.method} ${request.url.split("?", 1)[0]}`];
  if (!route) throw new Refusal(404, "not_found");
  const claims = await verify(bearerToken(request));
  if (!route.needs(claims)) {
    throw new Refusal(403, "permission_denied", { missing: route.needs.missing(claims) });
  }
  return route.answer(claims);
}

function refusal(error) {
  if (error instanceof Refusal) return error;
  if (error instanceof InvalidToken) return new Refusal(401, error.code, { claim: error.claim });
  // "Could not ask the issuer" is never "invalid token".
  if (error instanceof KeysUnavailable) return new Refusal(503, error.code);
  console.error(error);
  return new Refusal(500, "internal_error");
}

// What WWW-Authenticate says beside the realm (RFC 6750 section 3).
const challenges = {
  missing_token: "",
  invalid_request: ', error="invalid_request"',
  permission_denied: ', error="insufficient_scope"',
};

/** Answers with a problem document (RFC 9457). */
function problem(response, { status, code, message: detail, extensions }) {
  response.statusCode = status;
  response.setHeader("Content-Type", "application/problem+json");
  response.setHeader("Cache-Control", "no-store");
  if (status === 503) response.setHeader("Retry-After", "5");
  const challenge = challenges[code] ?? (status === 401 ? ', error="invalid_token"' : undefined);
  if (challenge !== undefined) {
    response.setHeader("WWW-Authenticate", `Bearer realm="${audience}"${challenge}`);
  }
  response.end(
    JSON.stringify({ title: STATUS_CODES[status], status, detail, code, ...extensions }),
  );
}

const server = createServer(async (request, response) => {
  try {
    const body = JSON.stringify(await respond(request));
    response.setHeader("Content-Type", "application/json");
    response.end(body);
  } catch (error) {
    problem(response, refusal(error));
  }
});

server.listen(Number(port), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});

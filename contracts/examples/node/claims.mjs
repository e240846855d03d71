// What the claims of contract v1 look like (contracts/schemas/access-token-claims.v1.json),
// and what they must say. Libraries check a handful of them; the rest is here.

import { InvalidToken } from "./errors.mjs";

const LAST_SECOND = 253_402_300_799; // 9999-12-31T23:59:59Z

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const string = (value) => typeof value === "string";
const text = (value) => string(value) && value !== "" && [...value].length <= 1024;
const strings = (value) => Array.isArray(value) && value.every(string);
const time = (value) => typeof value === "number" && value >= 0 && value <= LAST_SECOND;
const index = (value) => Number.isSafeInteger(value) && value >= 0;
const audience = (value) => text(value) || (Array.isArray(value) && value.every(text));
const status = (value) =>
  isObject(value) &&
  isObject(value.status_list) &&
  index(value.status_list.idx) &&
  text(value.status_list.uri);
const actor = (value) =>
  isObject(value) &&
  text(value.sub) &&
  (value.act === undefined || value.act === null || actor(value.act));
const keyBinding = (value) =>
  isObject(value) &&
  [value.jkt, value["x5t#S256"]].every((hash) => (hash ?? null) === null || string(hash));

const REQUIRED = {
  iss: text,
  sub: text,
  aud: audience,
  client_id: text,
  exp: time,
  iat: time,
  jti: text,
};
const OPTIONAL = {
  nbf: time,
  auth_time: time,
  acr: string,
  amr: strings,
  sid: text,
  tid: text,
  org: text,
  roles: strings,
  permissions: strings,
  scope: string,
  plan: string,
  status,
  act: actor,
  cnf: keyBinding,
};
const CLAIMS = { ...REQUIRED, ...OPTIONAL };

/** Throws `InvalidToken("invalid_claim")` where a claim is missing or of the wrong type. */
export function checkTypes(claims) {
  for (const [name, fits] of Object.entries(CLAIMS)) {
    const absent = !Object.hasOwn(claims, name);
    if (absent ? name in REQUIRED : !fits(claims[name])) {
      throw new InvalidToken("invalid_claim", name);
    }
  }
}

/**
 * Throws `InvalidToken` unless `claims`, whose signature holds, are meant for us and now.
 *
 * @param {object} claims The decoded payload.
 * @param {{issuer: string, audience: string[], leewaySeconds: number}} policy
 * @param {number} now Seconds since the epoch.
 */
export function checkClaims(claims, { issuer, audience, leewaySeconds }, now) {
  checkTypes(claims);
  if (claims.iss !== issuer) throw new InvalidToken("wrong_issuer");
  if (![claims.aud].flat().some((name) => audience.includes(name))) {
    throw new InvalidToken("wrong_audience");
  }
  if (now >= claims.exp + leewaySeconds) throw new InvalidToken("expired_token");
  if (now < Math.max(claims.iat, claims.nbf ?? 0) - leewaySeconds) {
    throw new InvalidToken("not_yet_valid");
  }
}

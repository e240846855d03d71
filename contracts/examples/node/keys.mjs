// The issuer's public keys: where they are published, and which of them count.

import { createPublicKey } from "node:crypto";

import { createLocalJWKSet, createRemoteJWKSet, customFetch, errors } from "jose";

import { InvalidToken, KeysUnavailable } from "./errors.mjs";

const FRESH_MILLISECONDS = 5 * 60 * 1000;
const COOLDOWN_MILLISECONDS = 30 * 1000;
const TIMEOUT_MILLISECONDS = 5 * 1000;
const RETRY_MILLISECONDS = 2 * 1000;

const SECRET_MEMBERS = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];

// One key, one algorithm (RFC 8725 section 3.1). Ed25519 goes by two names, old and
// new (RFC 9864 section 2.2); libraries compare names, so such a key is listed under both.
const ALGORITHMS = {
  EC: () => ["ES256"],
  RSA: ({ alg = "RS256" }) => [alg],
  OKP: () => ["EdDSA", "Ed25519"],
};

/**
 * Returns the keys of `jwks` that may verify tokens, each bound to its algorithm.
 * A bad key is left out on its own; so are keys that share a key id.
 */
export function usableKeys(jwks) {
  if (!Array.isArray(jwks?.keys)) throw new TypeError("not a JWK Set (RFC 7517 section 5)");
  const published = (kid) => jwks.keys.filter((jwk) => jwk?.kid === kid).length;
  const usable = jwks.keys.filter((jwk) => isUsable(jwk) && published(jwk.kid) === 1);
  return {
    keys: usable.flatMap((jwk) => ALGORITHMS[jwk.kty](jwk).map((alg) => ({ ...jwk, alg }))),
  };
}

function isUsable(jwk) {
  const { kty, crv, kid, alg, use = "sig", key_ops: operations = ["verify"] } = jwk ?? {};
  if (typeof kid !== "string" || kid === "" || use !== "sig") return false;
  if (!Array.isArray(operations) || !operations.includes("verify")) return false;
  if (SECRET_MEMBERS.some((name) => Object.hasOwn(jwk, name))) return false;
  try {
    const { asymmetricKeyDetails } = createPublicKey({ key: jwk, format: "jwk" });
    const fits = (...names) => alg === undefined || names.includes(alg);
    if (kty === "EC") return crv === "P-256" && fits("ES256");
    if (kty === "OKP") return crv === "Ed25519" && fits("EdDSA", "Ed25519");
    const { modulusLength, publicExponent } = asymmetricKeyDetails;
    return fits("RS256", "PS256") && modulusLength >= 2048 && publicExponent >= 3n;
  } catch {
    return false;
  }
}

/** Keys that were handed over, for a service without a way to the issuer. */
export function staticKeys(jwks) {
  const keys = createLocalJWKSet(usableKeys(jwks));
  return source(async () => keys);
}

/**
 * Keys that the issuer publishes. Asks at the first token, not before: a service
 * may start while the issuer is down. jose caches them, and asks again when they
 * are stale or a key id is unknown, for the latter at most once per cooldown.
 */
export const remoteKeys = (issuer) => source(remembered(() => open(issuer)));

/** Returns a function that asks once. A failure counts for a moment, or an outage is hammered. */
export function remembered(ask) {
  let answer;
  const forget = () => (answer = undefined);
  return () =>
    (answer ??= ask().catch((error) => {
      setTimeout(forget, RETRY_MILLISECONDS).unref();
      throw error;
    }));
}

async function open(issuer) {
  const { jwks_uri: address } = await discover(issuer);
  return createRemoteJWKSet(new URL(address), {
    cacheMaxAge: FRESH_MILLISECONDS,
    cooldownDuration: COOLDOWN_MILLISECONDS,
    timeoutDuration: TIMEOUT_MILLISECONDS,
    [customFetch]: fetchUsableKeys,
  });
}

/** Tells a bad token from an issuer that does not answer: or an outage logs everybody out. */
function source(resolve) {
  return async (header, token) => {
    let keys;
    try {
      keys = await resolve();
      return await keys(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw new KeysUnavailable(error);
      const known = keys.jwks().keys.some(({ kid }) => kid === header.kid);
      throw new InvalidToken(known ? "algorithm_not_allowed" : "unknown_key");
    }
  };
}

/** As `fetch` of a key set, with the keys that do not count left out. */
export async function fetchUsableKeys(address, options) {
  const response = await fetch(address, options);
  if (!response.ok) return response;
  return Response.json(usableKeys(await response.json()));
}

/** Returns the issuer's metadata (RFC 8414 section 3). */
export async function discover(issuer) {
  const { origin, pathname } = new URL(issuer);
  const path = pathname === "/" ? "" : pathname;
  const address = `${origin}/.well-known/oauth-authorization-server${path}`;
  requireSecure(address);
  const response = await fetch(address, {
    redirect: "error",
    signal: AbortSignal.timeout(TIMEOUT_MILLISECONDS),
  });
  if (!response.ok) throw new Error(`the issuer answers ${response.status}`);
  const metadata = await response.json();
  // Letter for letter, or one issuer could pass for another (section 3.3).
  if (metadata.issuer !== issuer) throw new Error("the metadata names another issuer");
  requireSecure(metadata.jwks_uri);
  return metadata;
}

function requireSecure(address) {
  const { protocol, hostname } = new URL(address);
  const loopback = ["127.0.0.1", "[::1]", "localhost"].includes(hostname);
  if (protocol !== "https:" && !(protocol === "http:" && loopback)) {
    throw new Error("keys come over HTTPS; http is for loopback alone");
  }
}

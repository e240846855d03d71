// The same with `oauth4webapi`, for those who use it already: validateJwtAccessToken
// knows RFC 9068, and the checks it does not make are the same few as beside `jose`.
// It reads claims before it verifies the signature, so a token with two faults may
// get another code than elsewhere.

import * as oauth from "oauth4webapi";

import { checkClaims, checkTypes } from "./claims.mjs";
import { InvalidToken, KeysUnavailable } from "./errors.mjs";
import { discover, fetchUsableKeys, remembered } from "./keys.mjs";
import { readHeader, readPayload } from "./token.mjs";
import { ALGORITHMS, CODES } from "./verify.mjs";

/**
 * As `createVerifier` of verify.mjs, with two differences: one audience, and no
 * support of tokens bound to a key without their proof (claim `cnf`).
 *
 * @param {object} options
 * @param {string} options.issuer
 * @param {string} options.audience
 * @param {() => Promise<oauth.AuthorizationServer>} [options.metadata]
 * @param {typeof fetch} [options.fetchKeys]
 */
export function createVerifier({
  issuer,
  audience,
  metadata = remembered(() => discover(issuer)),
  fetchKeys = fetchUsableKeys,
  algorithms = ALGORITHMS,
  leewaySeconds = 30,
  now = () => new Date(),
}) {
  const cache = {};
  return async (token) => {
    readHeader(token, algorithms);
    const currentDate = now();
    const request = new Request("https://service.invalid/", {
      headers: { authorization: `Bearer ${token}` },
    });
    try {
      await oauth.validateJwtAccessToken(await metadata(), request, audience, {
        signingAlgorithms: algorithms,
        // It counts whole seconds: one more for it, checkClaims below is exact.
        [oauth.clockTolerance]: leewaySeconds + 1,
        [oauth.clockSkew]: Math.round((currentDate - Date.now()) / 1000),
        [oauth.customFetch]: fetchKeys,
        [oauth.jwksCache]: cache,
        [oauth.allowInsecureRequests]: true, // discover() has seen to it
      });
    } catch (error) {
      throw translated(error, token, cache.jwks);
    }
    const claims = readPayload(token);
    checkClaims(claims, { issuer, audience: [audience], leewaySeconds }, currentDate / 1000);
    return claims;
  };
}

/** Returns the library's error with a code of the contract, told by what it says it was about. */
function translated(error, token, jwks) {
  if (!(
    error instanceof oauth.OperationProcessingError ||
    error instanceof oauth.UnsupportedOperationError
  )) {
    return new KeysUnavailable(error); // discover() and fetch()
  }
  const { claims, claim, header, headers, signature } = error.cause ?? {};
  if (claims) {
    try {
      checkTypes(readPayload(token));
    } catch (refusal) {
      return refusal;
    }
    return CODES[claim] ? new InvalidToken(CODES[claim]) : new InvalidToken("invalid_claim", "cnf");
  }
  if (headers) return new InvalidToken("invalid_claim", "cnf"); // it wants a DPoP proof
  if (signature) return new InvalidToken("bad_signature");
  if (error.code === oauth.KEY_SELECTION) {
    const known = jwks.keys.some(({ kid }) => kid === header.kid);
    return new InvalidToken(known ? "algorithm_not_allowed" : "unknown_key");
  }
  if (error.code === oauth.PARSE_ERROR || typeof error.cause === "string") {
    return new InvalidToken("malformed_token");
  }
  return new KeysUnavailable(error); // an answer that is no key set
}

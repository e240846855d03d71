// Verification with `jose`: the library checks what it can express, the neighbours of
// this file the rest (docs/guides/other-languages.md says what there is to check).

import { errors, jwtVerify } from "jose";

import { checkClaims, checkTypes } from "./claims.mjs";
import { InvalidToken } from "./errors.mjs";
import { readHeader, readPayload } from "./token.mjs";

export const ALGORITHMS = ["ES256", "RS256", "PS256", "EdDSA", "Ed25519"];

const REQUIRED_CLAIMS = ["iss", "sub", "aud", "client_id", "exp", "iat", "jti"];

/** What it means when a claim of the right type has the wrong value. */
export const CODES = {
  iss: "wrong_issuer",
  aud: "wrong_audience",
  exp: "expired_token",
  nbf: "not_yet_valid",
};

/**
 * Returns a function that verifies access tokens.
 *
 * @param {object} options
 * @param {string} options.issuer Compared with `iss` letter for letter.
 * @param {string | string[]} options.audience Of these `aud` must name at least one.
 * @param {Function} options.keys `remoteKeys(issuer)` or `staticKeys(jwks)`.
 * @param {string[]} [options.algorithms] The allow-list.
 * @param {number} [options.leewaySeconds] How far two clocks may differ.
 * @param {() => Date} [options.now]
 * @returns {(token: string) => Promise<object>} The claims; throws `InvalidToken`
 *   (401) or `KeysUnavailable` (503).
 */
export function createVerifier({
  issuer,
  audience,
  keys,
  algorithms = ALGORITHMS,
  leewaySeconds = 30,
  now = () => new Date(),
}) {
  const audiences = [audience].flat();
  if (!issuer || audiences.length === 0 || !audiences.every(Boolean)) {
    throw new TypeError("name the issuer and at least one audience"); // jose would skip the check
  }
  return async (token) => {
    readHeader(token, algorithms);
    const currentDate = now();
    try {
      await jwtVerify(token, keys, {
        algorithms,
        typ: "at+jwt",
        issuer,
        audience: audiences,
        requiredClaims: REQUIRED_CLAIMS,
        clockTolerance: leewaySeconds,
        currentDate,
      });
    } catch (error) {
      throw translated(error, token);
    }
    const claims = readPayload(token);
    checkClaims(claims, { issuer, audience: audiences, leewaySeconds }, currentDate / 1000);
    return claims;
  };
}

/** Returns jose's error with a code of the contract; if it is about claims, the signature held. */
function translated(error, token) {
  if (error instanceof errors.JWTExpired || error instanceof errors.JWTClaimValidationFailed) {
    try {
      checkTypes(readPayload(token));
    } catch (refusal) {
      return refusal;
    }
    const code = CODES[error.claim];
    return code ? new InvalidToken(code) : new InvalidToken("invalid_claim", error.claim);
  }
  if (error instanceof errors.JOSEError) {
    const unsigned = error instanceof errors.JWSSignatureVerificationFailed;
    return new InvalidToken(unsigned ? "bad_signature" : "malformed_token");
  }
  return error; // ours, or a defect
}

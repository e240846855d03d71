// Why a request is refused. Messages are fixed texts: nothing of a token is in them.

/** The token must not be accepted (401); asking again cannot help. */
export class InvalidToken extends Error {
  /**
   * @param {string} code A code of `ProblemCode`, such as "expired_token".
   * @param {string} [claim] With "invalid_claim": the claim of contract v1 at fault.
   */
  constructor(code, claim) {
    super("the access token is refused");
    this.name = "InvalidToken";
    this.code = code;
    this.claim = claim;
  }
}

/** The issuer could not be asked (503); asking again may help. It says nothing of the token. */
export class KeysUnavailable extends Error {
  constructor(cause) {
    super("the issuer's keys are unavailable", { cause });
    this.name = "KeysUnavailable";
    this.code = "keys_unavailable";
  }
}

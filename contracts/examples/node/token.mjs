// Size, shape and header of a token, more strictly than libraries read them.
// Nothing here is proven yet: it says which key to try, and no more.

import { Buffer } from "node:buffer";

import { InvalidToken } from "./errors.mjs";

const MAX_TOKEN_CHARACTERS = 16 * 1024;
const MAX_DEPTH = 32;
const MAX_KID_CHARACTERS = 1024;

// One encoding per value: no padding, and no stray bits in the last character
// (RFC 4648 section 3.5). Buffer, atob and jose would all let some of it pass.
const BASE64URL = /^(?:[\w-]{4})*(?:[\w-][AQgw]|[\w-]{2}[AEIMQUYcgkosw048])?$/;

const ACCESS_TOKEN_TYPES = new Set(["at+jwt", "application/at+jwt"]); // RFC 9068 section 4

// Members that would change what is verified or with what: unknown extensions
// (RFC 7515 section 4.1.11), keys out of the token itself (RFC 8725 section
// 3.10), an unencoded payload (RFC 7797 section 7).
const REFUSED_MEMBERS = ["crit", "jku", "jwk", "x5u", "x5c", "b64"];

const malformed = () => new InvalidToken("malformed_token");

/**
 * Returns what the header of `token` asks for.
 *
 * @param {string} token Compact JWS without "Bearer".
 * @param {string[]} algorithms The allow-list.
 * @returns {{alg: string, kid: string}}
 */
export function readHeader(token, algorithms) {
  if (typeof token !== "string") throw malformed();
  if (token.length > MAX_TOKEN_CHARACTERS) throw new InvalidToken("token_too_large");
  const segments = token.split(".", 4);
  const [header, payload] = segments;
  if (segments.length !== 3 || !header || !payload) throw malformed();
  if (!segments.every((segment) => BASE64URL.test(segment))) throw malformed();

  const { typ, alg, kid, ...others } = readObject(header, { distinct: true });
  if (typeof typ !== "string" || !ACCESS_TOKEN_TYPES.has(typ.toLowerCase())) {
    throw new InvalidToken("wrong_type");
  }
  if (!algorithms.includes(alg)) throw new InvalidToken("algorithm_not_allowed");
  if (typeof kid !== "string" || kid === "" || [...kid].length > MAX_KID_CHARACTERS) {
    throw malformed();
  }
  if (REFUSED_MEMBERS.some((name) => Object.hasOwn(others, name))) throw malformed();
  return { alg, kid };
}

/** Returns the payload of `token`. Its signature has been verified by the caller. */
export const readPayload = (token) => readObject(token.split(".")[1], { distinct: false });

function readObject(segment, { distinct }) {
  let value;
  try {
    // Fatal: RFC 8725 section 3.7 wants UTF-8 and nothing else. With ignoreBOM
    // a byte order mark stays in the text, where JSON.parse refuses it.
    const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    const text = utf8.decode(Buffer.from(segment, "base64url"));
    value = JSON.parse(text);
    checkStructure(text, distinct);
  } catch {
    throw malformed();
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw malformed();
  return value;
}

/** Refuses valid JSON that nests too deep or, if `distinct`, names a member twice. */
function checkStructure(text, distinct) {
  const names = []; // of each object that is open; of an array, an empty set
  for (const [token, colon] of text.matchAll(/"(?:[^"\\]|\\.)*"(\s*:)?|[{}[\]]/g)) {
    if (token === "{" || token === "[") {
      if (names.push(new Set()) > MAX_DEPTH) throw malformed();
    } else if (token === "}" || token === "]") {
      names.pop();
    } else if (colon && distinct) {
      // Two readers would see two headers (RFC 7515 section 4); JSON.parse says nothing.
      const name = JSON.parse(token.slice(0, -colon.length));
      if (names.at(-1).has(name)) throw malformed();
      names.at(-1).add(name);
    }
  }
}

// Permissions of Apostille: grammar and matching, without dependencies.
//
// A permission is two to five lower-case segments joined by dots. A grant, as it
// stands in a token, is a permission or a wildcard: "inventory.*" covers
// "inventory.read" and "inventory.stock.read"; "*" alone covers everything.
// What a service requires never contains a wildcard.

const MAX_LENGTH = 128;
const SEGMENT = "[a-z][a-z0-9_-]*";
const PERMISSION = new RegExp(`^${SEGMENT}(?:\\.${SEGMENT}){1,4}$`);
const WILDCARD = new RegExp(`^${SEGMENT}(?:\\.${SEGMENT}){0,3}\\.\\*$`);

/** Says whether `text` is a permission that can be required. */
export const isPermission = (text) =>
  typeof text === "string" && text.length <= MAX_LENGTH && PERMISSION.test(text);

/** The grants of one token. Texts that are not grants cover nothing. */
export class PermissionSet {
  #everything;
  #names;
  #prefixes;

  /** @param {Iterable<string>} grants The claim `permissions`; absent means none. */
  constructor(grants = []) {
    const all = [...grants];
    this.#everything = all.includes("*");
    this.#names = new Set(all);
    this.#prefixes = all.filter((grant) => WILDCARD.test(grant)).map((grant) => grant.slice(0, -1));
  }

  /** Says whether `permission`, a name without wildcard, is covered. */
  covers(permission) {
    return (
      this.#everything ||
      this.#names.has(permission) ||
      this.#prefixes.some((prefix) => permission.startsWith(prefix))
    );
  }
}

/**
 * Returns a check that wants all of `names`.
 *
 *     const mayWrite = hasPermission("inventory.write"); // once, when the module loads
 *     if (!mayWrite(claims)) ...                         // per request
 *     mayWrite.missing(claims)                           // what would have helped
 *
 * @param {...string} names One permission or more, without wildcards.
 * @returns {((claims: {permissions?: string[]}) => boolean) & {missing: Function}}
 * @throws {TypeError} No name, a malformed one or a wildcard: a mistake in the
 *   program, found when it starts and not when somebody asks.
 */
export function hasPermission(...names) {
  return requirement(names, (held) => names.every((name) => held.covers(name)));
}

/** Returns a check that wants at least one of `names`; otherwise as `hasPermission`. */
export function hasAnyPermission(...names) {
  return requirement(names, (held) => names.some((name) => held.covers(name)));
}

function requirement(names, holds) {
  // "All of nothing" would be true of everybody.
  if (names.length === 0) throw new TypeError("a requirement names at least one permission");
  for (const name of names) {
    if (!isPermission(name)) throw new TypeError(`${JSON.stringify(name)} is no permission`);
  }
  const held = (claims) => new PermissionSet(claims.permissions);
  const missing = (claims) => names.filter((name) => !held(claims).covers(name));
  return Object.assign((claims) => holds(held(claims)), { missing });
}

// Runs golden vectors: one JSON document a line on standard input, one verdict a line
// on standard output. `node conformance.mjs jose|oauth4webapi|permissions`. A vector
// without keys is judged by the keys that its issuer serves, one without time now.

import { createInterface } from "node:readline";

import { remoteKeys, staticKeys, usableKeys } from "./keys.mjs";
import { hasAnyPermission, hasPermission } from "./permissions.mjs";
import { createVerifier } from "./verify.mjs";
import { createVerifier as createOAuthVerifier } from "./verify-oauth4webapi.mjs";

const runners = {
  async jose({ keys, policy, time, token }) {
    const source = keys ? staticKeys(keys) : remoteKeys(policy.issuer);
    return createVerifier({ ...options(policy, time), keys: source })(token);
  },

  async oauth4webapi({ keys, policy, time, token }) {
    const given = keys && {
      metadata: async () => ({ issuer: policy.issuer, jwks_uri: "https://issuer.invalid/" }),
      fetchKeys: async () => Response.json(usableKeys(keys)),
    };
    const verify = (audience) =>
      createOAuthVerifier({ ...options(policy, time), audience, ...given })(token);
    // The library takes one audience; a service with two would have two verifiers.
    const [first, ...others] = policy.audience;
    return others.reduce((result, next) => result.catch(() => verify(next)), verify(first));
  },

  async permissions({ grants, required, match }) {
    const requirement = match === "any" ? hasAnyPermission : hasPermission;
    return requirement(...required)({ permissions: grants });
  },
};

const options = (policy, time) => ({
  issuer: policy.issuer,
  audience: policy.audience,
  algorithms: policy.algorithms,
  leewaySeconds: policy.leeway_seconds,
  now: () => new Date(time === undefined ? Date.now() : time * 1000),
});

const run = runners[process.argv[2]];
for await (const line of createInterface({ input: process.stdin })) {
  const verdict = await run(JSON.parse(line)).then(
    (value) => ({ value }),
    ({ code = "error", claim, message }) => ({ code, claim, message }),
  );
  console.log(JSON.stringify(verdict));
}

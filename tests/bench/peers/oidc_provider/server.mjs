// oidc-provider with refresh token rotation over SQLite, as its documentation sets it up:
// node server.mjs PORT DATABASE. GET /seed?count=N answers refresh tokens, one a line.
import { generateKeyPairSync } from 'node:crypto'
import { createServer } from 'node:http'
import Database from 'better-sqlite3'
import Provider from 'oidc-provider'

const [port, file] = process.argv.slice(2)
const RESOURCE = 'urn:inventory'
const SCOPE = 'offline_access read' // without openid: no ID token to sign besides
const SECRET = 's'.repeat(40)

const database = new Database(file)
database.pragma('journal_mode = WAL')
database.pragma('synchronous = NORMAL')
database.exec(`
  CREATE TABLE models (key TEXT PRIMARY KEY, grant_id TEXT, uid TEXT, payload TEXT,
                       expires_at INTEGER, consumed_at INTEGER);
  CREATE INDEX models_by_grant ON models (grant_id);
  CREATE INDEX models_by_uid ON models (uid)`)
const statements = {
  upsert: database.prepare(`INSERT INTO models VALUES (?, ?, ?, ?, ?, NULL) ON CONFLICT (key)
    DO UPDATE SET payload = excluded.payload, expires_at = excluded.expires_at`),
  find: database.prepare('SELECT payload, expires_at, consumed_at FROM models WHERE key = ?'),
  findByUid: database.prepare('SELECT payload, expires_at, consumed_at FROM models WHERE uid = ?'),
  consume: database.prepare('UPDATE models SET consumed_at = ? WHERE key = ?'),
  destroy: database.prepare('DELETE FROM models WHERE key = ?'),
  revoke: database.prepare('DELETE FROM models WHERE grant_id = ?'),
}
const seconds = () => Math.floor(Date.now() / 1000)

function loaded(row) {
  if (!row || (row.expires_at && row.expires_at < seconds())) return undefined
  const payload = JSON.parse(row.payload)
  return row.consumed_at ? { ...payload, consumed: row.consumed_at } : payload
}

class Adapter {
  constructor(model) { this.model = model }
  key(id) { return `${this.model}:${id}` }
  async upsert(id, payload, lifetime) {
    statements.upsert.run(this.key(id), payload.grantId ?? null, payload.uid ?? null,
      JSON.stringify(payload), lifetime ? seconds() + lifetime : null)
  }
  async find(id) { return loaded(statements.find.get(this.key(id))) }
  async findByUid(uid) { return loaded(statements.findByUid.get(uid)) }
  async findByUserCode() { return undefined }
  async consume(id) { statements.consume.run(seconds(), this.key(id)) }
  async destroy(id) { statements.destroy.run(this.key(id)) }
  async revokeByGrantId(grantId) { statements.revoke.run(grantId) }
}

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const jwk = { ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig', kid: 'bench' }

const provider = new Provider(`http://127.0.0.1:${port}`, {
  adapter: Adapter,
  jwks: { keys: [jwk] },
  cookies: { keys: ['x'.repeat(32)] },
  rotateRefreshToken: true,
  scopes: ['openid', 'offline_access', 'read'],
  clients: [{
    client_id: 'web',
    client_secret: SECRET,
    grant_types: ['authorization_code', 'refresh_token'],
    redirect_uris: ['https://client.example/callback'],
    token_endpoint_auth_method: 'client_secret_post',
    id_token_signed_response_alg: 'ES256',
  }],
  features: {
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: async () => RESOURCE,
      useGrantedResource: async () => true,
      getResourceServerInfo: async () => ({
        scope: 'read',
        audience: 'inventory',
        accessTokenTTL: 600,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
  findAccount: async (_, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
  ttl: { RefreshToken: () => 86_400, Grant: () => 86_400 },
})
provider.on('server_error', (_, error) => console.error(error))

async function seed(count) {
  const client = await provider.Client.find('web')
  const tokens = []
  for (let number = 0; number < count; number += 1) {
    const accountId = `user-${number}`
    const grant = new provider.Grant({ accountId, clientId: 'web' })
    grant.addOIDCScope('offline_access')
    grant.addResourceScope(RESOURCE, 'read')
    const token = new provider.RefreshToken({
      client, accountId, grantId: await grant.save(86_400), gty: 'authorization_code',
      scope: SCOPE, resource: RESOURCE, claims: {}, authTime: seconds(),
    })
    tokens.push(await token.save())
  }
  return tokens.join('\n')
}

const answer = provider.callback()
createServer(async (request, response) => {
  const url = new URL(request.url, 'http://127.0.0.1')
  if (url.pathname === '/seed') response.end(await seed(Number(url.searchParams.get('count'))))
  else answer(request, response)
}).listen(Number(port), '127.0.0.1')

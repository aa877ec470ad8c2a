/** An issuer of tokens for tests: keys, tokens, and the key set over HTTP or in a file. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type JWK, SignJWT } from 'jose'
import type {
  JwtIssuerConfig,
  TenantConfig,
  TenantJwtIssuerConfig,
} from '../../src/config/schema.ts'
import type { ProblemLog } from '../../src/proxy/credential/key-source.ts'
import { TenantDirectory } from '../../src/proxy/tenant/directory.ts'

/** The time of all calls; tests move on from it. */
export const NOW = Date.UTC(2026, 10, 22)
export const ISSUER = 'https://login.example.com'

export interface SigningKey {
  readonly kid: string
  readonly alg: string
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  readonly jwk: JWK
}

export function signingKey(kid: string, alg: 'ES256' | 'RS256' | 'EdDSA' = 'ES256'): SigningKey {
  const pair = keyPair(alg)
  const jwk = { ...(pair.publicKey.export({ format: 'jwk' }) as JWK), kid, alg, use: 'sig' }
  return { kid, alg, privateKey: pair.privateKey, publicKey: pair.publicKey, jwk }
}

function keyPair(alg: string): { publicKey: KeyObject; privateKey: KeyObject } {
  if (alg === 'RS256') return generateKeyPairSync('rsa', { modulusLength: 2048 })
  if (alg === 'EdDSA') return generateKeyPairSync('ed25519')
  return generateKeyPairSync('ec', { namedCurve: 'P-256' })
}

/** A token that is good for an hour unless `claims` or `header` say otherwise; `undefined` leaves a member out. */
export function sign(
  key: SigningKey,
  claims: Record<string, unknown> = {},
  header: Record<string, unknown> = {},
): Promise<string> {
  const all = { iss: ISSUER, aud: 'orders', exp: NOW / 1_000 + 3_600, tenant: 'acme', ...claims }
  return new SignJWT(all)
    .setProtectedHeader({ alg: key.alg, kid: key.kid, ...header })
    .sign(key.privateKey)
}

export function issuerConfig(jwks: string, rest: Partial<JwtIssuerConfig> = {}): JwtIssuerConfig {
  return {
    issuer: ISSUER,
    audiences: ['orders'],
    jwks,
    algorithms: ['RS256', 'ES256', 'EdDSA'],
    types: ['JWT', 'at+jwt'],
    requireType: false,
    tenantClaim: 'tenant',
    clockSkew: 60_000,
    maxStale: 24 * 3_600_000,
    ...rest,
  }
}

/** An issuer of one tenant. */
export function ownIssuer(
  jwks: string,
  rest: Partial<TenantJwtIssuerConfig> = {},
): TenantJwtIssuerConfig {
  const { tenantClaim: _, ...config } = issuerConfig(jwks)
  return { ...config, issuer: 'https://login.acme.example', claims: {}, ...rest }
}

export function tenantConfig(id: string, rest: Partial<TenantConfig> = {}): TenantConfig {
  const deployment = { endpoints: ['http://127.0.0.1:9'] }
  return {
    id,
    hosts: [],
    credentials: [],
    jwt: [],
    deployment,
    limits: {},
    connect: false,
    passthrough: false,
    quotas: [],
    disabled: false,
    ...rest,
  }
}

export function directoryOf(...ids: string[]): TenantDirectory {
  return TenantDirectory.compile(
    ids.map(id => tenantConfig(id)),
    1,
  )
}

export class RecordingLog implements ProblemLog {
  readonly reasons: unknown[] = []

  warn(fields: Record<string, unknown>): void {
    this.reasons.push(fields['reason'])
  }
}

/** A key set over HTTP. `answer` may be replaced to misbehave. */
export class JwksServer {
  keys: readonly JWK[]
  requests = 0
  headers: Record<string, string> = {}
  answer: (response: ServerResponse, request: IncomingMessage) => void = response => {
    response.writeHead(200, { 'content-type': 'application/jwk-set+json', ...this.headers })
    response.end(JSON.stringify({ keys: this.keys }))
  }
  readonly #server = createServer((request, response) => {
    this.requests += 1
    this.answer(response, request)
  })

  constructor(...keys: SigningKey[]) {
    this.keys = keys.map(key => key.jwk)
  }

  async listen(port = 0): Promise<this> {
    await new Promise<void>(resolve => {
      this.#server.listen(port, '127.0.0.1', resolve)
    })
    return this
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/jwks.json`
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise<void>(resolve => {
      this.#server.close(() => resolve())
    })
  }
}

/** Tenants with everything that can prove whose traffic is whose, and what must not be taken for proof. */
import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SignJWT } from 'jose'
import { formatApiKey } from '../../../src/core/api-key.ts'
import {
  createAuthority,
  issueServerCertificate,
  issueTenantCertificate,
  type KeyedCertificate,
} from '../../../src/runtime/certificates/issue.ts'
import type { SeededRandom } from '../seeded-random.ts'

const ISSUER = 'https://login.example.com'
const AUDIENCE = 'orders'

export interface TenantFixture {
  readonly id: string
  /** In every body of this tenant and of no other. */
  readonly marker: string
  readonly host: string
  /** Of its private listeners. */
  readonly address: string
  readonly apiKey: string
  readonly tokens: readonly string[]
  readonly expiredToken: string
  readonly certificate: KeyedCertificate
  /** Its deployment speaks HTTP/2. */
  http2: boolean
  /** `steady`: calls end as planned. Otherwise its deployment is about to die, or dead. */
  phase: 'steady' | 'outage'
  /** Calls that a death of the deployment would disturb. */
  inFlight: number
  whenIdle: (() => void) | undefined
  /** How often its deployments have said that a connection takes no more calls, and how many of those are closed by now. */
  farewells: number
  farewellsOver: number
}

export interface Fixtures {
  readonly tenants: readonly TenantFixture[]
  /** For clients: the authority of the listener's certificate. */
  readonly ca: string
  /** Path of the same. */
  readonly caFile: string
  /** Of a deployment at that address, by the same authority. */
  readonly issueServer: (address: string) => Promise<KeyedCertificate>
  readonly authentication: Record<string, unknown>
  readonly listenerTls: Record<string, unknown>
}

/** Makes tenants and writes what a configuration refers to into `folder`. */
export async function makeTenants(
  random: SeededRandom,
  count: number,
  folder: string,
): Promise<Fixtures> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'k1', alg: 'ES256', use: 'sig' }
  writeFileSync(join(folder, 'jwks.json'), JSON.stringify({ keys: [jwk] }))
  const authority = await createAuthority('cross-tenant test', Date.now())
  const server = await issueServerCertificate(
    authority,
    { names: [], addresses: ['127.0.0.1'] },
    Date.now(),
  )
  writeFileSync(join(folder, 'ca.crt'), authority.cert)
  writeFileSync(join(folder, 'server.crt'), server.cert)
  writeFileSync(join(folder, 'server.key'), server.key)
  // A network of loopback that two runs on one machine seldom share.
  const network = `127.${random.between(16, 250)}.${random.between(1, 250)}`
  const tenants: TenantFixture[] = []
  for (let index = 0; index < count; index++) {
    const id = `tenant-${index}`
    tenants.push({
      id,
      marker: `${id}-${random.text(16)}`,
      host: `${id}.example.com`,
      address: `${network}.${index + 1}`,
      apiKey: formatApiKey(id, Buffer.from(random.text(32))),
      tokens: await Promise.all([1, 2, 3].map(number => token(privateKey, id, 3_600 + number))),
      expiredToken: await token(privateKey, id, -3_600),
      certificate: await issueTenantCertificate(
        authority,
        { tenant: id, spiffeId: `spiffe://example.org/tenant/${id}` },
        Date.now(),
      ),
      http2: false,
      phase: 'steady',
      inFlight: 0,
      farewells: 0,
      farewellsOver: 0,
      whenIdle: undefined,
    })
  }
  return {
    tenants,
    ca: authority.cert,
    caFile: join(folder, 'ca.crt'),
    issueServer: async address =>
      issueServerCertificate(authority, { names: [], addresses: [address] }, Date.now()),
    authentication: {
      jwt: [{ issuer: ISSUER, audiences: [AUDIENCE], jwks: join(folder, 'jwks.json') }],
      spiffe: { trustDomain: 'example.org' },
    },
    listenerTls: {
      certificates: [{ cert: join(folder, 'server.crt'), key: join(folder, 'server.key') }],
      clientCertificate: 'optional',
      clientCa: join(folder, 'ca.crt'),
    },
  }
}

async function token(key: KeyObject, tenant: string, secondsLeft: number): Promise<string> {
  return new SignJWT({ tenant })
    .setProtectedHeader({ alg: 'ES256', kid: 'k1' })
    .setIssuer(ISSUER)
    .setAudience(AUDIENCE)
    .setExpirationTime(Math.floor(Date.now() / 1_000) + secondsLeft)
    .sign(key)
}

/** The tenant as a configuration has it; `ca` is the path of who says for endpoints with TLS that they are those. */
export function tenantConfig(
  { id, host, address, apiKey }: TenantFixture,
  endpoints: readonly string[],
  ca?: string,
): Record<string, unknown> {
  return {
    id,
    address,
    hosts: [host],
    credentials: [
      { apiKey: `sha256:${createHash('sha256').update(apiKey).digest('hex')}` },
      { spiffe: `spiffe://example.org/tenant/${id}` },
    ],
    deployment: { endpoints, ...(ca === undefined ? {} : { tls: { ca } }) },
  }
}

/** A call of `tenant` begins that its deployment's death would disturb. */
export function enter(tenant: TenantFixture): void {
  tenant.inFlight++
}

export function leave(tenant: TenantFixture): void {
  tenant.inFlight--
  if (tenant.inFlight === 0) tenant.whenIdle?.()
}

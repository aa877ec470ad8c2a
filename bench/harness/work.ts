/** What a lane sends: its tenants with their credentials, and the files that proxies need to check them. */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { exportJWK, exportSPKI, generateKeyPair, SignJWT } from 'jose'
import { API_KEY_RANDOM_BYTES, formatApiKey } from '../../src/core/api-key.ts'
import type { Lane } from '../lanes/lane.ts'

export const AMT: string = join(import.meta.dirname, '../../bin/amt')

export interface WorkTenant {
  readonly id: string
  /** Value of the field that carries it. */
  readonly credential: string
}

export interface Work {
  readonly lane: Lane
  /** Where its files are. */
  readonly folder: string
  readonly path: string
  /** Field that carries the credential, in lower case; '' where there is none. */
  readonly field: string
  readonly tenants: readonly WorkTenant[]
  /** Well formed, and of nobody: every proxy must refuse it. */
  readonly foreignCredential: string
  /** One credential a line. */
  readonly credentialFile: string
  readonly jwt: JwtWork | undefined
  readonly tls: TlsWork | undefined
}

export interface JwtWork {
  readonly issuer: string
  readonly audience: string
  readonly jwksFile: string
  /** The same key as PEM. */
  readonly publicKeyFile: string
}

/** PEM files; `bundle` holds both. */
export interface TlsWork {
  readonly cert: string
  readonly key: string
  readonly bundle: string
  /** Of clients, in a lane that asks for their certificates. */
  readonly client: ClientTlsWork | undefined
}

/** `ca`: PEM file with the authority of both sides. The others are PEM, not files. */
export interface ClientTlsWork {
  readonly ca: string
  readonly authority: string
  readonly cert: string
  readonly key: string
}

const ISSUER = 'https://login.example.com'
const AUDIENCE = 'orders'
const KEY_ID = 'bench'

/** Makes it all new, in `folder`. Ids and credentials of tenants have one length each, so that all answers have one. */
export async function prepareWork(lane: Lane, folder: string): Promise<Work> {
  const ids = Array.from({ length: lane.tenants }, (_, n) => `t-${String(n).padStart(4, '0')}`)
  const tls = lane.tls ? makeCertificate(folder, lane.mutual === true) : undefined
  const { jwt, credentialOf, foreignCredential } =
    lane.credential === 'jwt' ? await makeTokens(folder) : makeApiKeys()
  const tenants = await Promise.all(
    ids.map(async id => ({ id, credential: await credentialOf(id) })),
  )
  const credentialFile = join(folder, 'credentials.txt')
  writeFileSync(credentialFile, `${tenants.map(({ credential }) => credential).join('\n')}\n`)
  const field = { jwt: 'authorization', 'api-key': 'x-api-key', none: '' }[lane.credential]
  return {
    lane,
    folder,
    path: '/v1/orders/4711',
    field,
    tenants,
    foreignCredential,
    credentialFile,
    jwt,
    tls,
  }
}

export interface Credentials {
  readonly jwt: JwtWork | undefined
  readonly credentialOf: (tenant: string) => Promise<string> | string
  readonly foreignCredential: string
}

/** Keys are those of the tenant in their text; nothing is written. */
export function makeApiKeys(): Credentials {
  const keyOf = (tenant: string): string => formatApiKey(tenant, randomBytes(API_KEY_RANDOM_BYTES))
  return { jwt: undefined, credentialOf: keyOf, foreignCredential: keyOf('t-0000') }
}

/** RS256; the key set and the public key are files in `folder`. */
export async function makeTokens(folder: string): Promise<Credentials> {
  const known = await generateKeyPair('RS256', { extractable: true })
  const foreign = await generateKeyPair('RS256')
  const jwksFile = join(folder, 'jwks.json')
  const publicKeyFile = join(folder, 'jwt-key.pem')
  const jwk = { ...(await exportJWK(known.publicKey)), kid: KEY_ID, alg: 'RS256', use: 'sig' }
  writeFileSync(jwksFile, JSON.stringify({ keys: [jwk] }))
  writeFileSync(publicKeyFile, await exportSPKI(known.publicKey))
  const tokenOf = async (tenant: string, key: CryptoKey): Promise<string> =>
    `Bearer ${await new SignJWT({ tenant, scope: 'orders:read orders:write' })
      .setProtectedHeader({ alg: 'RS256', typ: 'JWT', kid: KEY_ID })
      .setIssuer(ISSUER)
      .setAudience(AUDIENCE)
      .setSubject(`user-of-${tenant}`)
      .setIssuedAt()
      .setExpirationTime('4h')
      .sign(key)}`
  return {
    jwt: { issuer: ISSUER, audience: AUDIENCE, jwksFile, publicKeyFile },
    credentialOf: async tenant => tokenOf(tenant, known.privateKey),
    foreignCredential: await tokenOf('t-0000', foreign.privateKey),
  }
}

/** P-256, as `amt certs` makes them. */
export function makeCertificate(folder: string, mutual: boolean): TlsWork {
  execFileSync(AMT, ['certs', 'init', '--dir', folder], { stdio: 'ignore' })
  execFileSync(AMT, ['certs', 'server', '--dir', folder], { stdio: 'ignore' })
  const [cert, key] = [join(folder, 'server.crt'), join(folder, 'server.key')]
  const bundle = join(folder, 'server.pem')
  writeFileSync(bundle, readFileSync(cert, 'utf8') + readFileSync(key, 'utf8'), { mode: 0o600 })
  return { cert, key, bundle, client: mutual ? makeClientCertificate(folder) : undefined }
}

function makeClientCertificate(folder: string): ClientTlsWork {
  execFileSync(AMT, ['certs', 'tenant', '--dir', folder, '--tenant', 'client'], { stdio: 'ignore' })
  const text = (name: string): string => readFileSync(join(folder, name), 'utf8')
  const ca = join(folder, 'ca.crt')
  return { ca, authority: text('ca.crt'), cert: text('client.crt'), key: text('client.key') }
}

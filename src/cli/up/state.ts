/**
 * What `amt up` keeps in its state folder: an authority and certificates, keys and tokens. Whatever is missing is made;
 * what is there stays, except certificates of our own authority that have expired or that it no longer vouches for.
 */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  X509Certificate,
} from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { calculateJwkThumbprint, exportJWK, SignJWT } from 'jose'
import type { ClaimPath } from '../../core/claim-path.ts'
import {
  createAuthority,
  issueServerCertificate,
  type KeyedCertificate,
} from '../../runtime/certificates/issue.ts'
import {
  AUTHORITY_NAME,
  DEFAULT_PKCS12_PASSWORD,
  keyedFiles,
  LOCAL_ADDRESSES,
  LOCAL_NAMES,
  tenantFiles,
} from '../certificate-files.ts'
import { apiKeyDigest, newApiKey } from '../commands/key.ts'
import { type NewFile, writeFiles } from '../write-files.ts'

const JWT_ALGORITHM = 'ES256'
const JWT_LIFETIME = '24h'

export interface StateOptions {
  /** Absolute. */
  readonly dir: string
  /** Tenants that get a certificate and an API key. */
  readonly tenants: readonly string[]
  /** Names that the server certificate holds for, besides localhost. Most clients do not take `*.localhost` for them. */
  readonly hosts: readonly string[]
  readonly trustDomain: string
}

/** Makes what is missing and answers with the names of the files that were made. */
export async function prepareState({
  dir,
  tenants,
  hosts,
  trustDomain,
}: StateOptions): Promise<string[]> {
  await mkdir(join(dir, 'logs'), { recursive: true, mode: 0o700 })
  const made: string[] = []
  const write = async (files: readonly NewFile[]): Promise<void> => {
    await writeFiles(files, true)
    for (const file of files) made.push(file.path.slice(dir.length + 1))
  }
  const authority = await prepareAuthority(dir, write)
  if (await needsCertificate(dir, 'server', authority)) {
    const subject = { names: [...LOCAL_NAMES, ...hosts], addresses: LOCAL_ADDRESSES }
    const server = await issueServerCertificate(authority, subject, Date.now())
    await write(keyedFiles(dir, 'server', server))
  }
  await prepareTokenKey(dir, write)
  if (!has(dir, 'mixer.token')) {
    await write([secretFile(dir, 'mixer.token', `${randomBytes(32).toString('base64url')}\n`)])
  }
  for (const tenant of tenants) {
    if (await needsCertificate(dir, tenant, authority)) {
      const subject = { dir, tenant, trustDomain, password: DEFAULT_PKCS12_PASSWORD }
      await write((await tenantFiles(authority, subject)).files)
    }
    await prepareApiKey(dir, tenant, write)
  }
  return made
}

export interface TokenOptions {
  readonly tenant: string
  readonly issuer: string
  readonly audience: string
  /** The claim that carries the tenant's id. */
  readonly tenantClaim: ClaimPath
}

function claimsWith({ tenant, tenantClaim }: TokenOptions): Record<string, unknown> {
  const claims = tenantClaim.reduceRight<unknown>((value, name) => ({ [name]: value }), tenant)
  return claims as Record<string, unknown>
}

/** Writes `<tenant>.jwt`: a token that is good for a day from now, signed with the key of the state folder. */
export async function writeToken(dir: string, options: TokenOptions): Promise<void> {
  const key = createPrivateKey(await readFile(join(dir, 'jwt.key'), 'utf8'))
  const kid = await calculateJwkThumbprint(await exportJWK(createPublicKey(key)))
  const token = await new SignJWT(claimsWith(options))
    .setProtectedHeader({ alg: JWT_ALGORITHM, kid, typ: 'JWT' })
    .setIssuer(options.issuer)
    .setAudience(options.audience)
    .setSubject(`someone-at-${options.tenant}`)
    .setIssuedAt()
    .setExpirationTime(JWT_LIFETIME)
    .sign(key)
  await writeFiles([secretFile(dir, `${options.tenant}.jwt`, `${token}\n`)], true)
}

type Write = (files: readonly NewFile[]) => Promise<void>

async function prepareAuthority(dir: string, write: Write): Promise<KeyedCertificate> {
  if (has(dir, 'ca.crt') && !has(dir, 'ca.key')) {
    throw new Error(
      `${join(dir, 'ca.crt')} is there without ca.key: put the key beside it, or remove it to have both made anew`,
    )
  }
  // A key alone is what is left of a first start that was interrupted.
  if (!has(dir, 'ca.crt'))
    await write(keyedFiles(dir, 'ca', await createAuthority(AUTHORITY_NAME, Date.now())))
  const [cert, key] = await Promise.all([read(dir, 'ca.crt'), read(dir, 'ca.key')])
  return { cert, key }
}

async function needsCertificate(
  dir: string,
  name: string,
  authority: KeyedCertificate,
): Promise<boolean> {
  if (!has(dir, `${name}.crt`) || !has(dir, `${name}.key`)) return true
  const certificate = new X509Certificate(await read(dir, `${name}.crt`))
  const issuer = new X509Certificate(authority.cert)
  if (certificate.issuer !== issuer.subject) return false // somebody put in their own
  return certificate.validToDate.getTime() < Date.now() || !certificate.verify(issuer.publicKey)
}

async function prepareTokenKey(dir: string, write: Write): Promise<void> {
  if (has(dir, 'jwt.key') && has(dir, 'jwks.json')) return
  if (!has(dir, 'jwt.key')) {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' })
    await write([secretFile(dir, 'jwt.key', pem)])
  }
  const jwk = await exportJWK(createPublicKey(await read(dir, 'jwt.key')))
  const kid = await calculateJwkThumbprint(jwk)
  const jwks = { keys: [{ ...jwk, kid, alg: JWT_ALGORITHM, use: 'sig' }] }
  const content = `${JSON.stringify(jwks, null, 2)}\n`
  await write([{ path: join(dir, 'jwks.json'), content, secret: false }])
}

async function prepareApiKey(dir: string, tenant: string, write: Write): Promise<void> {
  const [key, digest] = [`${tenant}.apikey`, `${tenant}.apikey.sha256`]
  if (!has(dir, key)) await write([secretFile(dir, key, `${newApiKey(tenant).key}\n`)])
  const content = `${apiKeyDigest((await read(dir, key)).trim())}\n`
  if (has(dir, digest) && (await read(dir, digest)) === content) return
  await write([{ path: join(dir, digest), content, secret: false }])
}

function has(dir: string, name: string): boolean {
  return existsSync(join(dir, name))
}

async function read(dir: string, name: string): Promise<string> {
  return readFile(join(dir, name), 'utf8')
}

function secretFile(dir: string, name: string, content: string): NewFile {
  return { path: join(dir, name), content, secret: true }
}

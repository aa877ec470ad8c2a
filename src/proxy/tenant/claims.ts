/** What a tenant claims for itself alone: whatever leads from traffic to it stands here, and is kept by the directory. */
import { keyOfPrivateLink } from '../../config/private-link-schema.ts'
import type { CredentialConfig, TenantConfig } from '../../config/schema.ts'
import { normalizeAddress } from './ip-address.ts'
import { type Binding, bindingOf } from './jwt-bindings.ts'

/** Names of the maps of a directory. */
export const CLAIM_TABLES = [
  'addresses',
  'hosts',
  /** Key: what follows the `*.`. */
  'hostSuffixes',
  'apiKeys',
  'certificates',
  'spiffeIds',
  /** Key: what stands before the `*`, with its slash. */
  'spiffePrefixes',
  'jwtBindings',
  'privateLinks',
  /** Issuers that are a tenant's own. */
  'issuers',
  /** Tenants that end TLS themselves. Key: the id. */
  'passthrough',
  /** Tenants that have a limit of TLS handshakes of their own. Key: the id. */
  'handshakeLimits',
] as const

export type ClaimTable = (typeof CLAIM_TABLES)[number]

export interface Claim {
  readonly table: ClaimTable
  readonly key: string
  /** Of `jwtBindings`. */
  readonly binding?: Binding
}

const DIGEST_PREFIX = 'sha256:'
const WILDCARD_HOST = '*.'
const WILDCARD_PATH = '/*'

export function claimsOf(config: TenantConfig): Claim[] {
  const claims: Claim[] = []
  const { address } = config
  if (address !== undefined) claims.push(claimOfAddress(address))
  for (const host of config.hosts) claims.push(claimOfHost(host))
  for (const { issuer } of config.jwt) claims.push({ table: 'issuers', key: issuer })
  for (const credential of config.credentials) claims.push(claimOfCredential(credential))
  if (config.passthrough) claims.push({ table: 'passthrough', key: config.id })
  if (config.limits.handshakes !== undefined)
    claims.push({ table: 'handshakeLimits', key: config.id })
  return claims
}

export function claimOfAddress(address: string): Claim {
  return { table: 'addresses', key: normalizeAddress(address) ?? address }
}

/** A name, or all below one. */
export function claimOfHost(host: string): Claim {
  return host.startsWith(WILDCARD_HOST)
    ? { table: 'hostSuffixes', key: host.slice(WILDCARD_HOST.length) }
    : { table: 'hosts', key: host }
}

/** An id, or all that begin with one. */
export function claimOfSpiffeId(id: string): Claim {
  return id.endsWith(WILDCARD_PATH)
    ? { table: 'spiffePrefixes', key: id.slice(0, -1) }
    : { table: 'spiffeIds', key: id }
}

function claimOfCredential(credential: CredentialConfig): Claim {
  if ('apiKey' in credential) {
    return { table: 'apiKeys', key: credential.apiKey.slice(DIGEST_PREFIX.length) }
  }
  if ('certificate' in credential) {
    return { table: 'certificates', key: credential.certificate.slice(DIGEST_PREFIX.length) }
  }
  if ('spiffe' in credential) return claimOfSpiffeId(credential.spiffe)
  if ('privateLink' in credential) {
    return { table: 'privateLinks', key: keyOfPrivateLink(credential.privateLink) }
  }
  const binding = bindingOf(credential.jwt.issuer, credential.jwt.claims)
  return { table: 'jwtBindings', key: binding.key, binding }
}

/** For people. */
export function describeClaim({ table, key, binding }: Claim): string {
  if (binding !== undefined) return `tokens of ${binding.issuer}`
  const isDigest = table === 'apiKeys' || table === 'certificates'
  if (isDigest) return DIGEST_PREFIX + key
  if (table === 'hostSuffixes') return WILDCARD_HOST + key
  return table === 'spiffePrefixes' ? `${key}*` : key
}

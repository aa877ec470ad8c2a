/**
 * The front of the peers that are made with node:http: a server, and who calls. A careful engineer would keep tokens that
 * were verified once, so it does: then the comparison is one of forwarding and not of RSA.
 */
import { createPublicKey, verify } from 'node:crypto'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestListener,
  type Server,
} from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { NodeProgramSettings } from './node-program.ts'

const MAX_KEPT_TOKENS = 10_000

export type Identify = (call: IncomingMessage) => string | undefined
export type FindTenant = (headers: IncomingHttpHeaders) => string | undefined

export function listen({ port, tls }: NodeProgramSettings, onCall: RequestListener): Server {
  const server = tls ? createTlsServer(tls, onCall) : createServer(onCall)
  server.keepAliveTimeout = 300_000
  return server.listen(port, '127.0.0.1', 4_096)
}

/** The field that carries the credential, which does not go upstream. */
export function credentialField({ jwt }: NodeProgramSettings): string {
  return jwt ? 'authorization' : 'x-api-key'
}

export function identifier(settings: NodeProgramSettings): Identify {
  const find = tenantFinder(settings)
  return ({ headers }) => find(headers)
}

/** The same for whoever has header fields alone. */
export function tenantFinder({ tenants, jwt }: NodeProgramSettings): FindTenant {
  if (jwt) return tokenFinder(jwt)
  const keys = new Map(tenants.map(({ id, credential }) => [credential, id]))
  return headers => keys.get(String(headers['x-api-key']))
}

function tokenFinder({
  issuer,
  audience,
  key,
}: NonNullable<NodeProgramSettings['jwt']>): FindTenant {
  const publicKey = createPublicKey(key)
  const kept = new Map<string, { readonly tenant: string; readonly expires: number }>()
  return ({ authorization }) => {
    if (authorization === undefined) return undefined
    const known = kept.get(authorization)
    if (known) return known.expires > Date.now() ? known.tenant : undefined
    const [head = '', payload = '', signature = ''] = authorization
      .slice('Bearer '.length)
      .split('.')
    const signed = Buffer.from(`${head}.${payload}`)
    if (!verify('RSA-SHA256', signed, publicKey, Buffer.from(signature, 'base64url')))
      return undefined
    const { alg } = parsePart(head)
    const { iss, aud, exp, tenant } = parsePart(payload)
    const expires = Number(exp) * 1_000
    const valid = alg === 'RS256' && iss === issuer && aud === audience && expires > Date.now()
    if (!valid || typeof tenant !== 'string') return undefined
    if (kept.size >= MAX_KEPT_TOKENS) kept.clear()
    kept.set(authorization, { tenant, expires })
    return tenant
  }
}

function parsePart(part: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>
}

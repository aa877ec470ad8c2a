/** HAProxy with one thread: the tenant from a map of keys or from a verified token, a backend of its own for each tenant. */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findProgram, PROXY_CPU, Program, requireProgram } from '../harness/program.ts'
import type { JwtWork } from '../harness/work.ts'
import type { Peer, PeerSetup, RunningPeer } from './peer.ts'

export const haproxy: Peer = {
  name: 'haproxy',
  checks: true,
  absence: () => (findProgram('haproxy') ? undefined : 'haproxy is not installed'),
  version: () => {
    const text = execFileSync(requireProgram('haproxy'), ['-v'], { encoding: 'utf8' })
    return /version (\d+[\d.a-z-]*\d)/.exec(text)?.[1]?.split('-')[0] ?? 'unknown'
  },
  start: async setup => runHaproxy(setup, configOf(setup)),
}

/** With this configuration, as a file in `folder`, on the CPU of the proxy; fulfilled when it listens on `port`. */
export async function runHaproxy(
  { folder, port }: Pick<PeerSetup, 'folder' | 'port'>,
  config: string,
): Promise<RunningPeer> {
  const file = join(folder, 'haproxy.cfg')
  writeFileSync(file, config)
  // -db: stays in the foreground, and is one process.
  const command = [requireProgram('haproxy'), '-db', '-f', file]
  const program = new Program('haproxy', PROXY_CPU, command)
  await program.listening(port)
  return { program, stop: async () => program.stop() }
}

function configOf(setup: PeerSetup): string {
  return `
global
  nbthread 1
  maxconn 12000
  no strict-limits
defaults
  timeout connect 5s
  timeout client 5m
  timeout server 60s
  timeout tunnel 1h
${setup.work.lane.traffic === 'tcp' ? tunnel(setup) : calls(setup)}
`
}

function bindOf({ work, port }: PeerSetup): string {
  const { tls, lane } = work
  if (tls === undefined) return `bind 127.0.0.1:${port}${lane.http2 ? ' proto h2' : ''}`
  const client = tls.client && ` verify required ca-file ${tls.client.ca}`
  return `bind 127.0.0.1:${port} ssl crt ${tls.bundle}${client ?? ''}`
}

/** Without splicing, which was slower than copying wherever it was measured. */
function tunnel(setup: PeerSetup): string {
  return `
listen private
  mode tcp
  ${bindOf(setup)}
  server deployment 127.0.0.1:${setup.upstream}`
}

function calls(setup: PeerSetup): string {
  const { work, folder, upstream } = setup
  const map = join(folder, 'keys.map')
  writeFileSync(map, work.tenants.map(({ id, credential }) => `${credential} ${id}\n`).join(''))
  const protocol = work.lane.http2?.upstream === 'http2' ? ' proto h2' : ''
  const backends = work.tenants.map(
    ({ id }) => `backend ${id}\n  server deployment 127.0.0.1:${upstream}${protocol}`,
  )
  return `
  mode http
  timeout http-keep-alive 5m
  timeout http-request 10s
  http-reuse always
  option forwardfor
frontend public
  ${bindOf(setup)}
  ${(work.jwt ? tokenRules(work.jwt) : keyRules(map)).join('\n  ')}
  http-request del-header ${work.field}
  http-request set-header x-amt-tenant %[var(txn.tenant)]
  use_backend %[var(txn.tenant)]
${backends.join('\n')}`
}

function keyRules(map: string): string[] {
  return [
    `http-request set-var(txn.tenant) req.hdr(x-api-key),map_str(${map})`,
    'http-request deny deny_status 401 unless { var(txn.tenant) -m found }',
  ]
}

/** jwt_verify looks at the signature alone; what the claims must be is for the configuration to say. */
function tokenRules({ issuer, audience, publicKeyFile }: JwtWork): string[] {
  const claim = (name: string): string =>
    `http-request set-var(txn.${name}) var(txn.bearer),jwt_payload_query('$.${name}')`
  return [
    'http-request set-var(txn.bearer) http_auth_bearer',
    `http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg')`,
    ...['iss', 'aud', 'tenant'].map(claim),
    `http-request set-var(txn.exp) var(txn.bearer),jwt_payload_query('$.exp','int')`,
    'http-request set-var(txn.now) date()',
    `http-request deny deny_status 401 unless { var(txn.alg) -m str RS256 } { var(txn.iss) -m str ${issuer} } { var(txn.aud) -m str ${audience} }`,
    'http-request deny deny_status 401 if { var(txn.exp),sub(txn.now) -m int lt 0 }',
    `http-request deny deny_status 401 unless { var(txn.bearer),jwt_verify(txn.alg,"${publicKeyFile}") -m int 1 }`,
  ]
}

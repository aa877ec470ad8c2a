/**
 * HAProxy with one thread: stick tables hold the rates and the calls under way of each tenant, and the connections and bad
 * tokens of each source; a backend a tenant with `maxconn` and a queue that ends. It has no limit of bandwidth before 2.7.
 *
 * A rate is looked at before the call or the connection is tracked, so that what is refused does not count: otherwise a tenant
 * that asks for more than its limit gets next to nothing, and HAProxy has a tenth of the work.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findProgram } from '../../harness/program.ts'
import { haproxy as plainHaproxy, runHaproxy } from '../../peers/haproxy.ts'
import {
  BAD_CREDENTIALS,
  CALLS,
  CONCURRENCY,
  CONNECTIONS,
  HANDSHAKES,
  NEW_CONNECTIONS,
  PENDING_SECONDS,
  RESPONSE_SECONDS,
} from '../limits.ts'
import type { Scene, Tenant } from '../scene.ts'
import type { IsolationPeer, IsolationSetup } from './peer.ts'

export const haproxy: IsolationPeer = {
  name: 'haproxy',
  absence: () => (findProgram('haproxy') ? undefined : 'haproxy is not installed'),
  version: () => plainHaproxy.version(),
  start: async setup => runHaproxy(setup, configOf(setup)),
}

function configOf({ scene, folder, port, tlsPort }: IsolationSetup): string {
  const map = join(folder, 'keys.map')
  const tenants = [scene.quiet, ...scene.noisy]
  writeFileSync(map, tenants.map(({ id, credential }) => `${credential} ${id}\n`).join(''))
  const rules = callRules(map, scene).join('\n  ')
  return `
global
  nbthread 1
  maxconn 12000
  no strict-limits
defaults
  mode http
  timeout connect 5s
  timeout client 5m
  timeout server ${RESPONSE_SECONDS}s
  timeout queue ${PENDING_SECONDS}s
  timeout http-request 10s
  timeout http-keep-alive 5m
  http-reuse always
  option forwardfor
backend tenants
  stick-table type string len 64 size 100k expire 10s store http_req_rate(1s),conn_cur
backend sources
  stick-table type ip size 100k expire 10s store conn_cur,conn_rate(1s)
backend handshakes
  stick-table type ip size 100k expire 10s store conn_rate(1s)
backend bad_credentials
  stick-table type ip size 100k expire 10s store gpc0_rate(1s)
frontend public
  bind 127.0.0.1:${port}
  tcp-request connection reject if { src,table_conn_cur(sources) ge ${CONNECTIONS} } or { src,table_conn_rate(sources) ge ${NEW_CONNECTIONS} }
  tcp-request connection track-sc1 src table sources
  ${rules}
frontend secure
  bind 127.0.0.1:${tlsPort} ssl crt ${scene.tls.bundle}
  tcp-request connection reject if { src,table_conn_rate(handshakes) ge ${HANDSHAKES} }
  tcp-request connection track-sc1 src table handshakes
  ${rules}
${tenants.map(backendOf).join('\n')}
`
}

function backendOf({ id, upstream }: Tenant): string {
  return `backend ${id}\n  server deployment 127.0.0.1:${upstream} maxconn ${CONCURRENCY}`
}

/** A known key, else a token; jwt_verify looks at the signature alone, the rest is for the configuration to say. */
function callRules(map: string, { jwt }: Scene): string[] {
  const claim = (name: string, type = ''): string =>
    `http-request set-var(txn.${name}) var(txn.bearer),jwt_payload_query('$.${name}'${type}) unless known`
  const valid = [
    '{ var(txn.alg) -m str RS256 }',
    `{ var(txn.iss) -m str ${jwt.issuer} }`,
    `{ var(txn.aud) -m str ${jwt.audience} }`,
    '{ var(txn.exp),sub(txn.now) -m int ge 0 }',
    `{ var(txn.bearer),jwt_verify(txn.alg,"${jwt.publicKeyFile}") -m int 1 }`,
  ]
  return [
    `http-request set-var(txn.key) req.hdr(x-api-key),map_str(${map})`,
    'acl known var(txn.key) -m found',
    'http-request track-sc2 src table bad_credentials unless known',
    `http-request deny deny_status 429 if !known { sc2_gpc0_rate gt ${BAD_CREDENTIALS} }`,
    'http-request set-var(txn.bearer) http_auth_bearer unless known',
    `http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg') unless known`,
    ...['iss', 'aud', 'tenant'].map(name => claim(name)),
    claim('exp', `,'int'`),
    'http-request set-var(txn.now) date()',
    'http-request set-var(txn.id) var(txn.key) if known',
    `http-request set-var(txn.id) var(txn.tenant) if !known ${valid.join(' ')}`,
    'acl named var(txn.id) -m found',
    'http-request sc-inc-gpc0(2) unless named',
    'http-request deny deny_status 401 unless named',
    `http-request deny deny_status 429 if { var(txn.id),table_http_req_rate(tenants) ge ${CALLS} }`,
    'http-request track-sc0 var(txn.id) table tenants',
    `http-request deny deny_status 503 if { sc0_conn_cur gt ${CONCURRENCY} }`,
    'http-request del-header x-api-key',
    'http-request del-header authorization',
    'http-request set-header x-amt-tenant %[var(txn.id)]',
    'use_backend %[var(txn.id)]',
  ]
}

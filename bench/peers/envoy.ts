/** Envoy with one worker: the tenant by a map of keys or by its JWT filter, a cluster of its own for each tenant. */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findProgram, PROXY_CPU, Program } from '../harness/program.ts'
import type { JwtWork, TlsWork, WorkTenant } from '../harness/work.ts'
import type { Lane } from '../lanes/lane.ts'
import type { Peer, PeerSetup, RunningPeer } from './peer.ts'

/** Where `bench/install-envoy` puts it. */
const OWN_FOLDER = join(import.meta.dirname, '../.envoy/bin')
/** A token costs a signature once; more are in flight in no lane. */
const KEPT_TOKENS = 10_000
const NO_LIMIT = 1_000_000

export const envoy: Peer = {
  name: 'envoy',
  checks: true,
  absence: ({ mutual }) =>
    mutual ? 'client certificates are compared with HAProxy alone' : envoyAbsence(),
  version: () => /\/(\d+\.\d+\.\d+)\//.exec(versionText() ?? '')?.[1] ?? 'unknown',
  start: async setup => runEnvoy(setup, configOf(setup)),
}

/** Why it does not run on this machine; `undefined` where it does. */
export function envoyAbsence(): string | undefined {
  if (findProgram('envoy', OWN_FOLDER) === undefined)
    return 'envoy is not installed (bench/install-envoy)'
  return versionText() === undefined ? 'envoy does not run (bench/install-envoy)' : undefined
}

/** With this configuration, as a file in `folder`, on the CPU of the proxy; fulfilled when it listens on `port`. */
export async function runEnvoy(
  { folder, port }: Pick<PeerSetup, 'folder' | 'port'>,
  config: object,
): Promise<RunningPeer> {
  const file = join(folder, 'envoy.json')
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 })
  const options = ['--concurrency', '1', '--disable-hot-restart', '--log-level', 'error']
  const running = new Program('envoy', PROXY_CPU, [program(), '-c', file, ...options])
  await running.listening(port)
  return { program: running, stop: async () => running.stop() }
}

/** Undefined where it does not run: a virtual environment does not survive that its folder is moved. */
function versionText(): string | undefined {
  try {
    return execFileSync(program(), ['--version'], { encoding: 'utf8' })
  } catch {
    return undefined
  }
}

function program(): string {
  const found = findProgram('envoy', OWN_FOLDER)
  if (found === undefined) throw new Error('envoy is not installed')
  return found
}

/** An extension with its configuration, as Envoy wants it. */
export function typed(type: string, config: object): object {
  return { '@type': `type.googleapis.com/${type}`, ...config }
}

function configOf({ work, upstream, port }: PeerSetup): object {
  const { lane, tenants, tls } = work
  const filter =
    lane.traffic === 'tcp'
      ? {
          name: 'envoy.filters.network.tcp_proxy',
          typed_config: typed('envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy', {
            stat_prefix: 'private',
            cluster: tenants[0]?.id,
          }),
        }
      : httpFilter(work)
  const chain = { filters: [filter], ...(tls && { transport_socket: tlsSocket(tls) }) }
  const listener = { name: 'public', address: addressOf(port), filter_chains: [chain] }
  return {
    static_resources: {
      listeners: [{ ...listener, tcp_backlog_size: 4_096 }],
      clusters: tenants.map(tenant => clusterOf(tenant, upstream, lane)),
    },
  }
}

/** On 127.0.0.1. */
export function addressOf(port: number): object {
  return { socket_address: { address: '127.0.0.1', port_value: port } }
}

/** Connections upstream are kept and used again; that is what a cluster does unless it is told otherwise. */
function clusterOf({ id }: WorkTenant, upstream: number, { http2 }: Lane): object {
  const endpoint = { endpoint: { address: addressOf(upstream) } }
  const limits = {
    max_connections: NO_LIMIT,
    max_pending_requests: NO_LIMIT,
    max_requests: NO_LIMIT,
  }
  return {
    name: id,
    type: 'STATIC',
    connect_timeout: '5s',
    load_assignment: { cluster_name: id, endpoints: [{ lb_endpoints: [endpoint] }] },
    circuit_breakers: { thresholds: [limits] },
    ...(http2?.upstream === 'http2' && { typed_extension_protocol_options: OVER_HTTP2 }),
  }
}

const OVER_HTTP2 = {
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': typed(
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
    { explicit_http_config: { http2_protocol_options: {} } },
  ),
}

/** Of connections from downstream. */
export function tlsSocket({ cert, key }: TlsWork): object {
  const certificate = { certificate_chain: { filename: cert }, private_key: { filename: key } }
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: typed('envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext', {
      common_tls_context: { tls_certificates: [certificate] },
    }),
  }
}

function httpFilter({ jwt, tenants, field, lane }: PeerSetup['work']): object {
  const router = {
    name: 'envoy.filters.http.router',
    typed_config: typed('envoy.extensions.filters.http.router.v3.Router', {
      suppress_envoy_headers: true,
    }),
  }
  const host = { name: 'orders', domains: ['*'], matcher: tenantMatcher(tenants, jwt, field) }
  return {
    name: 'envoy.filters.network.http_connection_manager',
    typed_config: typed(
      'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
      {
        stat_prefix: 'public',
        ...(lane.http2 && { codec_type: 'HTTP2' }),
        use_remote_address: true, // sets x-forwarded-for
        generate_request_id: false,
        stream_idle_timeout: '60s',
        http_filters: [...(jwt ? [tokenFilter(jwt)] : []), router],
        route_config: { virtual_hosts: [host] },
        ...(lane.traffic === 'websocket' && {
          upgrade_configs: [{ upgrade_type: 'websocket' }],
        }),
      },
    ),
  }
}

/** A hash map from the key, or from the tenant that the token names, to what is done with the call. */
function tenantMatcher(
  tenants: readonly WorkTenant[],
  jwt: JwtWork | undefined,
  field: string,
): object {
  const input = typed('envoy.type.matcher.v3.HttpRequestHeaderMatchInput', {
    header_name: jwt ? 'x-amt-tenant' : field,
  })
  const entries = tenants.map(({ id, credential }) => [jwt ? id : credential, toTenant(id, field)])
  return {
    matcher_tree: {
      input: { name: 'tenant', typed_config: input },
      exact_match_map: { map: Object.fromEntries(entries) },
    },
    on_no_match: action({ match: { prefix: '/' }, direct_response: { status: 401 } }),
  }
}

function toTenant(id: string, field: string): object {
  return action({
    match: { prefix: '/' },
    route: { cluster: id, timeout: '0s' },
    request_headers_to_remove: [field],
    request_headers_to_add: [
      {
        header: { key: 'x-amt-tenant', value: id },
        append_action: 'OVERWRITE_IF_EXISTS_OR_ADD',
      },
    ],
  })
}

/** What a matcher does: this route. */
export function action(route: object): object {
  return {
    action: { name: 'route', typed_config: typed('envoy.config.route.v3.Route', route) },
  }
}

/**
 * Verified tokens are kept: the filter's own cache. With `isOptional` a call without a token passes as well.
 */
export function tokenFilter({ issuer, audience, jwksFile }: JwtWork, isOptional = false): object {
  const login = { provider_name: 'login' }
  const requires = isOptional
    ? { requires_any: { requirements: [login, { allow_missing: {} }] } }
    : login
  return {
    name: 'envoy.filters.http.jwt_authn',
    typed_config: typed('envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication', {
      providers: {
        login: {
          issuer,
          audiences: [audience],
          local_jwks: { inline_string: readFileSync(jwksFile, 'utf8') },
          claim_to_headers: [{ header_name: 'x-amt-tenant', claim_name: 'tenant' }],
          clear_route_cache: true,
          jwt_cache_config: { jwt_cache_size: KEPT_TOKENS },
        },
      },
      rules: [{ match: { prefix: '/' }, requires }],
    }),
  }
}

/**
 * Envoy with one worker: local rate limits and limits of bandwidth of each tenant's route, circuit breakers of its cluster, a
 * rate of handshakes by the name that is asked for. Bad tokens it cannot count: it limits calls with tokens of each source.
 */
import {
  action,
  addressOf,
  envoyAbsence,
  envoy as plainEnvoy,
  runEnvoy,
  tlsSocket,
  tokenFilter,
  typed,
} from '../../peers/envoy.ts'
import {
  BAD_CREDENTIALS,
  CALLS,
  CONCURRENCY,
  HANDSHAKES,
  INGRESS,
  PENDING,
  RESPONSE_SECONDS,
} from '../limits.ts'
import type { Scene, Tenant } from '../scene.ts'
import type { IsolationPeer, IsolationSetup } from './peer.ts'

export const envoy: IsolationPeer = {
  name: 'envoy',
  absence: envoyAbsence,
  version: () => plainEnvoy.version(),
  start: async setup => runEnvoy(setup, configOf(setup)),
}

const HTTP = 'envoy.extensions.filters.http'
/** What its documentation asks for at the edge. */
const BUFFER_BYTES = 32 * 1_024
/** A tenth of a second's worth at a time. */
const FILLS_A_SECOND = 10
const SOURCES = 10_000

function configOf({ scene, port, tlsPort }: IsolationSetup): object {
  const http = httpManager(scene)
  const socket = tlsSocket(scene.tls)
  const tenants = [scene.quiet, ...scene.noisy]
  const chains = tenants.map(({ id, host }) => ({
    name: id,
    filter_chain_match: { server_names: [host] },
    filters: [handshakeLimit(id), http],
    transport_socket: socket,
  }))
  return {
    static_resources: {
      listeners: [
        listenerOf('public', port, { filter_chains: [{ filters: [http] }] }),
        listenerOf('secure', tlsPort, {
          listener_filters: [
            {
              name: 'envoy.filters.listener.tls_inspector',
              typed_config: typed(
                'envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector',
                {},
              ),
            },
          ],
          filter_chains: [...chains, { filters: [http], transport_socket: socket }],
        }),
      ],
      clusters: tenants.map(clusterOf),
    },
  }
}

function listenerOf(name: string, port: number, more: object): object {
  return {
    name,
    address: addressOf(port),
    tcp_backlog_size: 4_096,
    per_connection_buffer_limit_bytes: BUFFER_BYTES,
    ...more,
  }
}

function clusterOf({ id, upstream }: Tenant): object {
  const limits = {
    max_connections: CONCURRENCY,
    max_pending_requests: PENDING,
    max_requests: CONCURRENCY,
  }
  const endpoint = { endpoint: { address: addressOf(upstream) } }
  return {
    name: id,
    type: 'STATIC',
    connect_timeout: '5s',
    per_connection_buffer_limit_bytes: BUFFER_BYTES,
    load_assignment: { cluster_name: id, endpoints: [{ lb_endpoints: [endpoint] }] },
    circuit_breakers: { thresholds: [limits] },
  }
}

function bucket(perSecond: number): object {
  return {
    max_tokens: perSecond,
    tokens_per_fill: perSecond / FILLS_A_SECOND,
    fill_interval: `${1 / FILLS_A_SECOND}s`,
  }
}

/** Closes connections before their handshake. */
function handshakeLimit(id: string): object {
  return {
    name: 'envoy.filters.network.local_ratelimit',
    typed_config: typed('envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit', {
      stat_prefix: `handshakes-${id}`,
      token_bucket: bucket(HANDSHAKES),
    }),
  }
}

function httpManager({ quiet, noisy, jwt }: Scene): object {
  const filters = [
    withoutIdentity(),
    sourceLimit(),
    tokenFilter(jwt, true),
    named('local_ratelimit', `${HTTP}.local_ratelimit.v3.LocalRateLimit`, { stat_prefix: 'calls' }),
    named('bandwidth_limit', `${HTTP}.bandwidth_limit.v3.BandwidthLimit`, { stat_prefix: 'bytes' }),
    named('router', `${HTTP}.router.v3.Router`, { suppress_envoy_headers: true }),
  ]
  const host = { name: 'orders', domains: ['*'], matcher: tenantMatcher([quiet, ...noisy]) }
  return {
    name: 'envoy.filters.network.http_connection_manager',
    typed_config: typed(
      'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
      {
        stat_prefix: 'public',
        use_remote_address: true, // sets x-forwarded-for
        generate_request_id: false,
        request_headers_timeout: '10s',
        stream_idle_timeout: `${RESPONSE_SECONDS}s`,
        http_filters: filters,
        route_config: { virtual_hosts: [host] },
      },
    ),
  }
}

function named(name: string, type: string, config: object): object {
  return { name: `envoy.filters.http.${name}`, typed_config: typed(type, config) }
}

/** What a client says of its tenant counts for nothing. */
function withoutIdentity(): object {
  return named('header_mutation', `${HTTP}.header_mutation.v3.HeaderMutation`, {
    mutations: { request_mutations: [{ remove: 'x-amt-tenant' }] },
  })
}

/** Calls with a token, of each address. */
function sourceLimit(): object {
  const hasToken = {
    header_value_match: {
      descriptor_key: 'credential',
      descriptor_value: 'token',
      headers: [{ name: 'authorization', present_match: true }],
    },
  }
  return {
    name: 'tokens-of-a-source',
    typed_config: typed(`${HTTP}.local_ratelimit.v3.LocalRateLimit`, {
      stat_prefix: 'tokens',
      ...ENFORCED,
      // Of calls that have none.
      token_bucket: bucket(1_000_000),
      rate_limits: [{ actions: [hasToken, { remote_address: {} }] }],
      descriptors: [
        {
          entries: [{ key: 'credential', value: 'token' }, { key: 'remote_address' }],
          token_bucket: bucket(BAD_CREDENTIALS),
        },
      ],
      max_dynamic_descriptors: SOURCES,
      always_consume_default_token_bucket: false,
    }),
  }
}

const ALWAYS = { default_value: { numerator: 100, denominator: 'HUNDRED' } }
const ENFORCED = { filter_enabled: ALWAYS, filter_enforced: ALWAYS }

/** A hash map from the key, else from the tenant that a verified token names. */
function tenantMatcher(tenants: readonly Tenant[]): object {
  const refused = action({ match: { prefix: '/' }, direct_response: { status: 401 } })
  const byToken = treeOf(
    'x-amt-tenant',
    tenants.map(tenant => [tenant.id, tenant]),
    refused,
  )
  return treeOf(
    'x-api-key',
    tenants.map(tenant => [tenant.credential, tenant]),
    { matcher: byToken },
  )
}

function treeOf(
  header: string,
  tenants: readonly (readonly [string, Tenant])[],
  otherwise: object,
): object {
  const input = typed('envoy.type.matcher.v3.HttpRequestHeaderMatchInput', { header_name: header })
  const entries = tenants.map(([value, tenant]) => [value, toTenant(tenant)])
  return {
    matcher_tree: {
      input: { name: header, typed_config: input },
      exact_match_map: { map: Object.fromEntries(entries) },
    },
    on_no_match: otherwise,
  }
}

function toTenant({ id }: Tenant): object {
  const identity = { header: { key: 'x-amt-tenant', value: id } }
  return action({
    match: { prefix: '/' },
    route: { cluster: id, timeout: '0s', idle_timeout: `${RESPONSE_SECONDS}s` },
    request_headers_to_remove: ['x-api-key', 'authorization'],
    request_headers_to_add: [{ ...identity, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' }],
    typed_per_filter_config: {
      'envoy.filters.http.local_ratelimit': typed(`${HTTP}.local_ratelimit.v3.LocalRateLimit`, {
        stat_prefix: id,
        ...ENFORCED,
        token_bucket: bucket(CALLS),
      }),
      'envoy.filters.http.bandwidth_limit': typed(`${HTTP}.bandwidth_limit.v3.BandwidthLimit`, {
        stat_prefix: id,
        enable_mode: 'REQUEST',
        limit_kbps: INGRESS / 1_024,
        fill_interval: '0.05s',
      }),
    },
  })
}

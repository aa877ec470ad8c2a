/** One address of a deployment: where it is, what connections it has, and how it is doing. */
import { isIP } from 'node:net'
import type { ConnectionOptions as TlsOptions } from 'node:tls'
import type { DeploymentPolicy } from '../../config/deployment-schema.ts'
import { POLICY_DEFAULTS } from '../../config/deployment-schema.ts'
import { AnnouncedRest } from './announced-rest.ts'
import { EndpointHealth, type HealthObserver } from './endpoint-health.ts'
import type { Http2Upstream } from './http2-upstream.ts'
import type { UpstreamConnection } from './upstream-connection.ts'

export interface EndpointOptions {
  /** IP address to connect to; the host in the URL by default. */
  readonly address?: string
  readonly policy?: Pick<DeploymentPolicy, 'ejection' | 'slowStart'>
  readonly owner?: EndpointOwner
  /** For endpoints with TLS; the name to verify is added here. */
  readonly tls?: TlsOptions | undefined
  /** Version of the PROXY header that it wants; none by default. */
  readonly proxyProtocol?: 1 | 2 | undefined
}

/** Whose endpoint it is. */
export interface EndpointOwner {
  /** It may be in another state than before. */
  endpointChanged(): void
  endpointEjected(endpoint: Endpoint, ms: number): void
}

const NOBODY: EndpointOwner = { endpointChanged: () => {}, endpointEjected: () => {} }
/** Of those that share none. */
const NONE: Http2Upstream[] = []

export class Endpoint implements HealthObserver {
  /** Where to connect to: an IP address. */
  readonly host: string
  readonly port: number
  readonly tls: boolean
  /** Whether it speaks HTTP/2: `h2` endpoints have to say so by ALPN, those of `h2c` are taken at their word. */
  readonly http2: boolean
  /** `host:port`, as written: for `Host`, logs, and checks. */
  readonly authority: string
  readonly tlsOptions: TlsOptions | undefined
  readonly proxyProtocol: 1 | 2 | undefined
  readonly health: EndpointHealth
  /** Idle connections; the last one used is the first one taken, so that the rest can grow old and go. */
  readonly idle: UpstreamConnection[] = []
  /** Connections of HTTP/2, each for many calls; kept by the pool, like the two numbers. */
  readonly shared: Http2Upstream[]
  /** Connections that exist, idle ones too. */
  open = 0
  /** Calls on shared connections. */
  streams = 0
  /** Whether the deployment does not have it any more: calls in use end, and no more come. */
  retired = false
  readonly #owner: EndpointOwner
  /** How long it lets connections rest; made where it says so. */
  #rest: AnnouncedRest | undefined

  /** `url` as in the configuration: `scheme://host:port`. */
  constructor(url: string, options: EndpointOptions = {}) {
    const { scheme, name, authority } = partsOf(url)
    this.authority = authority
    this.host = options.address ?? name
    this.port = Number(authority.slice(authority.lastIndexOf(':') + 1))
    this.tls = scheme === 'https' || scheme === 'h2' || scheme === 'tls'
    this.http2 = scheme === 'h2' || scheme === 'h2c'
    this.tlsOptions = this.tls ? tlsOptionsOf(scheme, name, options.tls) : undefined
    this.proxyProtocol = options.proxyProtocol
    this.shared = this.http2 ? [] : NONE
    this.#owner = options.owner ?? NOBODY
    this.health = new EndpointHealth(options.policy ?? POLICY_DEFAULTS, this)
  }

  /** Calls and tunnels that are under way. */
  get load(): number {
    return this.open - this.idle.length - this.shared.length + this.streams
  }

  /** Whether calls go elsewhere if there is an elsewhere. */
  ejected(now: number): boolean {
    return !this.health.well(now) || this.health.resting(now)
  }

  /** ms for which a connection may rest, by what an answer said of it, or ''; Infinity where it says nothing. */
  restMs(keepAlive: string): number {
    if (keepAlive === '') return Number.POSITIVE_INFINITY
    this.#rest ??= new AnnouncedRest()
    return this.#rest.of(keepAlive)
  }

  healthChanged(): void {
    this.#owner.endpointChanged()
  }

  ejectedFor(ms: number): void {
    this.#owner.endpointEjected(this, ms)
  }

  connectionFailed(now: number): void {
    this.health.connectionFailed(now)
  }

  connectionMade(): void {
    this.health.connectionMade()
  }

  /** Closes what rests; what is in use goes when it is given back. */
  retire(): void {
    this.retired = true
    for (const connection of this.idle.splice(0)) connection.destroy()
    for (const connection of this.shared.splice(0)) connection.retire()
  }
}

/** The host that a URL of the configuration names, without the brackets of an IPv6 address. */
export function nameIn(url: string): string {
  return partsOf(url).name
}

function partsOf(url: string): { scheme: string; name: string; authority: string } {
  const scheme = url.slice(0, url.indexOf(':'))
  const authority = url.slice(scheme.length + 3)
  const host = authority.slice(0, authority.lastIndexOf(':'))
  return { scheme, name: host.startsWith('[') ? host.slice(1, -1) : host, authority }
}

/** Of HTTP, nothing is offered by ALPN but HTTP/2 where it is demanded: without an offer it is HTTP/1.1. */
function tlsOptionsOf(scheme: string, name: string, tls: TlsOptions | undefined): TlsOptions {
  const options = verifying(name, tls)
  return scheme === 'h2' ? { ...options, ALPNProtocols: ['h2'] } : options
}

/** We connect to an address, and the certificate must have the name; an address has no name to ask for (RFC 6066 §3). */
function verifying(name: string, tls: TlsOptions = {}): TlsOptions {
  return tls.servername !== undefined || isIP(name) !== 0 ? tls : { ...tls, servername: name }
}

/** TLS on a listener: its certificates, whom it trusts, its session tickets, ALPN. It makes servers that listen nowhere. */
import { constants, createHash } from 'node:crypto'
import type { SecureContext, SecureContextOptions, Server, TlsOptions } from 'node:tls'
import type { ListenerConfig, SpiffeConfig } from '../../config/schema.ts'
import { TLS_POLICY } from '../../runtime/certificates/tls-policy.ts'
import { createListenerServer, useTicketKeys } from '../../runtime/tls-internals.ts'
import { ClientTrust, type SpeakingAuthority } from '../credential/client-trust.ts'
import { type CertificateNames, createContexts } from './tls-contexts.ts'
import type { ListenerTls, TlsMaterial } from './tls-material.ts'
import { TicketKeys, type TicketSecrets } from './tls-tickets.ts'

/** RFC 8446, 4.6.1. */
const LONGEST_SESSION_S = 604_800

/** Servers of one listener, which do handshakes and listen nowhere. */
export interface TlsServers {
  /** Whose client certificates they take. */
  readonly trust: ClientTrust
  readonly all: readonly Server[]
  /** `''` for a client that asks for none. */
  find(name: string): Server
}

export class TlsSide {
  readonly #spiffe: SpiffeConfig | undefined
  /** Whether HTTP/2 is spoken here. */
  readonly #http2: boolean
  #tls: ListenerTls
  #secrets: TicketSecrets
  #keys: TicketKeys | undefined

  /** `protocol`: of the listener. */
  constructor(
    tls: ListenerTls,
    secrets: TicketSecrets,
    spiffe: SpiffeConfig | undefined,
    protocol: ListenerConfig['protocol'],
  ) {
    this.#spiffe = spiffe
    this.#http2 = protocol !== 'tcp'
    this.#tls = tls
    this.#secrets = secrets
  }

  /** For handshakes from now on. Throws what OpenSSL says where the material cannot be used. */
  serve(material: TlsMaterial, tls: ListenerTls = this.#tls): TlsServers {
    const trust = trustOf(material, tls)
    const clientTrust = new ClientTrust(this.#spiffe, speakersOf(material))
    // A resumed session has lost its chain, which is what tells one trust domain from another.
    const resumable = tls.tickets !== 'off' && !clientTrust.divided
    const names = createContexts(material, {
      // A second lock beside the key: OpenSSL takes no session of another context (at most 32 bytes).
      sessionIdContext: trust.slice(0, 32),
      ...ticketOptions(resumable ? tls.tickets : 'off'),
    })
    const keys = resumable ? new TicketKeys(trust, this.#secrets) : undefined
    if (keys !== undefined) for (const context of names.contexts) useTicketKeys(context, keys)
    const options = handshakeOptions(tls, this.#http2)
    const servers = { ...serversOf(names, options), trust: clientTrust }
    this.#tls = tls
    this.#keys = keys
    return servers
  }

  rotate(secrets: TicketSecrets): void {
    this.#secrets = secrets
    this.#keys?.rotate(secrets)
  }
}

function ticketOptions(tickets: ListenerTls['tickets']): SecureContextOptions {
  if (tickets === 'off')
    return { secureOptions: TLS_POLICY.secureOptions | constants.SSL_OP_NO_TICKET }
  const seconds = Math.ceil((2 * tickets.rotate) / 1_000)
  return { sessionTimeout: Math.min(LONGEST_SESSION_S, seconds) }
}

function serversOf(names: CertificateNames, options: TlsOptions): Omit<TlsServers, 'trust'> {
  const { contexts, first } = names
  if (names.exchangeable) {
    const server = createListenerServer(
      {
        ...options,
        // A way from OpenSSL to here and back, which a listener with one certificate can save.
        ...(contexts.length === 1
          ? {}
          : { SNICallback: (name: string, done: SniDone) => done(null, names.find(name)) }),
      },
      first,
    )
    return { all: [server], find: () => server }
  }
  const servers = new Map(
    contexts.map(context => [context, createListenerServer(options, context)]),
  )
  const all = [...servers.values()]
  return { all, find: name => servers.get(names.find(name)) as Server }
}

type SniDone = (error: Error | null, context?: SecureContext) => void

function handshakeOptions(tls: ListenerTls, http2: boolean): TlsOptions {
  return {
    allowHalfOpen: true,
    requestCert: tls.clientCertificate !== 'off',
    // An optional certificate that does not verify is refused after the handshake, where it can be told from none.
    rejectUnauthorized: tls.clientCertificate === 'required',
    ALPNCallback: ({ protocols }) => chooseProtocol(protocols, http2),
  }
}

/**
 * HTTP/2 where it is served, then HTTP/1.1, of those that are offered; a protocol that we only carry is the client's own
 * business. One that speaks nothing but HTTP/2 where it is not gets the alert `no_application_protocol` (RFC 7301 §3.2).
 */
export function chooseProtocol(offered: readonly string[], http2: boolean): string | undefined {
  if (http2 && offered.includes('h2')) return 'h2'
  if (offered.includes('http/1.1')) return 'http/1.1'
  return offered.find(protocol => protocol !== 'h2')
}

function speakersOf({ authorities, trustDomains }: TlsMaterial): SpeakingAuthority[] {
  return authorities.map((certificate, index) => ({
    certificate,
    trustDomain: trustDomains[index] ?? undefined,
  }))
}

/** Everything that decides whom a handshake lets in, and where: a session from under another trust is none. */
function trustOf(
  { listener, authorities, trustDomains, revocationLists }: TlsMaterial,
  { clientCertificate }: ListenerTls,
): string {
  const parts = [listener, clientCertificate, authorities, trustDomains, revocationLists]
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex')
}

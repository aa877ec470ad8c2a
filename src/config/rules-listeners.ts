/** Rules for what is bound: listeners, the admin server and the mixer. */

import { canonicalAddress, type HostPort, hostFault, splitHostPort } from './addresses.ts'
import { socketPathOf } from './admin-schema.ts'
import { Claims, type Draft, type Located, type TenantCensus, type Verdicts } from './draft.ts'
import { mention, type Place, placeIn } from './problem.ts'
import { hasAuthorities } from './rules-spiffe.ts'
import type { ListenerConfig, TenantConfig } from './schema.ts'

/** An address that some part of AMT wants for itself; `host` is `*` for all addresses of the machine. */
interface Binding extends HostPort {
  /** As the configuration has it. */
  readonly text: string
  readonly place: Place
}

export function checkListeners(draft: Draft, tenants: TenantCensus, verdicts: Verdicts): void {
  const listenerNames = new Claims()
  const unknown = (draft.tenantSources ?? []).length > 0
  const names = { ended: unknown || tenants.hosts > 0, passed: unknown || tenants.passthrough > 0 }
  for (const listener of draft.listeners) {
    const place = placeIn(listener.place, 'name')
    const { name } = listener.value
    const first = listenerNames.claim(name, place)
    if (first) verdicts.problem(place, `the name ${name} is also that of ${mention(first)}`)
    checkClientCertificates(listener, draft, verdicts)
    checkProxyProtocol(listener, draft, verdicts)
    checkRoutable(listener, names, verdicts)
  }
  checkCollisions(draft, verdicts)
  if (tenants.addresses === 0) warnOfPrivateListeners(draft, verdicts)
}

function checkClientCertificates(
  { value, place }: Located<ListenerConfig>,
  draft: Draft,
  verdicts: Verdicts,
): void {
  if (!value.tls) return
  const { clientCertificate, clientCa, crl } = value.tls
  const verifiable = clientCa !== undefined || hasAuthorities(draft.authentication?.spiffe)
  if (clientCertificate !== 'off' && !verifiable) {
    const message = `clientCertificate: ${clientCertificate} needs clientCa, the authorities to verify them against`
    verdicts.problem(placeIn(place, 'tls', 'clientCertificate'), message)
  }
  if (clientCertificate === 'off' && clientCa !== undefined) {
    const message =
      'clientCa is not used while clientCertificate is off; allowed: optional or required'
    verdicts.warning(placeIn(place, 'tls', 'clientCa'), message)
  }
  if (clientCertificate === 'off' && crl.length > 0) {
    const message = 'crl is not used while clientCertificate is off; allowed: optional or required'
    verdicts.warning(placeIn(place, 'tls', 'crl'), message)
  }
}

/** A header from anybody could claim any address, and any private link. */
function checkProxyProtocol(
  { value, place }: Located<ListenerConfig>,
  { trustedProxies }: Draft,
  verdicts: Verdicts,
): void {
  if (value.proxyProtocol === 'off' || trustedProxies === undefined) return
  const at = placeIn(place, 'proxyProtocol')
  if (trustedProxies.some(block => block.endsWith('/0'))) {
    const message =
      'every peer is in trustedProxies, so anybody can claim any address and any private link'
    verdicts.warning(at, message)
  }
  if (trustedProxies.length > 0) return
  const message =
    'required needs trustedProxies, the addresses of the balancers whose headers are taken; it is empty, so every connection would be refused'
  verdicts.problem(at, message)
}

/** On a shared TCP listener only a client certificate or the server name of TLS can say whose a connection is. */
function checkRoutable(
  { value, place }: Located<ListenerConfig>,
  /** Whether some name can lead to a tenant where TLS is ended, and where it is passed on. */
  names: { readonly ended: boolean; readonly passed: boolean },
  verdicts: Verdicts,
): void {
  if (value.mode !== 'shared' || value.protocol !== 'tcp') return
  if (value.tls && value.tls.clientCertificate !== 'off') return
  if (value.tls === undefined ? names.passed : names.ended) return
  // The header can say through which private link a connection came, and which name was asked for.
  if (value.proxyProtocol === 'required') return
  const message =
    'protocol: tcp on a shared listener without client certificates: no connection could ever be routed; ' +
    'allowed: tls with clientCertificate optional or required, proxyProtocol: required, protocol auto or http, mode private, or tenants with passthrough'
  verdicts.problem(placeIn(place, 'protocol'), message)
}

function checkCollisions(draft: Draft, verdicts: Verdicts): void {
  const bound = bindingsOf(draft, verdicts)
  const ports = new Claims()
  for (const { value, place } of draft.listeners) {
    if (value.mode !== 'private' || value.port === 0) continue
    const at = placeIn(place, 'port')
    const first = ports.claim(String(value.port), at)
    if (first)
      verdicts.problem(
        at,
        `port ${value.port} of every tenant address is taken by ${mention(first)}, must be another port`,
      )
    const other = value.bind === 'wildcard' ? bound.on({ host: '*', port: value.port }) : undefined
    if (other) verdicts.problem(at, collision(`port ${value.port} on all addresses`, other))
  }
}

/** The rule that what is bound on the address of a tenant must not be bound already. */
export class PrivatePorts {
  readonly #ports: readonly { readonly port: number; readonly place: Place }[]
  readonly #bound: Bindings

  constructor(draft: Draft) {
    this.#bound = bindingsOf(draft, { problem: () => {}, warning: () => {} })
    this.#ports = draft.listeners.flatMap(({ value, place }) =>
      value.mode === 'private' && value.bind === 'each' && value.port !== 0
        ? [{ port: value.port, place: placeIn(place, 'port') }]
        : [],
    )
  }

  check({ value: { address } }: Located<TenantConfig>, verdicts: Verdicts): void {
    if (address === undefined || this.#ports.length === 0) return
    const host = canonicalAddress(address)
    for (const { port, place } of this.#ports) {
      const other = this.#bound.on({ host, port })
      if (other)
        verdicts.problem(place, () => collision(`port ${port} on the address of a tenant`, other))
    }
  }
}

function collision(what: string, other: Binding): string {
  return `${what} is taken by ${other.text} of ${mention(other.place)}, must be another address or port`
}

function bindingsOf(draft: Draft, verdicts: Verdicts): Bindings {
  const bound = new Bindings()
  for (const binding of fixedBindings(draft, verdicts)) {
    const other = bound.add(binding)
    if (other) verdicts.problem(binding.place, collision(binding.text, other))
  }
  return bound
}

/** What is bound at one address whatever the tenants are. Checks hosts and ports on the way. */
function fixedBindings(draft: Draft, verdicts: Verdicts): Binding[] {
  const bindings: Binding[] = []
  const add = (text: string, place: Place): void => {
    const fault = hostFault(text)
    const { host, port } = splitHostPort(text)
    if (fault !== undefined) verdicts.problem(place, fault)
    else if (port > 65_535) verdicts.problem(place, `port ${port} must be from 0 to 65535`)
    else if (port !== 0)
      bindings.push({ text, host: host === '0.0.0.0' || host === '::' ? '*' : host, port, place })
  }
  if (draft.admin && socketPathOf(draft.admin.address) === undefined)
    add(draft.admin.address, placeIn(draft.root, 'admin', 'address'))
  if (draft.mixer?.listen !== undefined) {
    add(draft.mixer.listen, placeIn(draft.root, 'mixer', 'listen'))
  } else if (draft.mixer) {
    const { hostname, port, protocol } = new URL(draft.mixer.url)
    // Elsewhere it is another machine's port, or nothing that can be told from here.
    if (/^(localhost|127\..*|\[::1\])$/.test(hostname)) {
      const number = port === '' ? defaultPort(protocol) : port
      add(`${hostname}:${number}`, placeIn(draft.root, 'mixer', 'url'))
    }
  }
  for (const { value, place } of draft.listeners) {
    if (value.mode === 'shared') add(value.address, placeIn(place, 'address'))
  }
  return bindings
}

function defaultPort(protocol: string): string {
  return protocol === 'https:' ? '443' : '80'
}

/** On Linux a socket on all addresses keeps any other from its port, also one on a single address. */
class Bindings {
  readonly #byPort = new Map<number, Binding[]>()

  on(wanted: HostPort): Binding | undefined {
    return this.#byPort
      .get(wanted.port)
      ?.find(each => each.host === wanted.host || each.host === '*' || wanted.host === '*')
  }

  add(binding: Binding): Binding | undefined {
    const other = this.on(binding)
    if (other) return other
    this.#byPort.set(binding.port, [...(this.#byPort.get(binding.port) ?? []), binding])
    return undefined
  }
}

function warnOfPrivateListeners(draft: Draft, verdicts: Verdicts): void {
  for (const { value, place } of draft.listeners) {
    if (value.mode !== 'private') continue
    const message = `no tenant has an address, so nothing reaches the private listener ${value.name}`
    verdicts.warning(place, message)
  }
}

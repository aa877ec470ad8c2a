/** Tenants by everything that can show that a call is theirs. Made anew with each change; it never changes itself. */
import {
  canonicalIp,
  type IpBlock,
  ipNumber,
  isLoopbackText,
  parseIpBlock,
  startOf,
} from '../../codec/ip-block.ts'
import type { RegisteredTenant } from './registry.ts'

/** Mostly one, which then needs no list: there are hundreds of thousands of entries. */
type Owners = RegisteredTenant | RegisteredTenant[]
const NOBODY: readonly RegisteredTenant[] = []
const NOWHERE: ReadonlySet<string> = new Set()
const LOOPBACK_OF_LOCALHOST = ['127.0.0.1', '::1']

export class DeploymentIndex {
  readonly #tenants: ReadonlyMap<string, RegisteredTenant>
  readonly #spiffe = new Map<string, Owners>()
  /** Of endpoints whose host is an address. */
  readonly #addresses = new Map<string, Owners>()
  readonly #endpoints = new Map<string, Owners>()
  /** Loopback addresses of endpoints, by port. */
  readonly #loopback = new Map<number, Set<string>>()
  readonly #names = new Map<string, Owners>()
  /** By number of bits, by first address. */
  readonly #blocks = new Map<number, Map<bigint, Owners>>()

  constructor(tenants: ReadonlyMap<string, RegisteredTenant>) {
    this.#tenants = tenants
    for (const tenant of tenants.values()) this.#add(tenant)
  }

  get size(): number {
    return this.#tenants.size
  }

  get names(): ReadonlySet<string> {
    return new Set(this.#names.keys())
  }

  tenant(id: string): RegisteredTenant | undefined {
    return this.#tenants.get(id)
  }

  tenants(): Iterable<RegisteredTenant> {
    return this.#tenants.values()
  }

  bySpiffe(id: string): readonly RegisteredTenant[] {
    return listOf(this.#spiffe.get(id))
  }

  /** By an endpoint with this address. */
  byAddress(address: string): readonly RegisteredTenant[] {
    return listOf(this.#addresses.get(address))
  }

  /** By an endpoint with this host name. */
  byName(name: string): readonly RegisteredTenant[] {
    return listOf(this.#names.get(name))
  }

  /** By `deployment.identity.address`: all whose blocks hold the address, however large. */
  byBlock(address: string): readonly RegisteredTenant[] {
    const number = ipNumber(address)
    if (number === undefined || this.#blocks.size === 0) return NOBODY
    const owners = new Set<RegisteredTenant>()
    for (const [bits, blocks] of this.#blocks)
      for (const owner of listOf(blocks.get(startOf(number, bits)))) owners.add(owner)
    return [...owners]
  }

  /** `host`: an address or a name, as it stands in endpoints. */
  byEndpoint(host: string, port: number): readonly RegisteredTenant[] {
    return listOf(this.#endpoints.get(endpointKey(host, port)))
  }

  loopbackAddresses(port: number): ReadonlySet<string> {
    return this.#loopback.get(port) ?? NOWHERE
  }

  #add(tenant: RegisteredTenant): void {
    for (const id of tenant.spiffe) addTo(this.#spiffe, id, tenant)
    for (const endpoint of tenant.endpoints) this.#addEndpoint(endpoint, tenant)
    for (const address of tenant.addresses) {
      const block = parseIpBlock(address)
      if (block !== undefined) this.#addBlock(block, tenant)
    }
  }

  #addEndpoint(endpoint: string, tenant: RegisteredTenant): void {
    const [, text = '', digits = ''] = /^[a-z0-9]+:\/\/(.+):(\d{1,5})$/.exec(endpoint) ?? []
    const port = Number(digits)
    const host = text.replace(/^\[(.*)\]$/, '$1').toLowerCase()
    if (host === '') return
    const addresses = /(^|\.)localhost\.?$/.test(host) ? LOOPBACK_OF_LOCALHOST : [canonicalIp(host)]
    for (const address of addresses) {
      addTo(this.#endpoints, endpointKey(address ?? host, port), tenant)
      if (address === undefined) addTo(this.#names, host, tenant)
      else if (!isLoopbackText(address)) addTo(this.#addresses, address, tenant)
      else this.#addLoopback(address, port)
    }
  }

  #addLoopback(address: string, port: number): void {
    const addresses = this.#loopback.get(port)
    if (addresses === undefined) this.#loopback.set(port, new Set([address]))
    else addresses.add(address)
  }

  #addBlock({ first, bits }: IpBlock, tenant: RegisteredTenant): void {
    const blocks = this.#blocks.get(bits) ?? new Map<bigint, Owners>()
    this.#blocks.set(bits, blocks)
    addTo(blocks, first, tenant)
  }
}

function endpointKey(host: string, port: number): string {
  return `${host} ${port}`
}

function listOf(owners: Owners | undefined): readonly RegisteredTenant[] {
  if (owners === undefined) return NOBODY
  return Array.isArray(owners) ? owners : [owners]
}

function addTo<Key>(map: Map<Key, Owners>, key: Key, tenant: RegisteredTenant): void {
  const owners = map.get(key)
  if (owners === undefined) map.set(key, tenant)
  else if (!Array.isArray(owners)) {
    if (owners !== tenant) map.set(key, [owners, tenant])
  } else if (!owners.includes(tenant)) owners.push(tenant)
}

/**
 * Notices when an address that is listened at goes away from the machine: its socket stays and nothing reaches it any more,
 * which nobody would be told. It serves again by itself when the address is back.
 */
import { isIP } from 'node:net'
import { splitHostPort } from '../../config/addresses.ts'
import type { ListenerConfig } from '../../config/schema.ts'
import { addressInText, idInText } from '../../config/tenant-text.ts'
import type { Logger } from '../../runtime/logger.ts'
import { interfaceAddresses, isOwnAddress } from '../../runtime/own-addresses.ts'
import type { MetricReader } from './metric-tables.ts'

const LOOK_MS = 5_000
/** The kernel is asked for so many in a look; what is on an interface needs no question. */
const MOST_ASKED = 256
/** Named in a log line; of the others there is the number. */
const MOST_NAMED = 10

export interface AddressWatchOptions {
  readonly logger: Logger
  /** Of the configuration in force. */
  readonly listeners: () => readonly ListenerConfig[]
}

interface Difference {
  readonly changed: Iterable<string>
  readonly removed: readonly string[]
}

export class AddressWatch {
  readonly #options: AddressWatchOptions
  /** By tenant; of tenants that have one. */
  readonly #ofTenants = new Map<string, string>()
  /** By listener. */
  #missing = new Map<string, ReadonlySet<string>>()
  #timer: NodeJS.Timeout | undefined
  #looking = false

  constructor(options: AddressWatchOptions) {
    this.#options = options
  }

  /** What is different from now on; at the start that is all. Tenants as `encodeTenant` writes them. */
  update({ changed, removed }: Difference): void {
    for (const id of removed) this.#ofTenants.delete(id)
    for (const text of changed) {
      const address = addressInText(text)
      if (address === undefined) this.#ofTenants.delete(idInText(text))
      else this.#ofTenants.set(idInText(text), address)
    }
  }

  start(): void {
    this.#timer ??= setInterval(() => void this.look(), LOOK_MS).unref()
  }

  async look(): Promise<void> {
    if (this.#looking) return
    this.#looking = true
    const present = interfaceAddresses()
    const missing = new Map<string, ReadonlySet<string>>()
    for (const listener of this.#options.listeners()) {
      const away = this.#addressesOf(listener).filter(address => !present.has(address))
      const asked = await Promise.all(away.slice(0, MOST_ASKED).map(isOwnAddress))
      missing.set(listener.name, new Set(away.filter((_, index) => asked[index] === false)))
    }
    for (const [listener, addresses] of missing) this.#compare(listener, addresses)
    this.#missing = missing
    this.#looking = false
  }

  close(): void {
    clearInterval(this.#timer)
  }

  readers(): MetricReader[] {
    return [
      {
        name: 'amt_listener_addresses_missing',
        help: 'Addresses of listeners that this machine does not have.',
        type: 'gauge',
        read: () =>
          [...this.#missing].map(([listener, { size }]) => ({ labels: { listener }, value: size })),
      },
    ]
  }

  /** Loopback is always there, and so is what listens at all addresses. */
  #addressesOf(listener: ListenerConfig): string[] {
    if (listener.mode === 'private')
      return listener.bind === 'each' ? [...new Set(this.#ofTenants.values())].filter(canGo) : []
    const { host } = splitHostPort(listener.address)
    return isIP(host) !== 0 && canGo(host) ? [host] : []
  }

  #compare(listener: string, missing: ReadonlySet<string>): void {
    const before = this.#missing.get(listener) ?? new Set()
    const { logger } = this.#options
    const gone = [...missing].filter(address => !before.has(address))
    const back = [...before].filter(address => !missing.has(address))
    if (gone.length > 0)
      logger.error(
        { listener, count: gone.length, addresses: gone.slice(0, MOST_NAMED) },
        'this machine does not have the address of a listener, so nothing reaches it there',
      )
    if (back.length > 0)
      logger.info(
        { listener, count: back.length, addresses: back.slice(0, MOST_NAMED) },
        'the address of a listener is there again',
      )
  }
}

function canGo(host: string): boolean {
  return !/^127\.|^::1$|^0\.0\.0\.0$|^::$/.test(host)
}

/** Says in time which API keys end: a gauge, and a log line when one comes near its end and when it has reached it. */
import type { TenantConfig } from '../../config/schema.ts'
import { decodeTenant, idInText } from '../../config/tenant-text.ts'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../runtime/logger.ts'
import { shortDigest } from './credential-list.ts'
import type { MetricReader } from './metric-tables.ts'

/** So long before its end a key is worth a word. */
const SOON_MS = 14 * 86_400_000
const LOOK_MS = 3_600_000
/** A line names so many keys and counts the rest. */
const MAX_NAMED = 20

type State = 'expiring' | 'expired'

/** Of the keys of the configuration, those that have an end. */
interface EndingKey {
  readonly tenant: string
  readonly label: string | undefined
  readonly digest: string
  readonly expires: string
  readonly expiresMs: number
  /** What was said of it. */
  said: State | undefined
}

interface Difference {
  readonly changed: Iterable<string>
  readonly removed: readonly string[]
}

export class ApiKeyExpiry {
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #byTenant = new Map<string, readonly EndingKey[]>()
  #timer: NodeJS.Timeout | undefined

  constructor(deps: { readonly clock: Clock; readonly logger: Logger }) {
    this.#clock = deps.clock
    this.#logger = deps.logger
  }

  /** What is different from now on; at the start that is all. Tenants as `encodeTenant` writes them. */
  update({ changed, removed }: Difference): void {
    for (const id of removed) this.#byTenant.delete(id)
    for (const text of changed) {
      // Of 100,000 tenants few have keys that end, and no other is looked at.
      if (text.includes('"expires"')) this.#set(decodeTenant(text))
      else this.#byTenant.delete(idInText(text))
    }
    this.look()
    this.#timer ??= setInterval(() => this.look(), LOOK_MS).unref()
  }

  /** Logs what came near its end, or to it, since the last look: each key once for either. */
  look(): void {
    const news: Record<State, EndingKey[]> = { expiring: [], expired: [] }
    const now = this.#clock.now()
    for (const key of this.#keys()) {
      const state = stateOf(key, now)
      if (state === undefined || key.said === state) continue
      key.said = state
      news[state].push(key)
    }
    this.#log(news.expiring, 'API keys expire within 14 days')
    this.#log(news.expired, 'API keys have expired')
  }

  close(): void {
    clearInterval(this.#timer)
  }

  readers(): MetricReader[] {
    return [
      {
        name: 'amt_api_keys_ending',
        help: 'Configured API keys that expire within 14 days (expiring) or are refused by now (expired).',
        type: 'gauge',
        read: () => {
          const counts: Record<State, number> = { expiring: 0, expired: 0 }
          const now = this.#clock.now()
          for (const key of this.#keys()) {
            const state = stateOf(key, now)
            if (state !== undefined) counts[state] += 1
          }
          return Object.entries(counts).map(([state, value]) => ({ labels: { state }, value }))
        },
      },
    ]
  }

  #set(tenant: TenantConfig): void {
    const known = this.#byTenant.get(tenant.id)
    const keys = [...endingKeysOf(tenant)]
    for (const key of keys) {
      const same = known?.find(({ digest, expires }) => {
        return digest === key.digest && expires === key.expires
      })
      key.said = same?.said
    }
    if (keys.length > 0) this.#byTenant.set(tenant.id, keys)
    else this.#byTenant.delete(tenant.id)
  }

  *#keys(): Generator<EndingKey> {
    for (const keys of this.#byTenant.values()) yield* keys
  }

  #log(keys: readonly EndingKey[], message: string): void {
    if (keys.length === 0) return
    const named = keys
      .toSorted((a, b) => a.expiresMs - b.expiresMs)
      .slice(0, MAX_NAMED)
      .map(({ tenant, label, digest, expires }) => ({
        tenant,
        ...(label !== undefined && { label }),
        digest: shortDigest(digest),
        expires,
      }))
    this.#logger.warn({ keys: named, count: keys.length }, message)
  }
}

function* endingKeysOf({ id, credentials }: TenantConfig): Generator<EndingKey> {
  for (const credential of credentials) {
    if (!('apiKey' in credential) || credential.expires === undefined) continue
    const { apiKey: digest, label, expires } = credential
    yield { tenant: id, label, digest, expires, expiresMs: Date.parse(expires), said: undefined }
  }
}

function stateOf({ expiresMs }: EndingKey, now: number): State | undefined {
  if (now >= expiresMs) return 'expired'
  return expiresMs - now <= SOON_MS ? 'expiring' : undefined
}

/**
 * Follows where names lead while somebody watches them: asked again when their TTL is over, once for all who watch. While
 * DNS is down the last answer stays in force, as RFC 8767 has it.
 */
import type { Clock } from '../../core/clock.ts'
import { Timer, type TimerOwner, type TimerWheel } from '../../core/timer-wheel.ts'
import type { NameAnswer, NameLookup } from './dns-lookup.ts'

/** Addresses a name; the rest is left out, in the order of their text. */
export const MAX_ADDRESSES = 64
/** An address that nobody has confirmed for an hour may have become somebody else's. */
const MAX_STALE_MS = 60 * 60_000
const FIRST_RETRY_MS = 1_000
const MAX_RETRY_MS = 10_000

export interface NameResolverDeps {
  readonly lookup: NameLookup
  readonly clock: Pick<Clock, 'monotonic'>
  readonly wheel: TimerWheel
  /** 0 up to, and without, 1. */
  readonly random: () => number
  /** Told of each answer; `failed`: so was the one before. */
  readonly answers?: {
    readonly answered: (name: string, kind: NameAnswer['kind'], failed: boolean) => void
  }
  /** Told of the first of some answers in a row with more than `MAX_ADDRESSES`. */
  readonly tooMany?: (owner: string, name: string, count: number) => void
}

/** Told of every change, and of the first answer; without addresses the name leads nowhere. */
export type AddressListener = (addresses: readonly string[]) => void

export interface NameWatch {
  /** Undefined before the first answer. */
  readonly addresses: readonly string[] | undefined
  close(): void
}

export class NameResolver {
  readonly #deps: NameResolverDeps
  readonly #names = new Map<string, WatchedName>()

  constructor(deps: NameResolverDeps) {
    this.#deps = deps
  }

  /** Names that are followed at the moment. */
  get size(): number {
    return this.#names.size
  }

  /**
   * The listener is only ever called later, never from here. `owner`: whose name it is, nobody's else; of those who
   * share one, the first counts.
   */
  watch(name: string, listener: AddressListener, owner = name): NameWatch {
    const key = name.toLowerCase()
    let watched = this.#names.get(key)
    if (watched === undefined) {
      watched = new WatchedName(key, owner, this.#deps)
      this.#names.set(key, watched)
    }
    const known = watched
    known.listeners.add(listener)
    return {
      get addresses() {
        return known.addresses
      },
      close: () => {
        known.listeners.delete(listener)
        if (known.listeners.size > 0 || this.#names.get(key) !== known) return
        this.#names.delete(key)
        known.close()
      },
    }
  }

  close(): void {
    for (const name of this.#names.values()) name.close()
    this.#names.clear()
    this.#deps.lookup.close()
  }
}

class WatchedName implements TimerOwner {
  readonly listeners = new Set<AddressListener>()
  addresses: readonly string[] | undefined
  readonly #name: string
  readonly #owner: string
  readonly #deps: NameResolverDeps
  readonly #timer = new Timer(this)
  #tooMany = false
  #fromSystem = false
  #confirmedAt = 0
  #failures = 0
  #closed = false

  constructor(name: string, owner: string, deps: NameResolverDeps) {
    this.#name = name
    this.#owner = owner
    this.#deps = deps
    void this.#ask()
  }

  timerExpired(): void {
    void this.#ask()
  }

  close(): void {
    this.#closed = true
    this.#deps.wheel.cancel(this.#timer)
  }

  /** The timer is armed by the answer alone, so that there is one question at a time. */
  async #ask(): Promise<void> {
    // Where there is an answer of DNS to fall back on, a slow system resolver would only take a thread.
    const askSystem = this.#fromSystem || (this.addresses ?? []).length === 0
    const answer = await this.#deps.lookup.find(this.#name, askSystem, this.#owner)
    if (this.#closed) return
    this.#deps.answers?.answered(this.#name, answer.kind, this.#failures > 0)
    const { wheel, clock } = this.#deps
    const now = clock.monotonic()
    wheel.arm(this.#timer, this.#take(answer, now), now)
  }

  /** In how many ms to ask again. */
  #take(answer: NameAnswer, now: number): number {
    if (answer.kind === 'found') {
      this.#failures = 0
      this.#confirmedAt = now
      this.#fromSystem = answer.fromSystem
      this.#lead(answer.addresses)
      return answer.ttlMs
    }
    const known = (this.addresses ?? []).length > 0
    if (answer.kind === 'unknown' || !known || now - this.#confirmedAt > MAX_STALE_MS) {
      this.#lead([])
    }
    const pause = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures)
    this.#failures = Math.min(this.#failures + 1, 10)
    // Up to a fifth more or less, so that workers and names do not ask as one.
    return pause * (0.8 + 0.4 * this.#deps.random())
  }

  #lead(found: readonly string[]): void {
    const tooMany = found.length > MAX_ADDRESSES
    if (tooMany && !this.#tooMany) this.#deps.tooMany?.(this.#owner, this.#name, found.length)
    this.#tooMany = tooMany
    // DNS servers turn their lists: in one order they can be compared, and a cap leaves out the same ones each time.
    const addresses = [...new Set(found)].toSorted().slice(0, MAX_ADDRESSES)
    const same = this.addresses !== undefined && this.addresses.join() === addresses.join()
    this.addresses = addresses
    if (same) return
    for (const listener of this.listeners) listener(addresses)
  }
}

/** The secrets of session tickets: made here, changed by timers, said to all workers. They are never written to a disk. */
import type { ListenerConfig } from '../../config/schema.ts'
import { newTicketSecret, type TicketSecrets } from '../listener/tls-tickets.ts'

/** Secrets for whoever takes the place of this process. */
export interface LeftTickets extends TicketSecrets {
  /** How long ago `current` was made; a proxy that is upgraded often would never change it otherwise. An older version does not say it. */
  readonly ageMs?: number | undefined
}

interface Rotation {
  secrets: TicketSecrets
  /** Of `secrets.current`, in ms of `performance.now()`. */
  madeAt: number
  everyMs: number
  timer: NodeJS.Timeout
}

export class TicketRotation {
  readonly #changed: (secrets: readonly TicketSecrets[]) => void
  readonly #byListener = new Map<string, Rotation>()
  readonly #inherited: readonly LeftTickets[]
  readonly #began = performance.now()

  /** `changed` gets the secrets of one listener, whenever its time is over; `inherited` are those of the proxy before. */
  constructor(
    changed: (secrets: readonly TicketSecrets[]) => void,
    inherited: readonly LeftTickets[] = [],
  ) {
    this.#changed = changed
    this.#inherited = inherited
  }

  /** Of all listeners that have tickets. */
  get secrets(): TicketSecrets[] {
    return [...this.#byListener.values()].map(({ secrets }) => secrets)
  }

  /** The same, with what another process needs to go on with them. */
  get left(): LeftTickets[] {
    const now = performance.now()
    return [...this.#byListener.values()].map(({ secrets, madeAt }) => ({
      ...secrets,
      ageMs: now - madeAt,
    }))
  }

  /** Listeners that stay keep their secrets, also where these are to change at another pace. */
  update(listeners: readonly ListenerConfig[]): void {
    const wanted = new Map(
      listeners.flatMap(({ name, tls }) =>
        tls === undefined || tls.tickets === 'off' ? [] : [[name, tls.tickets.rotate] as const],
      ),
    )
    for (const [name, { timer }] of this.#byListener) {
      if (wanted.has(name)) continue
      clearTimeout(timer)
      this.#byListener.delete(name)
    }
    for (const [name, everyMs] of wanted) {
      const former = this.#byListener.get(name)
      if (former === undefined) this.#begin(name, everyMs)
      else if (former.everyMs !== everyMs) {
        clearTimeout(former.timer)
        former.everyMs = everyMs
        former.timer = this.#schedule(name, everyMs, former.madeAt)
      }
    }
  }

  close(): void {
    for (const { timer } of this.#byListener.values()) clearTimeout(timer)
    this.#byListener.clear()
  }

  #begin(name: string, everyMs: number): void {
    const left = this.#inherited.find(({ listener }) => listener === name)
    const secrets = {
      listener: name,
      current: left?.current ?? newTicketSecret(),
      former: left?.former ?? null,
    }
    const madeAt = left === undefined ? performance.now() : this.#began - (left.ageMs ?? 0)
    const timer = this.#schedule(name, everyMs, madeAt)
    this.#byListener.set(name, { secrets, madeAt, everyMs, timer })
  }

  #schedule(name: string, everyMs: number, madeAt: number): NodeJS.Timeout {
    const ms = Math.max(0, madeAt + everyMs - performance.now())
    return setTimeout(() => this.#rotate(name), ms)
  }

  #rotate(name: string): void {
    const rotation = this.#byListener.get(name)
    if (rotation === undefined) return
    const { current } = rotation.secrets
    rotation.secrets = { listener: name, current: newTicketSecret(), former: current }
    rotation.madeAt = performance.now()
    rotation.timer = this.#schedule(name, rotation.everyMs, rotation.madeAt)
    this.#changed([rotation.secrets])
  }
}

/** The secrets of session tickets: made here, changed by timers, said to all workers. They are never written to a disk. */
import type { ListenerConfig } from '../../config/schema.ts'
import { newTicketSecret, type TicketSecrets } from '../listener/tls-tickets.ts'

interface Rotation {
  secrets: TicketSecrets
  readonly everyMs: number
  readonly timer: NodeJS.Timeout
}

export class TicketRotation {
  readonly #changed: (secrets: readonly TicketSecrets[]) => void
  readonly #byListener = new Map<string, Rotation>()

  readonly #inherited: readonly TicketSecrets[]

  /** `changed` gets the secrets of one listener, whenever its time is over; `inherited` are those of the proxy before. */
  constructor(
    changed: (secrets: readonly TicketSecrets[]) => void,
    inherited: readonly TicketSecrets[] = [],
  ) {
    this.#changed = changed
    this.#inherited = inherited
  }

  /** Of all listeners that have tickets. */
  get secrets(): TicketSecrets[] {
    return [...this.#byListener.values()].map(({ secrets }) => secrets)
  }

  /** Listeners that stay keep their secrets, also where these are to change at another pace. */
  update(listeners: readonly ListenerConfig[]): void {
    const wanted = new Map(
      listeners.flatMap(({ name, tls }) =>
        tls === undefined || tls.tickets === 'off' ? [] : [[name, tls.tickets.rotate] as const],
      ),
    )
    for (const [name, { timer, everyMs }] of this.#byListener) {
      if (wanted.get(name) === everyMs) continue
      clearInterval(timer)
      if (!wanted.has(name)) this.#byListener.delete(name)
    }
    for (const [name, everyMs] of wanted) {
      const former = this.#byListener.get(name)
      if (former?.everyMs === everyMs) continue
      const secrets = former?.secrets ??
        this.#inherited.find(({ listener }) => listener === name) ?? {
          listener: name,
          current: newTicketSecret(),
          former: null,
        }
      const timer = setInterval(() => this.#rotate(name), everyMs)
      this.#byListener.set(name, { secrets, everyMs, timer })
    }
  }

  close(): void {
    for (const { timer } of this.#byListener.values()) clearInterval(timer)
    this.#byListener.clear()
  }

  #rotate(name: string): void {
    const rotation = this.#byListener.get(name)
    if (rotation === undefined) return
    const { current } = rotation.secrets
    rotation.secrets = { listener: name, current: newTicketSecret(), former: current }
    this.#changed([rotation.secrets])
  }
}

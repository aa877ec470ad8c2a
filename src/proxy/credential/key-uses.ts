/** When each API key was last used, for the people who want to know which key can go. */
import type { KeyUse } from '../ipc.ts'
import type { Tenant } from '../tenant/tenant.ts'

/** Each report to the primary is one message; what more keys were used comes with the next ones. */
const MAX_USES_A_REPORT = 2_048
/** Keys that wait for a report. Beyond this, a use goes unseen until the key is used in another second. */
const MAX_WAITING = 65_536

/** A key that this worker has seen, of which it keeps the digest alone. */
export class KnownKey {
  readonly tenant: Tenant
  /** SHA-256, 64 lower-case hexadecimal digits. */
  readonly digest: string
  /** From this moment on it opens nothing, in ms since the epoch; `Infinity` where it does not end. */
  readonly expiresMs: number
  /** Seconds since the epoch; 0 before the first use. */
  usedAt = 0
  /** Whether the last use is still to be reported. */
  waiting = false

  constructor(tenant: Tenant, digest: string, expiresMs: number) {
    this.tenant = tenant
    this.digest = digest
    this.expiresMs = expiresMs
  }
}

export class KeyUses {
  #waiting: KnownKey[] = []
  /** Uses that went unseen because too many others waited, since the owner last set it to 0. */
  dropped = 0

  /** `key` is used now; allocates nothing, and stores at most once a second and key. */
  mark(key: KnownKey, nowMs: number): void {
    const second = Math.floor(nowMs / 1_000)
    if (key.usedAt === second) return
    key.usedAt = second
    if (key.waiting) return
    if (this.#waiting.length >= MAX_WAITING) {
      this.dropped += 1
      return
    }
    key.waiting = true
    this.#waiting.push(key)
  }

  /** What was used since the last report; the oldest first where that is too much for one. */
  take(): KeyUse[] {
    const taken = this.#waiting.splice(0, MAX_USES_A_REPORT)
    return taken.map(key => {
      key.waiting = false
      return { tenant: key.tenant.id, digest: key.digest, at: key.usedAt }
    })
  }
}

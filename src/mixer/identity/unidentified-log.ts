/** Says in the log why callers are not known, without letting them fill it: each reason once a minute at most. */
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { Identified, UnidentifiedReason } from './identity.ts'

const QUIET_MS = 60_000

const ADVICE: Readonly<Record<UnidentifiedReason, string>> = {
  unknown: 'nothing shows whose deployment calls',
  ambiguous: 'the source of a call belongs to several deployments',
  conflict: 'the evidence for whose deployment calls contradicts itself',
  certificate_invalid: 'a caller shows a certificate that does not verify, or has expired',
  names_pending:
    'some host names of endpoints are not resolved, so that addresses show nothing yet',
  process_not_found: 'the process behind a call cannot be found on this machine',
  process_hidden:
    'the process behind a call is hidden from this user: run the mixer as the user of the deployments, as root, or with CAP_SYS_PTRACE, or give deployments a certificate',
  process_unsupported: 'processes can only be found on Linux',
  connection_gone: 'a caller was gone before it was known',
}

export class UnidentifiedLog {
  readonly #logger: Logger
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #said = new Map<UnidentifiedReason, { readonly at: number; unsaid: number }>()

  constructor(logger: Logger, clock: Pick<Clock, 'monotonic'>) {
    this.#logger = logger
    this.#clock = clock
  }

  note(result: Identified, about: Readonly<Record<string, unknown>>): void {
    if (result.kind !== 'unidentified') return
    const { reason } = result
    const now = this.#clock.monotonic()
    const last = this.#said.get(reason)
    if (last !== undefined && now - last.at < QUIET_MS) {
      last.unsaid += 1
      return
    }
    this.#said.set(reason, { at: now, unsaid: 0 })
    this.#logger.warn({ reason, ...about, unsaid: last?.unsaid ?? 0 }, ADVICE[reason])
  }
}

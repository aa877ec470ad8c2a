/**
 * TLS of all listeners, as the primary looks after it: reads and checks the files, reads them again when they change or a
 * reload asks for it, says what is new to the workers, changes the keys of session tickets, and tells what expires.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Config, ListenerConfig } from '../../config/schema.ts'
import type { Clock } from '../../core/clock.ts'
import { FileWatch } from '../../runtime/file-watch.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { PrimaryMessage } from '../ipc.ts'
import {
  authoritiesWithoutList,
  filesOf,
  furtherAuthorities,
  readTlsMaterial,
  type TlsMaterial,
} from '../listener/tls-material.ts'
import type { TicketSecrets } from '../listener/tls-tickets.ts'
import { CertificateExpiry } from './certificate-expiry.ts'
import { type LeftTickets, TicketRotation } from './ticket-rotation.ts'
import type { TlsMetrics } from './tls-metrics.ts'

type ServiceConfig = Pick<Config, 'listeners' | 'authentication'>

export interface PrimaryTlsOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: TlsMetrics
  /** To all workers that are there. */
  readonly tell: (message: PrimaryMessage) => void
  /** Of the proxy before, which has handed over to this one. */
  readonly tickets?: readonly LeftTickets[] | undefined
}

/** A configuration with what its files hold. */
interface InForce {
  readonly config: ServiceConfig
  readonly materials: readonly TlsMaterial[]
}

export class PrimaryTls {
  readonly #options: PrimaryTlsOptions
  readonly #rotation: TicketRotation
  readonly #expiry: CertificateExpiry
  #watch: FileWatch | undefined
  #inForce: InForce
  #checked: InForce | undefined
  /** What was last found wrong with the files of each listener. */
  readonly #problems = new Map<string, string>()

  constructor(options: PrimaryTlsOptions, config: ServiceConfig) {
    this.#options = options
    this.#inForce = { config, materials: [] }
    this.#rotation = new TicketRotation(
      secrets => options.tell({ kind: 'tickets', secrets }),
      options.tickets,
    )
    this.#expiry = new CertificateExpiry(options)
  }

  /** For a worker that begins. */
  get forWorker(): { tls: readonly TlsMaterial[]; tickets: readonly TicketSecrets[] } {
    return { tls: this.#inForce.materials, tickets: this.#rotation.secrets }
  }

  /** For whoever takes the place of this process. */
  get ticketsLeft(): readonly LeftTickets[] {
    return this.#rotation.left
  }

  /** Of listeners as they are to be, where that was checked and is not in force yet. */
  get upcoming(): readonly TlsMaterial[] {
    return (this.#checked ?? this.#inForce).materials
  }

  /** Reads all files, and follows them from then on. Returns what cannot be used: then there is nothing to begin with. */
  start(): readonly string[] {
    const problems = this.check(this.#inForce.config)
    if (problems.length > 0) return problems
    this.#watch = new FileWatch({ changed: () => this.#filesChanged() })
    this.settle()
    return []
  }

  /** Reads what `config` names, and uses nothing of it yet. Returns whole sentences about what is wrong. */
  check(config: ServiceConfig): readonly string[] {
    const read = readAll(config)
    const problems = read.flatMap(each => ('problems' in each ? each.problems : []))
    const materials = read.flatMap(each => ('material' in each ? each.material : []))
    this.#checked = problems.length === 0 ? { config, materials } : undefined
    return problems
  }

  /** What was checked last is in force from now on. */
  settle(): void {
    const checked = this.#checked
    if (checked === undefined) return
    this.#checked = undefined
    this.#problems.clear()
    this.#use(checked)
  }

  /** What was checked last will not be in force. */
  discard(): void {
    this.#checked = undefined
  }

  close(): void {
    this.#watch?.close()
    this.#rotation.close()
    this.#expiry.close()
  }

  /** Each listener has what is new in its files, or keeps what it has. Returns whether all is well. */
  #filesChanged(): boolean {
    const { config, materials: former } = this.#inForce
    const materials = readAll(config).flatMap(each => {
      if ('material' in each) {
        this.#problems.delete(each.material.listener)
        return [each.material]
      }
      this.#refuse(each.listener, each.problems)
      return former.filter(({ listener }) => listener === each.listener)
    })
    this.#use({ config, materials })
    return this.#problems.size === 0
  }

  #refuse(listener: string, problems: readonly string[]): void {
    const text = problems.join('\n')
    // A key that comes a moment after its certificate is looked for often, and told of once.
    if (this.#problems.get(listener) === text) return
    this.#problems.set(listener, text)
    this.#options.metrics.refused(listener)
    for (const problem of problems)
      this.#options.logger.error(
        { listener, problem },
        'changed TLS files cannot be used; the former ones stay',
      )
  }

  #use(next: InForce): void {
    const former = this.#inForce
    const { listeners } = next.config
    this.#inForce = next
    this.#rotation.update(listeners)
    const changed =
      !isDeepStrictEqual(former.materials, next.materials) ||
      !isDeepStrictEqual(former.config.listeners, listeners)
    if (changed) this.#changed(next, former)
    this.#watch?.follow(filesOfAll(next.config))
  }

  #changed({ config: { listeners }, materials }: InForce, former: InForce): void {
    const { metrics, logger, tell } = this.#options
    tell({ kind: 'tls', listeners, materials })
    tell({ kind: 'tickets', secrets: this.#rotation.secrets })
    const warnings = new Map(listeners.map(({ name, tls }) => [name, tls?.expiryWarning ?? 0]))
    metrics.expiries = this.#expiry.update(materials, warnings)
    for (const material of materials) {
      const { listener } = material
      const before = former.materials.find(each => each.listener === listener)
      if (isDeepStrictEqual(before, material)) continue
      if (before !== undefined) logger.info({ listener }, 'changed TLS files are in use')
      for (const authority of authoritiesWithoutList(material))
        logger.warn(
          { listener, authority },
          'an authority has no revocation list while others have: all of its certificates are refused',
        )
    }
  }
}

type Read =
  | { readonly listener: string; readonly material: TlsMaterial }
  | { readonly listener: string; readonly problems: readonly string[] }

function readAll(config: ServiceConfig): Read[] {
  const further = furtherAuthorities(config)
  return config.listeners.flatMap(({ name, tls }: ListenerConfig) =>
    tls === undefined ? [] : [{ listener: name, ...readTlsMaterial({ name, tls }, further) }],
  )
}

function filesOfAll(config: ServiceConfig): string[] {
  const further = furtherAuthorities(config)
  return config.listeners.flatMap(({ tls }) => (tls === undefined ? [] : filesOf(tls, further)))
}

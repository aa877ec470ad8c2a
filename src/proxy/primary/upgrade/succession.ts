/** Where a primary stands in the line of those that serve: after whom it comes, and who comes after it. */
import type { Logger } from '../../../runtime/logger.ts'
import { PidFile } from '../../../runtime/pid-file.ts'
import type { JournalShipper } from '../../shipping/journal-shipper.ts'
import type { AdminServer } from '../admin-server.ts'
import { ListeningSockets } from '../listening-sockets.ts'
import type { TenantDrainDesk } from '../tenant-drain-desk.ts'
import type { LeftTickets } from '../ticket-rotation.ts'
import { Handover } from './handover.ts'
import type { Inheritance } from './messages.ts'
import type { Predecessor } from './predecessor.ts'
import type { Command } from './successor.ts'
import { takeOver } from './takeover.ts'

const CANNOT =
  'this process cannot hand over, since its end would be noticed by who has started it: restart it instead'

export interface SuccessionSettings {
  /** How this program is started to take over from this process; undefined where that must not be, and nobody may ask for it. */
  readonly successor?: Command | undefined
  /** Whose place this process takes, with what it has left. */
  readonly predecessor?: Predecessor | undefined
  readonly inheritance?: Inheritance | undefined
  /** File that says which process is in charge. */
  readonly pidFile?: string | undefined
}

export interface SuccessionOptions {
  readonly settings: SuccessionSettings
  readonly logger: Logger
  /** Folder of the journals. */
  readonly journal: string
  readonly shipper: JournalShipper
  readonly phase: () => 'starting' | 'ready' | 'draining'
  readonly admin: () => AdminServer
  readonly tickets: () => readonly LeftTickets[]
  readonly drains: Pick<TenantDrainDesk, 'drained' | 'inherit'>
  /** The next one serves: from now on this one drains, and nobody asks it for anything. */
  readonly letGo: () => void
  readonly drain: () => void
}

export class Succession {
  readonly sockets: ListeningSockets
  /** Where the admin server is, once it is. */
  adminAddress = ''
  readonly #options: SuccessionOptions
  readonly #pidFile: PidFile
  /** Of the process before, where that had another one: it names this process since. */
  readonly #formerPidFile: PidFile
  readonly #handover: Handover | undefined

  constructor(options: SuccessionOptions) {
    const { settings, logger } = options
    this.#options = options
    this.#pidFile = new PidFile(settings.pidFile, logger)
    this.#formerPidFile = new PidFile(settings.inheritance?.pidFile, logger)
    this.sockets = new ListeningSockets(settings.predecessor?.sockets)
    this.#handover = this.#createHandover()
  }

  /**
   * Takes what only one process can have, the folder of the journals and the address of the admin server; not yet where
   * another one has them whose place this one takes. Gives what keeps it from that.
   */
  async open(): Promise<string | undefined> {
    const { settings, shipper, phase, drains } = this.#options
    // Before there are workers, which begin with it.
    drains.inherit(settings.inheritance?.drained ?? [])
    if (settings.predecessor !== undefined) return undefined
    try {
      await shipper.start()
    } catch (error) {
      return `mixer.journal: ${String(error)}`
    }
    return phase() === 'starting' ? this.#openAdmin() : undefined
  }

  /** All workers serve: the process before this one, if there is one, lets go and drains. */
  async takeOver(): Promise<void> {
    const { settings, shipper, phase, logger, drains } = this.#options
    const { predecessor } = settings
    const wanted = (): boolean => phase() === 'starting'
    const { sockets } = this
    if (predecessor !== undefined)
      await takeOver({
        predecessor,
        sockets,
        openAdmin: async () => {
          const problem = await this.#openAdmin()
          if (problem !== undefined) throw new Error(problem)
        },
        heir: ({ drained }) => drained && drains.inherit(drained),
        wanted,
        logger,
        shipper,
        gone: producer => this.#handover?.gone([producer]),
      })
  }

  /** This process is in charge. */
  begin(): void {
    this.#pidFile.write()
    this.#handover?.open(this.#options.journal)
  }

  /** This process cannot serve. */
  async refuse(problems: readonly string[], exitCode: number): Promise<void> {
    await this.#options.settings.predecessor?.refuse(problems, exitCode)
  }

  /** Starts this program anew, and lets it take over. */
  upgrade(): void {
    if (this.#handover === undefined)
      this.#options.logger.warn({ problem: CANNOT }, 'not upgraded; this version goes on')
    void this.#handover?.upgrade()
  }

  /** A worker is gone; said before the shipper hears of it. */
  workerGone(slot: number): void {
    this.#handover?.gone(this.#options.shipper.claims.of(slot))
  }

  /** This process ends, and nobody comes after it that has not come yet. */
  close(): void {
    this.#handover?.close()
  }

  /** The last thing that it does. */
  async end(): Promise<void> {
    // Whoever came after this one hears by it which journals are still written.
    const { predecessor } = this.#options.settings
    if (this.#handover?.done === true) await predecessor?.ended
    await this.#handover?.release()
    this.#pidFile.remove()
    this.#formerPidFile.remove()
    predecessor?.close()
  }

  async #openAdmin(): Promise<string | undefined> {
    const opened = await this.#options.admin().listen()
    if (!opened.ok) return opened.problem
    this.adminAddress = opened.address
    return undefined
  }

  #createHandover(): Handover | undefined {
    const { settings, logger, phase, journal, shipper, tickets, drains, letGo, drain } =
      this.#options
    if (settings.successor === undefined) return undefined
    return new Handover({
      logger,
      self: settings.successor,
      obstacle: () => (phase() === 'ready' ? undefined : `this proxy is ${phase()}`),
      sockets: async () => this.sockets.held(),
      inheritance: () => ({
        journal,
        tickets: tickets(),
        pidFile: settings.pidFile,
        drained: drains.drained,
      }),
      // Not left to the new one: this process may end before that one has everything, and a service manager looks then.
      succeeded: pid => this.#pidFile.write(pid),
      letGo: async () => {
        letGo()
        await shipper.close(0)
        return { producers: shipper.claims.all, drained: drains.drained }
      },
      drain,
    })
  }
}

/**
 * Handing over to a new version: starts it with what this proxy listens at, and lets go of everything once it serves.
 * Whatever goes wrong before that changes nothing.
 */
import type { Logger } from '../../../runtime/logger.ts'
import type { HeldSocket } from '../listening-sockets.ts'
import { UpgradeDoor } from './door.ts'
import type { Inheritance, Legacy } from './messages.ts'
import { type Command, Successor, type UpgradeResult } from './successor.ts'

export interface HandoverOptions {
  readonly logger: Logger
  /** How this program is started to take over; what `amt proxy --upgrade` asks for may be another one. */
  readonly self: Command
  /** Why it cannot be done at the moment. */
  readonly obstacle: () => string | undefined
  readonly sockets: () => Promise<readonly HeldSocket[]>
  readonly inheritance: () => Inheritance
  /** The new one serves: that process is in charge, and nothing that happens to this one changes it any more. */
  readonly succeeded: (pid: number) => void
  /** Lets go of the folder and of the admin server, and gives what is left to say. */
  readonly letGo: () => Promise<Legacy>
  /** Everything is handed over: the rest may end. */
  readonly drain: () => void
}

export class Handover {
  readonly #options: HandoverOptions
  #door: UpgradeDoor | undefined
  /** From the first question on; the successor itself is there a moment later. */
  #underWay = false
  #successor: Successor | undefined
  /** The new one is in charge. */
  #done = false

  constructor(options: HandoverOptions) {
    this.#options = options
  }

  /** From now on `amt proxy --upgrade` can ask; `folder` is that of the journals. */
  open(folder: string): void {
    const { logger } = this.#options
    this.#door = new UpgradeDoor({
      folder,
      logger,
      upgrade: async command => this.upgrade(command),
    })
    this.#door.open()
  }

  /** One at a time; resolves when the new one is in charge, or with what kept it from that. Never rejects. */
  async upgrade(command: Command = this.#options.self): Promise<UpgradeResult> {
    const { logger, obstacle } = this.#options
    const why = this.#underWay ? 'an upgrade is under way' : obstacle()
    if (why !== undefined) return this.#refused([`no upgrade now: ${why}`], 1)
    this.#underWay = true
    logger.info(
      { program: command.program, args: command.args },
      'upgrading: starting the new version',
    )
    const successor = await this.#start(command)
    if (typeof successor === 'string') return this.#failed([successor], 1)
    this.#successor = successor
    const result = await successor.outcome
    if (!result.ok) return this.#failed(result.problems, result.exitCode)
    // Somebody has ended this proxy meanwhile, and means this service.
    const late = obstacle()
    if (late !== undefined) {
      successor.abandon(late)
      return this.#refused([`no upgrade: ${late}`], 1)
    }
    await this.#handOver(successor, result.pid)
    logger.info({ successor: result.pid }, 'upgraded: the new version serves')
    return result
  }

  /** Whether the new one is in charge. */
  get done(): boolean {
    return this.#done
  }

  /** Nobody writes these journals any more. */
  gone(producers: Iterable<string>): void {
    if (this.#done) for (const producer of producers) this.#successor?.gone(producer)
  }

  /** No upgrade from now on: the proxy ends. */
  close(): void {
    this.#door?.close()
    if (!this.#done) this.#successor?.abandon('the proxy ends')
  }

  /** The last word to the one that is in charge now. */
  async release(): Promise<void> {
    if (this.#done) await this.#successor?.release()
  }

  async #handOver(successor: Successor, pid: number): Promise<void> {
    const { logger, succeeded, letGo, drain } = this.#options
    succeeded(pid)
    this.#door?.close()
    const legacy = await letGo()
    this.#done = true
    successor.handOver(legacy)
    logger.info({ cause: 'upgrade' }, 'draining')
    drain()
  }

  /** Gives what is wrong where no process can be made at all, of which Node tells by throwing. */
  async #start(command: Command): Promise<Successor | string> {
    const { sockets, inheritance } = this.#options
    try {
      return new Successor(command, await sockets(), inheritance())
    } catch (error) {
      return `the new version cannot be started: ${String(error)}`
    }
  }

  /** Another one may try. */
  #failed(problems: readonly string[], exitCode: number): UpgradeResult {
    this.#underWay = false
    this.#successor = undefined
    return this.#refused(problems, exitCode)
  }

  #refused(problems: readonly string[], exitCode: number): UpgradeResult {
    for (const problem of problems)
      this.#options.logger.error({ problem }, 'not upgraded; this version goes on')
    return { ok: false, problems, exitCode }
  }
}

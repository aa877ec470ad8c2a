/**
 * Finds the tenants of the processes behind connections of this machine. A look at the machine is dear, so there is one
 * at a time, all that is asked meanwhile shares the next one, and it takes no more than a quarter of the time.
 */
import { endianness } from 'node:os'
import { setTimeout } from 'node:timers/promises'
import type { Logger } from '../../runtime/logger.ts'
import type { Deployments } from '../registry/registry.ts'
import type { UnidentifiedReason } from './identity.ts'
import type { ProcessFiles } from './process-files.ts'
import { endpointSockets, ProcessOwners } from './process-owners.ts'
import { type Connection, connectionKey, readTcpTable, type TcpTable } from './tcp-table.ts'

/** Connections that wait for the next look. */
const MAX_WAITING = 1_000
/** How long nobody looks after a look, times its own length; on a busy machine a look waits more than it works. */
const REST = 3
const LONGEST_REST_MS = 250

export type ProcessAnswer =
  /** None where it belongs to no deployment; their ids. */
  | { readonly kind: 'tenants'; readonly tenants: readonly string[] }
  | { readonly kind: 'failed'; readonly reason: UnidentifiedReason }

export interface ProcessLookupDeps {
  readonly files: ProcessFiles
  readonly deployments: Deployments
  /** Addresses of this machine, without loopback. */
  readonly ownAddresses: () => readonly string[]
  readonly logger: Logger
  /** A look took so long. */
  readonly looked: (seconds: number) => void
}

interface Question {
  readonly key: string
  readonly answer: (answer: ProcessAnswer) => void
}

export class ProcessLookup {
  readonly #deps: ProcessLookupDeps
  #waiting: Question[] = []
  #running = false

  constructor(deps: ProcessLookupDeps) {
    this.#deps = deps
  }

  /** `connection` as the socket of the caller has it. Never rejects. */
  async find(connection: Connection): Promise<ProcessAnswer> {
    if (this.#waiting.length >= MAX_WAITING) return failed('process_not_found')
    return new Promise(answer => {
      this.#waiting.push({ key: connectionKey(connection), answer })
      if (!this.#running) void this.#run()
    })
  }

  async #run(): Promise<void> {
    this.#running = true
    while (this.#waiting.length > 0) {
      const questions = this.#waiting
      this.#waiting = []
      const start = performance.now()
      try {
        await this.#answer(questions)
      } catch (error) {
        this.#deps.logger.error({ err: error }, 'the processes of this machine cannot be looked at')
        for (const { answer } of questions) answer(failed('process_not_found'))
      }
      const took = performance.now() - start
      this.#deps.looked(took / 1_000)
      await setTimeout(Math.min(took * REST, LONGEST_REST_MS), undefined, { ref: false })
    }
    this.#running = false
  }

  async #answer(questions: readonly Question[]): Promise<void> {
    const { files, deployments, ownAddresses } = this.#deps
    const wanted = new Set(questions.map(({ key }) => key))
    const before = await this.#table(wanted)
    if (before === undefined) {
      for (const { answer } of questions) answer(failed('process_unsupported'))
      return
    }
    const sockets = endpointSockets(before.listening, deployments, ownAddresses())
    const inodes = new Set([
      ...[...before.connected.values()].map(({ inode }) => inode),
      ...[...sockets.keys()].map(({ inode }) => inode),
    ])
    const { tree, holders, hidden } = await files.look(inodes)
    const after = await this.#table(wanted)
    const owners = new ProcessOwners({ holders, tree }, sockets)
    const unseen = [...sockets.keys()].some(({ inode }) => !holders.has(inode))
    const hiding = { callers: hidden > 0, listeners: hidden > 0 && unseen }
    for (const { key, answer } of questions) {
      const inode = before.connected.get(key)?.inode
      // The same socket before and after: its port was not given to another one meanwhile.
      if (inode === undefined || after?.connected.get(key)?.inode !== inode)
        answer(failed('process_not_found'))
      else answer(answerOf(owners.ofConnection(inode), hiding))
    }
  }

  async #table(wanted: ReadonlySet<string>): Promise<TcpTable | undefined> {
    const texts = await this.#deps.files.tcpTables()
    return texts === undefined ? undefined : readTcpTable(texts, wanted, endianness() === 'LE')
  }
}

/** Whether callers, or processes that listen at endpoints, may be among those that could not be looked into. */
interface Hiding {
  readonly callers: boolean
  readonly listeners: boolean
}

function answerOf(found: ReturnType<ProcessOwners['ofConnection']>, hiding: Hiding): ProcessAnswer {
  if (found === 'ambiguous') return failed('ambiguous')
  if (found === 'not_found') return failed(hiding.callers ? 'process_hidden' : 'process_not_found')
  return found.length === 0 && hiding.listeners
    ? failed('process_hidden')
    : { kind: 'tenants', tenants: found }
}

function failed(reason: UnidentifiedReason): ProcessAnswer {
  return { kind: 'failed', reason }
}

/**
 * Where `amt proxy --upgrade` asks the running proxy to hand over: a unix socket in the folder of the journals. Who may open
 * it may run programs as the user of this process, and that is this user alone, by the modes of folder and socket.
 */
import { rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { relative } from 'node:path'
import { z } from 'zod'
import type { Logger } from '../../../runtime/logger.ts'
import { listenInPrivate } from '../../../runtime/private-socket.ts'
import type { Command, UpgradeResult } from './successor.ts'

const MAX_REQUEST_BYTES = 64 * 1024
const REQUEST_TIMEOUT_MS = 5_000
const MAX_CONNECTIONS = 4
const NAME = 'upgrade.sock'
/** Of a unix socket, with the zero behind it (unix(7)). */
const MAX_PATH_BYTES = 107

const request = z.strictObject({
  program: z.string().min(1).max(4_096),
  args: z.array(z.string().max(4_096)).max(256),
})

/** The socket of the proxy with this folder, in the shorter form of its path; undefined where both are too long. */
export function upgradeSocketOf(folder: string): string | undefined {
  const path = `${folder}/${NAME}`
  return [path, relative(process.cwd(), path)].find(
    form => Buffer.byteLength(form) <= MAX_PATH_BYTES,
  )
}

export interface UpgradeDoorOptions {
  /** Of the journals. */
  readonly folder: string
  readonly logger: Logger
  readonly upgrade: (command: Command) => Promise<UpgradeResult>
  /** For saying what is wanted; 5 s by default. */
  readonly requestTimeoutMs?: number
}

export class UpgradeDoor {
  readonly #options: UpgradeDoorOptions
  readonly #server: Server

  constructor(options: UpgradeDoorOptions) {
    this.#options = options
    this.#server = createServer({ allowHalfOpen: true }, socket => this.#serve(socket))
    this.#server.maxConnections = MAX_CONNECTIONS
    this.#server.on('error', error => {
      options.logger.error({ err: error }, 'amt proxy --upgrade cannot reach this proxy')
    })
  }

  /** Only who has the lock of the folder may: what stands there is of a process that is gone. */
  open(): void {
    const { folder, logger } = this.#options
    const path = upgradeSocketOf(folder)
    if (path === undefined) {
      logger.warn({ folder }, 'amt proxy --upgrade cannot reach this proxy: the path is too long')
      return
    }
    try {
      rmSync(path, { force: true })
    } catch {
      // Then it cannot be listened at, and that is said.
    }
    listenInPrivate(this.#server, path)
  }

  /** Nobody comes in any more; who is in gets an answer. */
  close(): void {
    this.#server.close()
  }

  #serve(socket: Socket): void {
    let text = ''
    socket.setEncoding('utf8')
    const { requestTimeoutMs = REQUEST_TIMEOUT_MS } = this.#options
    const late = setTimeout(() => socket.destroy(), requestTimeoutMs)
    socket.on('error', () => {})
    socket.once('close', () => clearTimeout(late))
    socket.on('data', (chunk: string) => {
      text += chunk
      if (text.length > MAX_REQUEST_BYTES) socket.destroy()
      else if (text.endsWith('\n')) {
        socket.removeAllListeners('data')
        clearTimeout(late)
        void this.#answer(socket, text)
      }
    })
  }

  async #answer(socket: Socket, text: string): Promise<void> {
    const asked = request.safeParse(parseOrNothing(text))
    const result = asked.success
      ? await this.#options.upgrade(asked.data)
      : { ok: false, problems: ['this is no request for an upgrade'], exitCode: 1 }
    // Whoever has asked may keep its side open; this process has to end.
    socket.end(`${JSON.stringify(result)}\n`, () => socket.destroy())
  }
}

function parseOrNothing(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

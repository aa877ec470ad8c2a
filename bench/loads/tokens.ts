/** Calls with a token each, over connections that stay open, one after the other on each. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { WrongAnswer } from '../harness/answer.ts'

export interface CallerOptions {
  readonly port: number
  /** Address that they come from. */
  readonly from: string
  readonly connections: number
}

export interface Outcome {
  /** How many answers had each status. */
  readonly statuses: ReadonlyMap<number, number>
  /** In milliseconds. */
  readonly p50: number
  readonly p99: number
}

export class TokenCaller {
  readonly #sockets: readonly Socket[]
  #stopped = false

  private constructor(sockets: readonly Socket[]) {
    this.#sockets = sockets
  }

  static async open({ port, from, connections }: CallerOptions): Promise<TokenCaller> {
    const sockets = Array.from({ length: connections }, () =>
      connect({ port, host: '127.0.0.1', localAddress: from, noDelay: true }),
    )
    await Promise.all(sockets.map(socket => once(socket, 'connect')))
    return new TokenCaller(sockets)
  }

  /** Throws a `WrongAnswer` where one is not `status`. */
  async send(tokens: readonly string[], status: number): Promise<Outcome> {
    const outcome = await this.#call(tokens, () => tokens.length)
    const right = outcome.statuses.get(status) ?? 0
    if (right !== tokens.length)
      throw new WrongAnswer(`${tokens.length - right} of ${tokens.length} calls were not ${status}`)
    return outcome
  }

  /** Goes round `tokens` until `stop`, so many calls a second if the proxy can. */
  sendUntilStopped(tokens: readonly string[], perSecond: number): Promise<Outcome> {
    const most = (sent: number): number => (this.#stopped ? sent : Number.POSITIVE_INFINITY)
    return this.#call(tokens, most, perSecond)
  }

  stop(): void {
    this.#stopped = true
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  async #call(
    tokens: readonly string[],
    most: (sent: number) => number,
    perSecond = Number.POSITIVE_INFINITY,
  ): Promise<Outcome> {
    const begun = performance.now()
    const statuses = new Map<number, number>()
    const times: number[] = []
    let sent = 0
    await Promise.all(
      this.#sockets.map(async socket => {
        while (sent < most(sent)) {
          const token = tokens[sent % tokens.length] ?? ''
          sent += 1
          const early = begun + (sent * 1_000) / perSecond - performance.now()
          if (early > 1) await sleep(early)
          const started = performance.now()
          const status = await callOnce(socket, token)
          times.push(performance.now() - started)
          statuses.set(status, (statuses.get(status) ?? 0) + 1)
        }
      }),
    )
    times.sort((a, b) => a - b)
    const at = (part: number): number => times[Math.floor((times.length - 1) * part)] ?? 0
    return { statuses, p50: at(0.5), p99: at(0.99) }
  }
}

async function callOnce(socket: Socket, token: string): Promise<number> {
  socket.write(`GET / HTTP/1.1\r\nhost: nobody.test\r\nauthorization: Bearer ${token}\r\n\r\n`)
  let text = ''
  for (;;) {
    const [chunk] = (await once(socket, 'data')) as [Buffer]
    text += chunk.toString('latin1')
    const end = text.indexOf('\r\n\r\n')
    if (end < 0) continue
    const length = Number(/\r\ncontent-length: (\d+)/i.exec(text)?.[1] ?? 0)
    if (text.length >= end + 4 + length) return Number(text.slice(9, 12))
  }
}

/** The two ends of an exchange, whoever carries it out. */
import type { Exchange, SeenAnswer, SeenRequest } from '../http2-exchanges.ts'

/** Who is there to be asked what `x-exchange` stands for. */
export type Lookup = (number: number) => Exchange

export interface ExchangeServer {
  readonly port: number
  /** What came for an exchange, once it is over; rejects where that takes too long. */
  seen(number: number): Promise<SeenRequest>
  close(): Promise<void>
}

/** One connection, or as many as it takes. */
export interface ExchangeClient {
  call(exchange: Exchange): Promise<SeenAnswer>
  close(): Promise<void>
}

const PATIENCE_MS = 8_000

/** What is said once, and asked for before or after. */
export class Board<Value> {
  readonly #said = new Map<number, Value>()
  readonly #asked = new Map<number, (value: Value) => void>()

  say(number: number, value: Value): void {
    if (this.#said.has(number)) return
    this.#said.set(number, value)
    this.#asked.get(number)?.(value)
  }

  ask(number: number, what: string): Promise<Value> {
    const said = this.#said.get(number)
    if (said !== undefined) return Promise.resolve(said)
    return inTime(
      `${what} of exchange ${number}`,
      new Promise(resolve => this.#asked.set(number, resolve)),
    )
  }
}

/** `promise`, or a rejection that names it. */
export async function inTime<Value>(what: string, promise: Promise<Value>): Promise<Value> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not in time`)), PATIENCE_MS)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

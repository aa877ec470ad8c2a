/** Reads the answers on a connection under load, and counts them where their deployment gave them. */
import { BodyDecoder } from '../cross-tenant/body-decoder.ts'
import type { Count, Counts } from './counts.ts'

/** A request that was written. */
interface Waiting {
  readonly count: Count
  readonly bytes: number
}

export class LoadAnswers {
  readonly #counts: Counts
  readonly #waiting: Waiting[] = []
  #input: Buffer = Buffer.alloc(0)
  /** Of the answer that is being read; none before its head is there. */
  #body: BodyDecoder | undefined
  /** Whether the deployment gave it. */
  #given = true
  /** Whether what comes is a stream. */
  #upgraded = false

  constructor(counts: Counts) {
    this.#counts = counts
  }

  /** Requests without a whole answer. */
  get missing(): number {
    return this.#waiting.length
  }

  get upgraded(): boolean {
    return this.#upgraded
  }

  expect(waiting: Waiting): void {
    this.#waiting.push(waiting)
  }

  take(chunk: Buffer): void {
    this.#input = this.#input.length === 0 ? chunk : Buffer.concat([this.#input, chunk])
    while (this.#input.length > 0) {
      const [first] = this.#waiting
      if (first === undefined)
        throw new Error(`nobody asked for ${this.#input.toString('latin1', 0, 200)}`)
      if (this.#upgraded) {
        this.#consume(first, this.#input.length)
        return
      }
      if (this.#body === undefined && !this.#readHead(first)) return
      if (this.#body === undefined) continue
      this.#consume(
        first,
        this.#body.read(this.#input, 0, () => {}),
      )
      if (this.#body.done) this.#complete(first)
    }
  }

  /** No more will come: counts what stands there of a head. */
  end(): void {
    const [first] = this.#waiting
    if (first !== undefined && /^HTTP\/1\.1 [12]/.test(this.#input.toString('latin1')))
      first.count.got += this.#input.length
    this.#input = Buffer.alloc(0)
  }

  /** False where more is needed. */
  #readHead(first: Waiting): boolean {
    const end = this.#input.indexOf('\r\n\r\n')
    if (end < 0) return false
    const head = this.#input.toString('latin1', 0, end + 2)
    const status = Number(head.slice(9, 12))
    this.#given = status === 101 || head.includes('\r\nx-deployment: yes\r\n')
    if (!this.#given) this.#counts.refuse(status)
    this.#consume(first, end + 4)
    if (status === 101) {
      this.#upgraded = true
      return true
    }
    const length = /\r\ncontent-length: (\d+)\r\n/.exec(head)?.[1]
    this.#body =
      length === undefined ? new BodyDecoder('chunked') : new BodyDecoder('length', Number(length))
    if (this.#body.done) this.#complete(first)
    return true
  }

  #consume({ count }: Waiting, bytes: number): void {
    if (this.#given) count.got += bytes
    this.#input = this.#input.subarray(bytes)
  }

  #complete({ count, bytes }: Waiting): void {
    this.#waiting.shift()
    this.#body = undefined
    if (!this.#given) return
    count.received++
    count.answered += bytes
  }
}

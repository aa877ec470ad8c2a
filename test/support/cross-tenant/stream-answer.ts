/** The answer to one call on a stream, held against its plan section by section and byte by byte. */
import type { Fields, FrameStream } from '../http2/frame-stream.ts'
import { errorCode, type Outcome } from './answer-reader.ts'
import { type CallPlan, describePlan } from './call-plan.ts'
import { MarkedBytes } from './marked-bytes.ts'
import { isTrailer } from './marked-stream.ts'

export class StreamAnswer {
  readonly #violation: (text: string) => void
  readonly #plan: CallPlan
  readonly #stream: FrameStream
  readonly #expected: MarkedBytes
  #hints = 0
  #status = 0
  /** Of an error of the proxy. */
  #error: string | undefined

  /** Before anything has come on `stream`. */
  constructor(plan: CallPlan, stream: FrameStream, violation: (text: string) => void) {
    this.#plan = plan
    this.#stream = stream
    this.#violation = violation
    this.#expected = new MarkedBytes(plan.tenant.marker, plan.nonce, 'answer')
    stream.onSection = fields => this.#section(fields)
    stream.onData = bytes => this.#data(bytes)
  }

  /** Resolves when the answer is whole, or no more of it can come. */
  async outcome(): Promise<Outcome> {
    const stream = this.#stream
    await stream.until(() => stream.remoteEnded || stream.over)
    return this.#conclude()
  }

  #section(fields: Fields): void {
    if (this.#status !== 0) {
      if (!isTrailer(fields, this.#plan)) this.#violate('the trailers of another', fields)
      return
    }
    const status = Number(fields[0]?.[0] === ':status' ? fields[0][1] : 0)
    if (status === 100) return
    if (fields.some(([name]) => name === 'x-marker')) this.#own(status, fields)
    else this.#ofProxy(status, fields)
  }

  #own(status: number, fields: Fields): void {
    const { plan } = { plan: this.#plan }
    const value = (name: string): string | undefined => fields.find(field => field[0] === name)?.[1]
    if (value('x-marker') !== plan.tenant.marker || value('x-nonce') !== plan.nonce)
      this.#violate('the answer of another call', fields)
    if (status === 103) {
      this.#hints++
      return
    }
    this.#status = status
    if (status !== plan.status) this.#violate(`${status} instead of ${plan.status}`, fields)
    // A call may be sent again, and its hints with it, where its deployment dies before the answer.
    const settled = plan.death === undefined && plan.operation !== 'outage' && !plan.turnedAway
    if (settled && this.#hints !== plan.hints)
      this.#violate(`${this.#hints} hints instead of ${plan.hints}`, fields)
  }

  #ofProxy(status: number, fields: Fields): void {
    this.#status = status
    this.#error = ''
    const isProblem = fields.some(
      ([name, value]) => name === 'content-type' && value === 'application/problem+json',
    )
    if (!isProblem) this.#violate('a head that is nobody’s', fields)
  }

  #data(bytes: Buffer): void {
    if (this.#error !== undefined) this.#error += bytes.toString('latin1')
    else if (!this.#expected.matches(bytes, 0, bytes.length))
      this.#violate('bytes of another', bytes.toString('latin1', 0, 200))
  }

  #conclude(): Outcome {
    const { remoteEnded, received } = this.#stream
    const [plan, status] = [this.#plan, this.#status]
    const outcome = { status, received, last: false, code: undefined }
    if (!remoteEnded) return { ...outcome, kind: 'cut' }
    if (this.#error === undefined) {
      this.#checkWhole()
      return { ...outcome, kind: 'answer' }
    }
    const code = errorCode(status, this.#error, plan.method === 'HEAD')
    if (code === undefined) this.#violate('an error that does not exist', this.#error)
    return { ...outcome, kind: 'error', code }
  }

  #checkWhole(): void {
    const plan = this.#plan
    const size = plan.method === 'HEAD' || plan.status === 204 ? 0 : plan.answer.size
    // A process that ends sends FIN: behind it a body that ends with its connection is whole, whatever was planned.
    const mayBeShort = plan.operation === 'outage' && plan.answer.framing === 'close'
    if (this.#expected.offset !== size && !mayBeShort)
      this.#violation(
        `a client gets ${this.#expected.offset} bytes instead of ${size}: ${describePlan(plan)}`,
      )
    if (plan.answerTrailers && this.#stream.trailers === undefined)
      this.#violation(`a client gets no trailers: ${describePlan(plan)}`)
  }

  #violate(what: string, seen: unknown): void {
    const { tenant, nonce } = this.#plan
    this.#violation(`a client of ${tenant.id} gets to ${nonce} ${what}: ${JSON.stringify(seen)}`)
  }
}

/** Reads what a client gets, byte by byte against the plans of its calls, which are answered in their order. */
import { ERRORS, type ErrorCode, problem } from '../../../src/core/errors.ts'
import { BodyDecoder } from './body-decoder.ts'
import { type CallPlan, describePlan } from './call-plan.ts'
import { MarkedBytes } from './marked-bytes.ts'

/** How a call ended for its client. */
export interface Outcome {
  /** The planned answer, whole; an error of the proxy; or less than either, as the connection ended. */
  readonly kind: 'answer' | 'error' | 'cut'
  /** 0 where no head came. */
  readonly status: number
  readonly code: ErrorCode | undefined
  /** Bytes that came for this call, as they were on the wire. */
  readonly received: number
  /** Whether the proxy has said that it is the last call of the connection. */
  readonly last: boolean
}

interface Expectation {
  readonly plan: CallPlan
  readonly end: (outcome: Outcome) => void
  readonly upgraded: (() => void) | undefined
  readonly interim: (() => void) | undefined
  readonly streamed: (() => void) | undefined
  received: number
  hints: number
  status: number
  last: boolean
  /** Of an error of the proxy. */
  error: string | undefined
}

export class AnswerReader {
  readonly #violation: (text: string) => void
  readonly #queue: Expectation[] = []
  #state: 'head' | 'body' | 'stream' = 'head'
  #input: Buffer = Buffer.alloc(0)
  #body = new BodyDecoder('none')
  #expected: MarkedBytes | undefined
  #untilClose = false

  constructor(violation: (text: string) => void) {
    this.#violation = violation
  }

  /** What is waited for, for the message that it never came. */
  describe(): string {
    const waiting = this.#queue.map(
      ({ plan, status, received }) => `${describePlan(plan)} has ${status}, ${received} bytes`,
    )
    return `${this.#state}: ${waiting.join('; ')}`
  }

  /** Bytes that came for the call that is answered now. */
  get receivedOfFirst(): number {
    return this.#queue[0]?.received ?? 0
  }

  /**
   * Expects the answer to `plan` behind all others. `interim` is called with each 100, `upgraded` with 101, `streamed`
   * when all of a stream is there.
   */
  expect(
    plan: CallPlan,
    calls: { interim?: () => void; upgraded?: () => void; streamed?: () => void } = {},
  ): Promise<Outcome> {
    const { promise, resolve: end } = Promise.withResolvers<Outcome>()
    this.#queue.push({
      plan,
      end,
      upgraded: calls.upgraded,
      interim: calls.interim,
      streamed: calls.streamed,
      received: 0,
      hints: 0,
      status: 0,
      last: false,
      error: undefined,
    })
    return promise
  }

  /** A tunnel: there is no head, all is stream. */
  expectStream(plan: CallPlan, streamed: () => void): Promise<Outcome> {
    const outcome = this.expect(plan, { streamed })
    this.#beginStream(plan)
    return outcome
  }

  take(chunk: Buffer): void {
    this.#input = this.#input.length === 0 ? chunk : Buffer.concat([this.#input, chunk])
    while (this.#input.length > 0) {
      const [first] = this.#queue
      if (first === undefined) {
        this.#violation(`a client gets what nobody asked for: ${show(this.#input)}`)
        this.#input = Buffer.alloc(0)
        return
      }
      if (this.#state === 'head' && !this.#readHead(first)) return
      if (this.#state !== 'head' && this.#input.length > 0) this.#readBody(first)
    }
  }

  /** No more will come. `clean`: with a FIN, so that it can be the end of a body. */
  end(clean: boolean): void {
    const [first] = this.#queue
    if (first !== undefined && this.#state === 'head') first.received += this.#input.length
    this.#input = Buffer.alloc(0)
    if (clean && first !== undefined && this.#state === 'body' && this.#untilClose)
      this.#complete(first)
    if (clean && first !== undefined && this.#state === 'stream') {
      const whole = this.#expected?.offset === first.plan.stream?.fromDeployment
      this.#end(first, whole ? 'answer' : 'cut')
    }
    let waiting = this.#queue[0]
    while (waiting !== undefined) {
      this.#end(waiting, 'cut')
      waiting = this.#queue[0]
    }
  }

  /** False where more is needed. */
  #readHead(first: Expectation): boolean {
    const end = this.#input.indexOf('\r\n\r\n')
    if (end < 0) return false
    const head = this.#input.toString('latin1', 0, end + 2)
    this.#input = this.#input.subarray(end + 4)
    first.received += end + 4
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1] ?? 0)
    if (!head.includes('\r\nx-marker:') && status !== 100) {
      this.#beginError(first, status, head)
      return true
    }
    const { tenant, nonce } = first.plan
    if (
      status !== 100 &&
      (!head.includes(`\r\nx-marker: ${tenant.marker}\r\n`) ||
        !head.includes(`\r\nx-nonce: ${nonce}\r\n`))
    )
      this.#violation(
        `a client of ${tenant.id} gets to ${nonce} the answer of another call: ${head}`,
      )
    if (status === 100 || status === 103) {
      if (status === 103) first.hints++
      else first.interim?.()
      return true
    }
    this.#checkHead(first, status, head)
    return true
  }

  #checkHead(first: Expectation, status: number, head: string): void {
    const { plan } = first
    const planned = plan.stream === undefined ? plan.status : 101
    if (status !== planned)
      this.#violation(`a client gets ${status} to ${plan.nonce} instead of ${planned}`)
    // A call may be sent again, and its hints with it, where its deployment dies before the answer.
    if (
      plan.minor === 1 &&
      plan.death === undefined &&
      plan.operation !== 'outage' &&
      first.hints !== plan.hints
    )
      this.#violation(
        `a client gets ${first.hints} hints to ${plan.nonce} instead of ${plan.hints}`,
      )
    first.status = status
    first.last = /\r\nconnection: close\r\n/.test(head)
    if (plan.stream !== undefined) {
      this.#beginStream(plan)
      first.upgraded?.()
      if (plan.stream.fromDeployment === 0) first.streamed?.()
      return
    }
    this.#expected = new MarkedBytes(plan.tenant.marker, plan.nonce, 'answer')
    this.#beginBody(head, plan.method === 'HEAD' || status === 204)
    if (this.#body.done) this.#complete(first)
  }

  #beginStream(plan: CallPlan): void {
    this.#state = 'stream'
    this.#expected = new MarkedBytes(plan.tenant.marker, plan.nonce, 'answer')
  }

  #beginBody(head: string, bodiless: boolean): void {
    const length = /\r\ncontent-length: (\d+)\r\n/.exec(head)?.[1]
    const chunked = /\r\ntransfer-encoding: chunked\r\n/.test(head)
    this.#state = 'body'
    this.#untilClose = !bodiless && length === undefined && !chunked
    this.#body = bodiless
      ? new BodyDecoder('none')
      : length === undefined
        ? new BodyDecoder(chunked ? 'chunked' : 'close')
        : new BodyDecoder('length', Number(length))
  }

  #beginError(first: Expectation, status: number, head: string): void {
    if (!head.includes('\r\ncontent-type: application/problem+json\r\n'))
      this.#violation(`a client gets to ${first.plan.nonce} a head that is nobody’s: ${head}`)
    first.status = status
    first.last = /\r\nconnection: close\r\n/.test(head)
    first.error = ''
    this.#beginBody(head, first.plan.method === 'HEAD')
    if (this.#body.done) this.#complete(first)
  }

  #readBody(first: Expectation): void {
    const input = this.#input
    if (this.#state === 'stream') {
      first.received += input.length
      this.#check(first, input, 0, input.length)
      this.#input = Buffer.alloc(0)
      if (this.#expected?.offset === first.plan.stream?.fromDeployment) first.streamed?.()
      return
    }
    try {
      const at = this.#body.read(input, 0, (bytes, start, end) =>
        this.#check(first, bytes, start, end),
      )
      first.received += at
      this.#input = input.subarray(at)
    } catch (error) {
      this.#violation(`a client gets to ${first.plan.nonce} a malformed body: ${String(error)}`)
      this.#input = Buffer.alloc(0)
    }
    if (this.#body.done) this.#complete(first)
  }

  #check(first: Expectation, bytes: Buffer, start: number, end: number): void {
    if (first.error !== undefined) {
      first.error += bytes.toString('latin1', start, end)
      return
    }
    if (this.#expected?.matches(bytes, start, end) === true) return
    this.#violation(
      `a client of ${first.plan.tenant.id} gets to ${first.plan.nonce} bytes of another: ${show(bytes.subarray(start, end))}`,
    )
  }

  #complete(first: Expectation): void {
    const { plan, error } = first
    if (error === undefined) {
      const size = plan.method === 'HEAD' || plan.status === 204 ? 0 : plan.answer.size
      const got = this.#expected?.offset
      // A process that ends sends FIN: behind it a body that ends with its connection is whole, whatever was planned.
      const mayBeShort = plan.operation === 'outage' && plan.answer.framing === 'close'
      if (got !== size && !mayBeShort)
        this.#violation(`a client gets ${got} bytes instead of ${size}: ${describePlan(plan)}`)
    }
    this.#end(first, error === undefined ? 'answer' : 'error')
  }

  #end(expectation: Expectation, kind: Outcome['kind']): void {
    this.#queue.shift()
    this.#state = 'head'
    const { status, received, last, error, plan } = expectation
    const code =
      kind === 'error' ? errorCode(status, error ?? '', plan.method === 'HEAD') : undefined
    if (kind === 'error' && code === undefined)
      this.#violation(`a client gets ${status} to ${plan.nonce} with ${error}`)
    expectation.end({ kind, status, code, received, last })
  }
}

/** The code whose problem details these are, to the byte; with HEAD the first one of that status. */
export function errorCode(status: number, body: string, bodiless: boolean): ErrorCode | undefined {
  const codes = Object.keys(ERRORS) as ErrorCode[]
  return codes.find(code => ERRORS[code].http === status && (bodiless || body === problem(code)))
}

function show(bytes: Buffer): string {
  return JSON.stringify(bytes.toString('latin1', 0, 200))
}

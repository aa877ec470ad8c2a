/**
 * A payment system as small as can be: it takes CloudEvents on `/events` and Stripe's meter events on
 * `/v1/billing/meter_events`, knows ids again, sums values, and behaves as badly as a test tells it to.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'

/** What happens to a request: `after` means that its events were taken all the same. */
export type Fault =
  | 'none'
  | 'drop before'
  | 'drop after'
  | 'stall after'
  | '500 before'
  | '500 after'
  | '429 before'
  | 'half, then 400'
  | 'half, then 500'

export const FAULTS: readonly Fault[] = [
  'none',
  'drop before',
  'drop after',
  'stall after',
  '500 before',
  '500 after',
  '429 before',
  'half, then 400',
  'half, then 500',
]

export interface TakenEvent {
  readonly id: string
  readonly tenant: string
  readonly name: string
  readonly operation: string
  /** Milliseconds since the epoch. */
  readonly time: number
  readonly value: bigint
}

export class SinkServer {
  readonly url: string
  /** By id: each once, however often it came. */
  readonly taken = new Map<string, TakenEvent>()
  /** Ids that came again with something else in them. Must stay empty. */
  readonly contradictions: string[] = []
  readonly requests: {
    readonly headers: IncomingMessage['headers']
    readonly body: string
    readonly path: string
  }[] = []
  /** Called for each request. */
  fault: () => Fault = () => 'none'
  /** Answers 400 to a request with an event that this is true of. */
  refuses: (event: TakenEvent) => boolean = () => false
  /** Answers this to every request and takes nothing. */
  answer:
    | { readonly status: number; readonly headers?: Record<string, string>; readonly body?: string }
    | undefined

  constructor(url: string) {
    this.url = url
  }

  /** Sums by what `key` makes of an event. */
  sums(key: (event: TakenEvent) => string): Record<string, bigint> {
    const sums: Record<string, bigint> = {}
    for (const event of this.taken.values()) {
      const at = key(event)
      sums[at] = (sums[at] ?? 0n) + event.value
    }
    return sums
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request)
    const path = request.url ?? ''
    this.requests.push({ headers: request.headers, body, path })
    if (this.answer !== undefined) {
      const { status, headers, body: answer } = this.answer
      response.writeHead(status, headers).end(answer)
      return
    }
    const stripe = path.endsWith('/meter_events')
    const events = stripe ? [meterEvent(body)] : cloudEvents(body)
    this.#behave(this.fault(), events, response, stripe)
  }

  #behave(
    fault: Fault,
    events: readonly TakenEvent[],
    response: ServerResponse,
    stripe: boolean,
  ): void {
    if (fault === 'drop before') {
      response.destroy()
      return
    }
    if (fault === '500 before') {
      response.writeHead(500).end('broken')
      return
    }
    if (fault === '429 before') {
      response.writeHead(429, { 'retry-after': '7' }).end()
      return
    }
    if (fault.startsWith('half')) {
      // A batch of one has no half, and what answers 400 to a single event does not take it.
      if (events.length > 1) for (const event of events.slice(events.length >> 1)) this.#take(event)
      response.writeHead(events.length === 1 || fault.endsWith('500') ? 500 : 400).end('partly')
      return
    }
    if (events.some(event => this.refuses(event))) {
      response.writeHead(400, { 'content-type': 'application/json' })
      response.end(
        JSON.stringify({ error: { code: 'parameter_invalid', message: 'no such thing' } }),
      )
      return
    }
    const known = events.map(event => this.#take(event))
    if (fault === 'drop after') response.destroy()
    else if (fault === '500 after') response.writeHead(500).end()
    else if (fault === 'stall after') return
    else if (stripe && known[0]) {
      response.writeHead(400, { 'content-type': 'application/json' })
      response.end(
        JSON.stringify({ error: { code: 'duplicate_meter_event', message: 'it was submitted' } }),
      )
    } else response.writeHead(stripe ? 200 : 204).end()
  }

  /** Whether it was known. */
  #take(event: TakenEvent): boolean {
    const known = this.taken.get(event.id)
    if (known === undefined) this.taken.set(event.id, event)
    else if (signature(known) !== signature(event)) this.contradictions.push(event.id)
    return known !== undefined
  }
}

function signature({ value, ...event }: TakenEvent): string {
  return JSON.stringify({ ...event, value: String(value) })
}

function cloudEvents(body: string): TakenEvent[] {
  const parsed = JSON.parse(body) as CloudEvent | CloudEvent[]
  return [parsed].flat().map(({ id, subject, type, time, data }) => ({
    id,
    tenant: subject,
    name: type,
    operation: data.operation ?? '',
    time: Date.parse(time),
    value: BigInt(data.value),
  }))
}

interface CloudEvent {
  readonly id: string
  readonly subject: string
  readonly type: string
  readonly time: string
  readonly data: { readonly value: number | string; readonly operation?: string }
}

function meterEvent(body: string): TakenEvent {
  const form = new URLSearchParams(body)
  return {
    id: form.get('identifier') ?? '',
    tenant: form.get('payload[stripe_customer_id]') ?? '',
    name: form.get('event_name') ?? '',
    operation: '',
    time: Number(form.get('timestamp')) * 1_000,
    value: BigInt(form.get('payload[value]') ?? ''),
  }
}

/** On a free loopback port until the test ends. */
export async function startSinkServer(t: Test): Promise<SinkServer> {
  let sink: SinkServer | undefined
  const server = createServer((request, response) => {
    // A client that gave up is not a failure of the test.
    sink?.serve(request, response).catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  sink = new SinkServer(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  return sink
}

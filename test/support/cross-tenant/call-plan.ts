/**
 * What a call is going to be, decided before it is made: its client writes what the plan says, its deployment answers
 * what the plan says, and both hold what they get against it.
 */
import type { SeededRandom } from '../seeded-random.ts'
import { type BodyFraming, chunked } from './body-decoder.ts'
import { MarkedBytes } from './marked-bytes.ts'
import type { TenantFixture } from './tenants.ts'

/**
 * How a call ends, and the first segment of its path, so that the ledger has an operation for each: whole; whole after an
 * upgrade; by the death of its deployment; by its client; in an outage of the deployment; refused, so that no deployment
 * may ever see it.
 */
export const OPERATIONS = ['normal', 'upgraded', 'dying', 'aborted', 'outage', 'refused'] as const
export type Operation = (typeof OPERATIONS)[number]

export interface BodyPlan {
  readonly framing: BodyFraming
  readonly size: number
  /** Bytes in a chunk. */
  readonly chunk: number
}

export interface Death {
  /** As soon as the head of the request is there, or at that part of the answer (0 … 1, never all of it). */
  readonly when: 'head' | number
  readonly how: 'reset' | 'end'
}

/** Bytes of either side, and whether it ends behind its own last byte or when the other one has said all. */
export interface StreamPlan {
  readonly fromClient: number
  readonly fromDeployment: number
  readonly clientEnds: 'at once' | 'last'
  readonly deploymentEnds: 'at once' | 'last'
}

export interface CallPlan {
  readonly nonce: string
  readonly tenant: TenantFixture
  readonly operation: Operation
  readonly method: string
  /** Of HTTP/1.x. */
  readonly minor: 0 | 1
  readonly body: BodyPlan
  readonly expectsContinue: boolean
  /** Behind the body stands a field that says whose it is; only where nothing else says where it ends. */
  readonly trailers: boolean
  readonly status: number
  readonly answer: BodyPlan
  readonly answerTrailers: boolean
  /** 103 before the answer, so many times. */
  readonly hints: number
  /** Pieces in which the answer is written, a turn apart. */
  readonly pieces: number
  readonly death: Death | undefined
  /** What follows an upgrade, or is all there is in a tunnel. */
  readonly stream: StreamPlan | undefined
  /** What became of it at its deployment. */
  seen: boolean
  bodySeen: number
  answerSent: number
  /** Its deployment has said that it did not look at it, once or more often: then it may have been sent again, or not. */
  turnedAway: boolean
  /** Of the farewells of its tenant's deployments, those whose connections were closed when it was planned: it met none of them. */
  readonly farewellsOver: number
  /** Called when the connection of a stream is closed there. */
  streamClosed: (() => void) | undefined
}

const NO_BODY: BodyPlan = { framing: 'none', size: 0, chunk: 0 }

export type PlanChanges = Partial<
  Pick<
    CallPlan,
    | 'method'
    | 'minor'
    | 'body'
    | 'expectsContinue'
    | 'trailers'
    | 'answer'
    | 'answerTrailers'
    | 'status'
    | 'death'
    | 'stream'
  >
>

/** A call of any kind for `tenant`; `changes` are settled already. */
export function planCall(
  random: SeededRandom,
  id: { nonce: string; tenant: TenantFixture; operation: Operation },
  changes: PlanChanges = {},
): CallPlan {
  const method =
    changes.method ?? random.weighted({ GET: 40, POST: 35, PUT: 8, HEAD: 9, DELETE: 8 })
  const withBody = method === 'POST' || method === 'PUT'
  const minor = changes.minor ?? 1
  const bodiless = method !== 'HEAD' && random.chance(0.06)
  return {
    ...id,
    method,
    minor,
    body: withBody ? planBody(random, minor === 0 ? ['length'] : ['length', 'chunked']) : NO_BODY,
    expectsContinue: false,
    trailers: false,
    status: bodiless ? 204 : random.pick([200, 200, 200, 201, 404, 500]),
    answer: bodiless ? NO_BODY : planBody(random, ['length', 'length', 'chunked', 'close']),
    answerTrailers: false,
    hints: random.chance(0.05) ? random.between(1, 3) : 0,
    pieces: random.chance(0.1) ? random.between(2, 5) : 1,
    death: undefined,
    stream: undefined,
    ...changes,
    seen: false,
    bodySeen: 0,
    answerSent: 0,
    turnedAway: false,
    farewellsOver: id.tenant.farewellsOver,
    streamClosed: undefined,
  }
}

function planBody(random: SeededRandom, framings: readonly BodyFraming[]): BodyPlan {
  return {
    framing: random.pick(framings),
    size: randomSize(random),
    chunk: random.pick([random.between(1, 40), 64, 1_000, 9_000, 30_000, 100_000]),
  }
}

/** 0 bytes to 200 KB, mostly few. */
export function randomSize(random: SeededRandom): number {
  const most = Number(random.weighted({ 0: 15, 60: 25, 600: 35, 8_000: 19, 50_000: 5, 200_000: 1 }))
  return random.between(0, most)
}

/** Head and body as the client writes them; `host` and `credentials` (whole lines) say whose it is. */
export function requestOf(
  plan: CallPlan,
  { host, credentials }: { host: string; credentials: string },
): { head: Buffer; body: Buffer } {
  const { body, tenant } = plan
  const data = new MarkedBytes(tenant.marker, plan.nonce, 'request').next(body.size)
  const framing =
    body.framing === 'chunked'
      ? 'transfer-encoding: chunked\r\n'
      : body.framing === 'length'
        ? `content-length: ${body.size}\r\n`
        : ''
  const options =
    (plan.stream === undefined ? '' : 'connection: upgrade\r\nupgrade: marked\r\n') +
    (plan.expectsContinue ? 'expect: 100-continue\r\n' : '')
  return {
    head: Buffer.from(
      `${plan.method} /${plan.operation}/${plan.nonce} HTTP/1.${plan.minor}\r\nhost: ${host}\r\n${credentials}` +
        `x-marker: ${tenant.marker}\r\n${framing}${options}\r\n`,
      'latin1',
    ),
    body: body.framing === 'chunked' ? chunked(data, Math.max(1, body.chunk)) : data,
  }
}

/** The trailer of a message of this call. */
export function trailerOf({ tenant, nonce }: CallPlan): readonly [name: string, value: string] {
  return ['x-trailer', `${tenant.marker}.${nonce}`]
}

/** All that the deployment answers, interim answers too; of an upgrade only what comes before the stream. */
export function answerOf(plan: CallPlan): Buffer {
  const { answer, tenant, nonce } = plan
  const identity = `x-marker: ${tenant.marker}\r\nx-nonce: ${nonce}\r\n`
  const hints = `HTTP/1.1 103 Early Hints\r\n${identity}\r\n`.repeat(plan.hints)
  if (plan.stream !== undefined) {
    return Buffer.from(
      `${hints}HTTP/1.1 101 Switching Protocols\r\n${identity}connection: upgrade\r\nupgrade: marked\r\n\r\n`,
    )
  }
  const framing = {
    none: '',
    length: `content-length: ${answer.size}\r\n`,
    chunked: 'transfer-encoding: chunked\r\n',
    close: 'connection: close\r\n',
  }[answer.framing]
  const head = Buffer.from(`${hints}HTTP/1.1 ${plan.status} Any\r\n${identity}${framing}\r\n`)
  if (plan.method === 'HEAD' || answer.framing === 'none') return head
  const data = new MarkedBytes(tenant.marker, nonce, 'answer').next(answer.size)
  const trailers = plan.answerTrailers ? `${trailerOf(plan).join(': ')}\r\n` : ''
  return Buffer.concat([
    head,
    answer.framing === 'chunked' ? chunked(data, Math.max(1, answer.chunk), trailers) : data,
  ])
}

export function planStream(random: SeededRandom): StreamPlan {
  return {
    fromClient: randomSize(random),
    fromDeployment: randomSize(random),
    clientEnds: random.pick(['at once', 'last']),
    deploymentEnds: random.pick(['at once', 'last']),
  }
}

/** All that the client sends of a stream. */
export function streamBytes(plan: CallPlan): Buffer {
  const marked = new MarkedBytes(plan.tenant.marker, plan.nonce, 'request')
  return marked.next(plan.stream?.fromClient ?? 0)
}

/** For the message that something is wrong with it. */
export function describePlan(plan: CallPlan): string {
  return JSON.stringify({ ...plan, tenant: plan.tenant.id })
}

/**
 * The judge of a proxy that meets a case: what the case says, and what must hold whatever it says. Nothing that breaks a
 * rule reaches a deployment or a client, a refused message leaves nothing behind, the connection goes on or ends as it
 * was said, and the next client gets its own answer.
 */
import { bytesOf, type Http1Case } from './http1-cases.ts'
import {
  afterwards,
  isRefusal,
  type Outcome,
  readAnswers,
  refusalFaults,
  verdict,
  wasRefusedInBody,
} from './http1-verdict.ts'
import {
  type RawExchange,
  type RawExchangeOptions,
  type RecordingDeployment,
  rawExchange,
} from './raw-peer.ts'
import { type StrictAnswer, valuesOf } from './strict-http1.ts'

/** How long a connection must be silent before its message counts as waited for. */
const QUIET_MS = 25
/** A case that has no outcome by then has failed; on an idle machine all take a few milliseconds. */
const DEADLINE_MS = 5_000

/**
 * Sends one case to the proxy on `port`, which forwards to `deployment`, and forgets what was recorded there before.
 * @returns what is wrong, empty if all is well. Cases must run one after another.
 */
export async function runCase(
  testCase: Http1Case,
  port: number,
  deployment: RecordingDeployment,
): Promise<string[]> {
  deployment.forget()
  const bytes = bytesOf(testCase)
  const answersOf = (received: Buffer, closed: boolean): StrictAnswer[] | string =>
    readAnswers(received, closed, [
      firstMethod(bytes),
      ...deployment.requests.slice(1).map(r => r.method),
    ])
  const exchange = await rawExchange({
    port,
    segments: [bytes],
    deadlineMs: DEADLINE_MS,
    ...endOf(testCase, received => answersOf(received, false), deployment),
  })
  const answers = answersOf(exchange.received(), exchange.closed)
  const last = typeof answers === 'string' ? undefined : answers.at(-1)
  if (last !== undefined && isRefusal(last)) await exchange.waitFor(() => false, DEADLINE_MS)
  const arrived = deployment.requests.slice()
  // The next clients: one on this connection if it goes on, one while it may be open, one after it is gone.
  const problems =
    testCase.expect === 'accept' ? await afterAnswers(exchange, bytes, answers, deployment) : []
  const { closed } = exchange
  problems.push(...(await probe(port, deployment)))
  exchange.close()
  if (!closed) problems.push(...(await probe(port, deployment)))

  if (!(await nothingUnfinished(deployment)))
    problems.push('the deployment is left with a part of a request')
  for (const rule of deployment.violations)
    problems.push(`the deployment got what breaks a rule: ${rule}`)
  if (typeof answers === 'string')
    return [...problems, `the client got what breaks a rule: ${answers}`]
  if (arrived.length > answers.length)
    problems.push(`${arrived.length} requests arrived, ${answers.length} answers came back`)
  const outcome: Outcome = { arrived, answers, closed }
  return [
    ...problems,
    ...verdict(testCase, outcome),
    ...refusalFaults(outcome),
    ...leftBehind(outcome, deployment),
  ]
}

/** When the exchange of a case is over: as soon as its outcome is known, else when all is quiet. */
function endOf(
  { expect, n }: Http1Case,
  answersOf: (received: Buffer) => StrictAnswer[] | string,
  deployment: RecordingDeployment,
): Pick<RawExchangeOptions, 'until' | 'quietMs' | 'awaits'> {
  // On a machine that is busy an answer may be under way for longer than it is quiet.
  const awaits = (received: Buffer): boolean => {
    const answers = answersOf(received)
    return typeof answers !== 'string' && answers.length < deployment.requests.length
  }
  if (expect === 'wait' || expect === 'safe') return { quietMs: QUIET_MS, awaits }
  return {
    until: received => {
      const answers = answersOf(received)
      if (typeof answers === 'string' || answers.some(isRefusal)) return true
      return expect === 'accept' && answers.length >= n
    },
  }
}

/** Of a message whose head is refused, not one byte goes to the deployment. */
function leftBehind({ answers }: Outcome, { connections }: RecordingDeployment): string[] {
  if (!answers.some(isRefusal) || wasRefusedInBody(answers)) return []
  return connections.every(({ unread }) => unread === 0)
    ? []
    : ['the deployment saw something of a refused message']
}

/** Whether each connection on which half a request stands was closed, or is soon. */
async function nothingUnfinished({ connections }: RecordingDeployment): Promise<boolean> {
  const deadline = performance.now() + DEADLINE_MS
  const unfinished = (): boolean => connections.some(({ open, unread }) => open && unread > 0)
  while (unfinished() && performance.now() < deadline)
    await new Promise(resolve => setImmediate(resolve))
  return !unfinished()
}

const PROBE = '/conformance-probe/'
let probes = 0

function probeRequest(): { target: string; bytes: Buffer } {
  const target = `${PROBE}${++probes}`
  return { target, bytes: Buffer.from(`GET ${target} HTTP/1.1\r\nHost: probe.example\r\n\r\n`) }
}

/** A client on a fresh connection must get the answer to its own request. */
async function probe(port: number, deployment: RecordingDeployment): Promise<string[]> {
  const { target, bytes } = probeRequest()
  const read = (received: Buffer, closed: boolean): StrictAnswer[] | string =>
    readAnswers(received, closed, ['GET'])
  const exchange = await rawExchange({
    port,
    segments: [bytes],
    deadlineMs: DEADLINE_MS,
    until: received => read(received, false).length > 0,
  })
  exchange.close()
  const answers = read(exchange.received(), exchange.ended === 'closed')
  return ownAnswer('the next client', target, answers, deployment)
}

/** Behind the answers to all of `bytes` the connection takes another call or ends, as the requests said. */
async function afterAnswers(
  exchange: RawExchange,
  bytes: Buffer,
  answers: StrictAnswer[] | string,
  deployment: RecordingDeployment,
): Promise<string[]> {
  const wanted = afterwards(bytes)
  if (wanted === 'unknown' || typeof answers === 'string' || answers.some(isRefusal)) return []
  if (wanted === 'closed')
    return (await exchange.waitFor(() => exchange.closed, DEADLINE_MS))
      ? []
      : ['kept open instead of closed']
  if (exchange.closed) return ['closed instead of kept open']
  const before = exchange.received().length
  const { target, bytes: next } = probeRequest()
  const read = (received: Buffer): StrictAnswer[] | string =>
    readAnswers(received.subarray(before), exchange.closed, ['GET'])
  exchange.send(next)
  await exchange.waitFor(received => read(received).length > 0, DEADLINE_MS)
  return ownAnswer('the next call', target, read(exchange.received()), deployment)
}

function ownAnswer(
  who: string,
  target: string,
  answers: StrictAnswer[] | string,
  deployment: RecordingDeployment,
): string[] {
  if (typeof answers === 'string') return [`${who} got what breaks a rule: ${answers}`]
  const serial = deployment.requests.findLast(request => request.target === target)?.serial
  const [first, ...more] = answers
  if (first === undefined) return [`${who} got no answer`]
  if (serial === undefined) return [`the request of ${who} did not arrive (${first.status})`]
  const own = first.status === 200 && valuesOf(first.fields, 'x-serial').join() === String(serial)
  return own && more.length === 0 && first.body.toString() === `answer ${serial}\n`
    ? []
    : [`${who} got another answer than its own (${first.status})`]
}

function firstMethod(bytes: Buffer): string | undefined {
  return /^\s*([A-Z]+) /.exec(bytes.toString('latin1', 0, 20))?.[1]
}

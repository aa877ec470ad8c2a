/** The judge of a proxy that meets a case: what the case says, and three things that must hold whatever it says. */
import { bytesOf, type Http1Case } from './http1-cases.ts'
import { type RecordedRequest, type RecordingDeployment, rawExchange } from './raw-peer.ts'
import { readStrictAnswer, type StrictAnswer, valuesOf } from './strict-http1.ts'

/** How long a connection must be silent before its message counts as waited for. */
const QUIET_MS = 25
/** A case that has no outcome by then has failed; on an idle machine all take a few milliseconds. */
const DEADLINE_MS = 1_000

/**
 * Sends one case to the proxy on `port`, which forwards to `deployment`.
 * @returns what is wrong, empty if all is well. Cases must run one after another.
 */
export async function runCase(
  testCase: Http1Case,
  port: number,
  deployment: RecordingDeployment,
): Promise<string[]> {
  const before = { requests: deployment.requests.length, violations: deployment.violations.length }
  const bytes = bytesOf(testCase)
  const answersOf = (received: Buffer, closed: boolean): StrictAnswer[] | string =>
    readAnswers(received, closed, [
      firstMethod(bytes),
      ...deployment.requests.slice(before.requests + 1).map(r => r.method),
    ])
  const exchange = await rawExchange({
    port,
    segments: [bytes],
    deadlineMs: DEADLINE_MS,
    ...endOf(testCase, received => answersOf(received, false)),
  })
  const problems: string[] = []
  // The next clients: one while the connection of the case may be open, one after it is gone.
  const probes = [await probe(port, deployment)]
  exchange.close()
  if (exchange.ended !== 'closed') probes.push(await probe(port, deployment))
  for (const problem of probes) if (problem !== undefined) problems.push(problem)

  const arrived = deployment.requests
    .slice(before.requests)
    .filter(request => !request.target.startsWith(PROBE))
  const answers = answersOf(exchange.received(), exchange.ended === 'closed')
  for (const rule of deployment.violations.slice(before.violations)) {
    problems.push(`the deployment got what breaks a rule: ${rule}`)
  }
  if (typeof answers === 'string')
    return [...problems, `the client got what breaks a rule: ${answers}`]
  if (arrived.length > answers.length) {
    problems.push(`${arrived.length} requests arrived, ${answers.length} answers came back`)
  }
  const closed = exchange.ended === 'closed'
  return [...problems, ...verdict(testCase, arrived, answers, closed)]
}

/** When the exchange of a case is over: as soon as its outcome is known, else when all is quiet. */
function endOf(
  { expect, n }: Http1Case,
  answersOf: (received: Buffer) => StrictAnswer[] | string,
): { until?: (received: Buffer) => boolean; quietMs?: number } {
  if (expect === 'wait' || expect === 'safe') return { quietMs: QUIET_MS }
  return {
    until: received => {
      const answers = answersOf(received)
      if (typeof answers === 'string' || answers.some(({ status }) => status >= 400)) return true
      return expect === 'accept' && answers.length >= n
    },
  }
}

function verdict(
  { expect, n, requests = [] }: Http1Case,
  arrived: readonly RecordedRequest[],
  answers: readonly StrictAnswer[],
  closed: boolean,
): string[] {
  const statuses = answers.map(answer => answer.status).join(' ') || 'no answer'
  const refused = answers.some(({ status }) => status >= 400)
  switch (expect) {
    case 'safe':
      return []
    case 'wait':
      if (arrived.length > n)
        return [`${arrived.length} requests arrived instead of ${n} and a wait`]
      return refused ? [`refused (${statuses}) instead of waited for`] : []
    case 'reject':
      if (arrived.length > n)
        return [`${arrived.length} requests arrived, refused should be all but ${n}`]
      return refused || closed ? [] : [`neither refused nor closed (${statuses})`]
    case 'accept':
      if (arrived.length !== n)
        return [`${arrived.length} requests arrived instead of ${n} (${statuses})`]
      if (refused && answers.length <= n) return [`answered with ${statuses}`]
      return requests.flatMap((wanted, index) => difference(wanted, arrived[index]))
  }
}

function difference(
  wanted: { readonly method: string; readonly target: string; readonly body?: string },
  got: RecordedRequest | undefined,
): string[] {
  if (got === undefined) return ['a request is missing']
  const problems: string[] = []
  if (got.method !== wanted.method)
    problems.push(`method ${got.method} instead of ${wanted.method}`)
  if (got.target !== wanted.target && got.target !== originForm(wanted.target)) {
    problems.push(`target ${got.target} instead of ${wanted.target}`)
  }
  if (wanted.body !== undefined && !got.body.equals(Buffer.from(wanted.body, 'base64'))) {
    problems.push(`body ${JSON.stringify(got.body.toString('latin1'))}`)
  }
  return problems
}

/** Section 3.2.2: what a proxy may make of an absolute target towards the deployment. */
function originForm(target: string): string | undefined {
  const rest = /^https?:\/\/[^/?#]*(.*)$/i.exec(target)?.[1]
  return rest === undefined || rest.startsWith('/') ? rest : `/${rest}`
}

const PROBE = '/conformance-probe/'
let probes = 0

/** A client on a fresh connection must get the answer to its own request. */
async function probe(port: number, deployment: RecordingDeployment): Promise<string | undefined> {
  const target = `${PROBE}${++probes}`
  const segments = [Buffer.from(`GET ${target} HTTP/1.1\r\nHost: probe.example\r\n\r\n`)]
  const read = (received: Buffer, closed: boolean): StrictAnswer[] | string =>
    readAnswers(received, closed, ['GET'])
  const exchange = await rawExchange({
    port,
    segments,
    deadlineMs: DEADLINE_MS,
    until: received => read(received, false).length > 0,
  })
  exchange.close()
  const answers = read(exchange.received(), exchange.ended === 'closed')
  if (typeof answers === 'string') return `the next client got what breaks a rule: ${answers}`
  const serial = deployment.requests.findLast(request => request.target === target)?.serial
  const [first, ...more] = answers
  if (first === undefined) return `the next client got no answer (${exchange.ended})`
  if (serial === undefined) return `the request of the next client did not arrive (${first.status})`
  const own = first.status === 200 && valuesOf(first.fields, 'x-serial').join() === String(serial)
  return own && more.length === 0 && first.body.toString() === `answer ${serial}\n`
    ? undefined
    : `the next client got another answer than its own (${first.status})`
}

/** Final answers in `received`; the rule that is broken, if one is. */
function readAnswers(
  received: Buffer,
  closed: boolean,
  methods: readonly (string | undefined)[],
): StrictAnswer[] | string {
  const answers: StrictAnswer[] = []
  let rest = received
  while (rest.length > 0) {
    const result = readStrictAnswer(rest, { method: methods[answers.length], closed })
    if (result.kind === 'violation') return result.rule
    if (result.kind === 'incomplete') break
    if (result.message.status >= 200) answers.push(result.message)
    rest = rest.subarray(result.length)
  }
  return answers
}

function firstMethod(bytes: Buffer): string | undefined {
  return /^\s*([A-Z]+) /.exec(bytes.toString('latin1', 0, 20))?.[1]
}

/** What a case of HTTP/1.1 says must come of it, held against what did. Every function gives what is wrong, or nothing. */
import type { Http1Case } from './http1-cases.ts'
import type { RecordedRequest } from './raw-peer.ts'
import { readStrictAnswer, readStrictRequest, type StrictAnswer, valuesOf } from './strict-http1.ts'

/** What came of a case. */
export interface Outcome {
  readonly arrived: readonly RecordedRequest[]
  /** Final answers, in order. */
  readonly answers: readonly StrictAnswer[]
  /** Whether the proxy closed the connection. */
  readonly closed: boolean
}

/** The only statuses with which a message is refused (docs/errors.md). */
const REFUSALS: ReadonlySet<number> = new Set([400, 413, 414, 417, 431, 501, 505])
/** What is noticed only when the deployment has the head already, and maybe some of the body. */
const BODY_FAULTS: ReadonlySet<string> = new Set([
  'malformed_chunk',
  'chunk_extensions_too_large',
  'trailers_too_large',
  'body_too_large',
])

export function isRefusal({ status }: StrictAnswer): boolean {
  return status >= 400
}

/** The error code in a problem answer, or ''. */
function codeOf({ body }: StrictAnswer): string {
  return /"about:amt\/([a-z0-9_]+)"/.exec(body.toString('latin1'))?.[1] ?? ''
}

/** Whether the deployment may have got the beginning of the message that was refused. */
export function wasRefusedInBody(answers: readonly StrictAnswer[]): boolean {
  return answers.some(answer => BODY_FAULTS.has(codeOf(answer)))
}

/** What the case itself asks for. */
export function verdict(testCase: Http1Case, outcome: Outcome): string[] {
  return [...byExpectation(testCase, outcome), ...statusFaults(testCase, outcome)]
}

function byExpectation({ expect, n, requests = [] }: Http1Case, outcome: Outcome): string[] {
  const { arrived, answers, closed } = outcome
  const statuses = answers.map(answer => answer.status).join(' ') || 'no answer'
  const refused = answers.some(isRefusal)
  switch (expect) {
    case 'safe':
      return []
    case 'wait':
      if (arrived.length > n)
        return [`${arrived.length} requests arrived instead of ${n} and a wait`]
      if (refused) return [`refused (${statuses}) instead of waited for`]
      return closed ? ['closed instead of waited for'] : []
    case 'reject':
      if (arrived.length > n)
        return [`${arrived.length} requests arrived, refused should be all but ${n}`]
      if (!refused && !closed) return [`neither refused nor closed (${statuses})`]
      return closed ? [] : ['refused, and left open']
    case 'accept':
      if (arrived.length !== n)
        return [`${arrived.length} requests arrived instead of ${n} (${statuses})`]
      if (refused && answers.length <= n) return [`answered with ${statuses}`]
      return requests.flatMap((wanted, index) => difference(wanted, arrived[index]))
  }
}

function statusFaults({ status: ranges, own }: Http1Case, { answers }: Outcome): string[] {
  const last = answers.at(-1)
  const status = last?.status ?? -1
  if (ranges !== undefined && !ranges.some(([least, most]) => status >= least && status <= most))
    return [`answered with ${status}`]
  if (own?.refusal === undefined) return []
  const { refusal } = own
  const found = last === undefined ? '' : codeOf(last)
  return status === refusal.status && found === refusal.code
    ? []
    : [`answered with ${status} ${found} instead of ${refusal.status} ${refusal.code}`]
}

/** A refusal says why and that it is the last answer, and the connection is closed behind it. */
export function refusalFaults({ answers, closed }: Outcome): string[] {
  const refusal = answers.find(isRefusal)
  if (refusal === undefined) return []
  const { status, fields } = refusal
  const problems: string[] = []
  if (!REFUSALS.has(status)) problems.push(`refused with ${status}`)
  if (codeOf(refusal) === '' && refusal.body.length > 0) problems.push('refused without a code')
  if (valuesOf(fields, 'content-type').join() !== 'application/problem+json')
    problems.push('refused without problem details')
  if (valuesOf(fields, 'connection').join() !== 'close')
    problems.push('refused without saying that the connection ends')
  if (answers.at(-1) !== refusal) problems.push('went on behind a refusal')
  if (!closed) problems.push('refused, and left open')
  return problems
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

/** Final answers in `received` to requests with these methods; the rule that is broken, if one is. */
export function readAnswers(
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

/** What becomes of a connection on which `bytes` were answered; unknown where they are not whole requests, or upgrade. */
export function afterwards(bytes: Buffer): 'open' | 'closed' | 'unknown' {
  let rest = bytes.subarray(/^(?:\r\n)*/.exec(bytes.toString('latin1'))?.[0].length ?? 0)
  while (rest.length > 0) {
    const result = readStrictRequest(rest)
    if (result.kind !== 'message') return 'unknown'
    const { version, fields } = result.message
    const options = valuesOf(fields, 'connection').join().toLowerCase()
    if (/\bupgrade\b/.test(options)) return 'unknown'
    const closes = version === '1.1' ? /\bclose\b/.test(options) : options !== 'keep-alive'
    if (closes) return 'closed'
    rest = rest.subarray(result.length)
  }
  return 'open'
}

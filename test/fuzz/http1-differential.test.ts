/**
 * A second opinion on the codec: whatever it accepts of what damage leaves, Node's own parser reads as the same message
 * with the same body and end, or refuses for a reason that is of no concern. What the proxy writes is compared with the
 * same parser in the two proxy fuzzers, where Node has no such freedom.
 */
import { METHODS } from 'node:http'
import { t as root, test } from 'tap'
import { BODY_CHUNKED, BODY_UNTIL_CLOSE } from '../../src/codec/http1/framing.ts'
import { budgetMs, SEED, Search, timeoutMs } from '../support/fuzz/budget.ts'
import { type ReadRequest, readAnswer, readRequests, table } from '../support/fuzz/codec-reading.ts'
import {
  ANSWERS,
  corpusLine,
  damagedAnswer,
  damagedRequest,
  REQUESTS,
} from '../support/fuzz/corpus.ts'
import { NodeRequestReader, nodeReadsAnswer } from '../support/node-http.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import type { Fields } from '../support/strict-http1.ts'

root.setTimeout(timeoutMs('differential'))
const NEXT = 'GET /next-one HTTP/1.1\r\nHost: next\r\n\r\n'
/** A search that finds more than this has found one fault very often. */
const MAX_FINDINGS = 5

const looked: ReadonlySet<string> = new Set(table.rules.map(({ name }) => name))
/** Of a name that only underscores tell from one that the codec looks at, or that it drops, nothing is forwarded. */
const isDropped = (name: string): boolean =>
  looked.has(name.replaceAll('_', '-')) || /^x[-_](amt|forwarded)[-_]/.test(name)

/** As `ReadRequest.looked` has them. */
function lookedOf(fields: Fields): string {
  const values = (name: string): string[] =>
    fields.filter(field => field[0].toLowerCase() === name).map(field => field[1])
  return table.rules.map(({ name }) => values(name).join(', ')).join('\n')
}

/** Lines of fields that nobody looks at; those that `Connection` names are gone from ours. */
function others(fields: Fields): string[] {
  return fields
    .filter(([name]) => !isDropped(name.toLowerCase()))
    .map(([name, value]) => `${name}: ${value}`)
}

function linesOf(text: string): string[] {
  return text
    .split('\r\n')
    .slice(0, -1)
    .map(line => line.replace(/:[ \t]*(.*?)[ \t]*$/, ': $1'))
}

/** Whether all of `part` is in `all`, in this order. */
function within(part: readonly string[], all: readonly string[]): boolean {
  let at = 0
  for (const line of all) if (line === part[at]) at++
  return at === part.length
}

async function requestFault(node: NodeRequestReader, text: string): Promise<string | undefined> {
  const bytes = Buffer.from(text, 'latin1')
  const whole = readRequests([bytes]).messages[0]
  if (whole === undefined || !whole.done) return undefined
  // Node reads no more behind it, and answers nothing.
  if (whole.method === 'CONNECT') return undefined
  const used = firstEnd(bytes, whole)
  const persists = keepsOn(whole)
  const sent = Buffer.concat([bytes.subarray(0, used), Buffer.from(persists ? NEXT : '')])
  const { messages, refusal } = await node.read(sent)
  const [first, second] = messages
  // It serves only some methods, and looks closer at extensions and trailers, of which we write our own or none.
  if (first === undefined)
    return METHODS.includes(whole.method) && whole.kind !== BODY_CHUNKED ? `Node: ${refusal}` : ''
  const { method, target, minor, body } = whole
  if (
    JSON.stringify([first.method, first.target, first.minor, first.body]) !==
    JSON.stringify([method, target, minor, body])
  )
    return 'Node reads another request'
  if (lookedOf(first.fields) !== whole.looked) return 'Node reads other values'
  if (!within(linesOf(whole.lines), others(first.fields))) return 'Node reads other lines'
  return persists && second?.target !== '/next-one' ? 'Node sees another end' : ''
}

/** Where the first request ends: with one byte less it is not whole. */
function firstEnd(bytes: Buffer, { body, method }: ReadRequest): number {
  let [least, most] = [0, bytes.length]
  while (least < most) {
    const middle = (least + most) >> 1
    const first = readRequests([bytes.subarray(0, middle)]).messages[0]
    if (first?.done && first.body === body && first.method === method) most = middle
    else least = middle + 1
  }
  return least
}

/** Behind a request for an upgrade Node reads no more; we pass on none that has a body. */
function keepsOn({ minor, looked: values }: ReadRequest): boolean {
  const connection = (values.split('\n')[table.slotOf('connection')] ?? '').toLowerCase()
  const has = (option: string): boolean => connection.split(/[ \t]*,[ \t]*/).includes(option)
  if (has('upgrade')) return false
  return minor === 1 ? !has('close') : has('keep-alive') && !has('close')
}

await test('Node reads what the codec accepts of requests in the same way', async t => {
  t.comment(`FUZZ_SEED=${SEED}`)
  const random = SeededRandom.fork(SEED, 5)
  const node = new NodeRequestReader()
  const search = new Search('Node, requests', budgetMs('differential') / 2, line => t.comment(line))
  let compared = 0
  let findings = 0
  while (
    findings < MAX_FINDINGS &&
    search.next(() => `${REQUESTS.length} in the corpus, ${compared} compared`)
  ) {
    const text = damagedRequest(random)
    const fault = await requestFault(node, text)
    if (fault === undefined) continue
    compared++
    if (fault === '') continue
    findings++
    t.fail(`${fault}: ${corpusLine({ name: fault, pieces: [text] })}`)
  }
  t.ok(compared > 10)
  node.close()
})

/**
 * llhttp takes a tab behind `chunked` for a part of the coding, and then reads such an answer until the connection ends; a
 * tab is a blank like any other (RFC 9110 section 5.6.3). What we write has none.
 */
const TAB_BEHIND_CODING = /chunked[ \t]*\t/i

await test('Node reads what the codec accepts of answers in the same way', async t => {
  const random = SeededRandom.fork(SEED, 6)
  const search = new Search('Node, answers', budgetMs('differential') / 2, line => t.comment(line))
  let compared = 0
  let findings = 0
  while (
    findings < MAX_FINDINGS &&
    search.next(() => `${ANSWERS.length} in the corpus, ${compared} compared`)
  ) {
    const { text, method, ...around } = damagedAnswer(random)
    const bytes = Buffer.from(text, 'latin1')
    const { messages, used } = readAnswer([bytes], method)
    const answer = messages.at(-1)
    if (answer === undefined || answer.status < 200) continue
    if (!answer.done && answer.kind !== BODY_UNTIL_CLOSE) continue
    if (TAB_BEHIND_CODING.test(text)) continue
    const { messages: found } = await nodeReadsAnswer(bytes.subarray(0, used), method)
    const [first] = found
    // It refuses more than we do in extensions and trailers, and an announced body where there is none; we drop these.
    if (first === undefined) continue
    compared++
    if (first.status === answer.status && first.body === answer.body) continue
    findings++
    const name = 'Node reads another answer'
    t.fail(`${name}: ${corpusLine({ name, pieces: [text], method, ...around })}`)
  }
  t.ok(compared > 10)
})

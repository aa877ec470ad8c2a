/**
 * The HTTP/1.1 codec under requests that are made up and then damaged: it reads what it should, never throws or hangs,
 * never looks beyond what has come, and whatever it accepts leaves it as one message that a strict reader takes.
 */
import fc from 'fast-check'
import { t as root, test } from 'tap'
import { BodyReader } from '../../src/codec/http1/body.ts'
import { chunkEnd, chunkHead } from '../../src/codec/http1/chunked.ts'
import { INCOMPLETE, INVALID } from '../../src/codec/http1/field-section.ts'
import { FieldTable } from '../../src/codec/http1/field-table.ts'
import { BODY_CHUNKED, BODY_LENGTH } from '../../src/codec/http1/framing.ts'
import { RequestHead } from '../../src/codec/http1/request-head.ts'
import { ResponseHead } from '../../src/codec/http1/response-head.ts'
import { originForm } from '../../src/codec/http1/target.ts'
import { readStrictRequest, valuesOf } from '../support/strict-http1.ts'
import { latin1, readAtEverySplit } from '../unit/codec/http1/every-split.ts'
import { requestReader } from '../unit/codec/http1/heads.ts'
import {
  BUDGET_MS,
  CORPUS,
  inChunks,
  messages,
  mutants,
  parameters,
  SEED,
  textOf,
} from './http1-messages.ts'

const table = new FieldTable([], ['x-amt-', 'x-forwarded-'])
root.setTimeout(BUDGET_MS * 2 + 60_000)

interface Body {
  readonly data: string
  readonly end: number
  readonly done: boolean
  readonly trailers: string
}

/** Reads a body behind its head, in pieces of `step` bytes. Throws where it goes nowhere or too far. */
function readBody(head: RequestHead, bytes: Buffer, start: number, step: number): Body {
  const body = new BodyReader(table)
  body.begin(head.kind, head.length)
  let data = ''
  let at = start
  const sink = {
    bodyData: (from: Buffer, first: number, last: number): void => {
      if (first < at || last <= first || last > bytes.length) throw new Error('data out of range')
      data += from.toString('latin1', first, last)
    },
  }
  while (at < bytes.length && !body.done && body.error === undefined) {
    const end = Math.min(bytes.length, at + step)
    const next = body.read(bytes, at, end, sink)
    if (next > end || next < at) throw new Error(`position ${next} of ${at} to ${end}`)
    if (next !== end && !body.done && body.error === undefined) throw new Error('went nowhere')
    at = next
  }
  const { done, error, trailers } = body
  return { data, end: error === undefined ? at : -1, done, trailers: done ? trailers : '' }
}

await test('reads every valid request as it was meant', async t => {
  t.comment(`seed ${SEED}, ${CORPUS.length} cases as corpus`)
  const head = new RequestHead(table)
  fc.assert(
    fc.property(messages, fc.integer({ min: 1, max: 50 }), (made, step) => {
      const bytes = latin1(`${textOf(made)}GET /next`)
      const end = head.read(bytes, 0, bytes.length)
      if (end <= 0) throw new Error(`refused: ${head.error}`)
      const { method, target, minor } = made
      if (head.method !== method || head.target !== target || head.minor !== minor)
        throw new Error('another request')
      const body = readBody(head, bytes, end, step)
      if (!body.done || body.data !== made.body.join('')) throw new Error('another body')
      if (bytes.toString('latin1', body.end) !== 'GET /next') throw new Error('another end')
      const kept = made.trailers.filter(line => !line.startsWith('Content-Length'))
      const trailers = inChunks(made) ? kept.map(line => `${line}\r\n`).join('') : ''
      if (body.trailers !== trailers) throw new Error('other trailers')
    }),
    parameters(0.2),
  )
  t.pass()
})

/** The request as a deployment gets it; origin and credentials apart, which have tests of their own. */
function rewritten(head: RequestHead, { data, trailers }: Body): Buffer {
  const { method, target, host, lines, kind } = head
  const framing =
    kind === BODY_CHUNKED
      ? 'transfer-encoding: chunked\r\n'
      : kind === BODY_LENGTH
        ? `content-length: ${data.length}\r\n`
        : ''
  const first = data === '' ? '' : `${chunkHead(data.length)}${data}\r\n`
  const body = kind === BODY_CHUNKED ? `${first}${chunkEnd(trailers)}` : data
  return latin1(
    `${method} ${originForm(method, target)} HTTP/1.1\r\nhost: ${host}\r\n${lines}${framing}\r\n${body}`,
  )
}

function judge(head: RequestHead, body: Body): void {
  const bytes = rewritten(head, body)
  const result = readStrictRequest(bytes)
  if (result.kind !== 'message') throw new Error(`a strict reader: ${JSON.stringify(result)}`)
  const { message, length } = result
  if (length !== bytes.length) throw new Error('a strict reader sees another end')
  if (message.method !== head.method || message.body.toString('latin1') !== body.data)
    throw new Error('a strict reader sees another request')
  for (const name of ['x-amt-tenant', 'connection', 'te', 'expect', 'keep-alive'])
    if (valuesOf(message.fields, name).length > 0) throw new Error(`${name} was forwarded`)
}

await test('reads whatever comes the same at every split, and forwards it as one message', async t => {
  const head = new RequestHead(table)
  const reader = requestReader(head)
  let accepted = 0
  let refused = 0
  fc.assert(
    fc.property(mutants, text => {
      const bytes = latin1(text)
      const { result } = readAtEverySplit(reader, bytes)
      if (result === INVALID) refused++
      if (result === INVALID || result === INCOMPLETE) return
      head.read(bytes, 0, bytes.length)
      const whole = readBody(head, bytes, result, bytes.length)
      for (const step of [1, 7]) {
        if (JSON.stringify(readBody(head, bytes, result, step)) !== JSON.stringify(whole))
          throw new Error(`another body in pieces of ${step}`)
      }
      if (!whole.done) return
      accepted++
      judge(head, whole)
    }),
    parameters(0.6),
  )
  t.comment(`${accepted} accepted, ${refused} refused`)
  t.ok(accepted > 10 && refused > 10, 'saw both')
})

await test('reads whatever comes as a response without a throw or a look too far', async t => {
  const head = new ResponseHead(table)
  const status = fc.constantFrom(
    'HTTP/1.1 200 OK',
    'HTTP/1.0 304 a',
    'HTTP/1.1 204',
    'HTTP/1.1 101 b',
  )
  fc.assert(
    fc.property(status, mutants, fc.boolean(), (line, text, bodiless) => {
      const response = latin1(`${line}${text.slice(text.indexOf('\r\n'))}`)
      readAtEverySplit(
        {
          read: (bytes, start, end) => head.read(bytes, start, end, bodiless),
          said: result =>
            result === INVALID ? '' : [head.status, head.kind, head.length, head.lines],
        },
        response,
      )
    }),
    parameters(0.2),
  )
  t.pass()
})

import fc from 'fast-check'
import { test } from 'tap'
import { FieldTable } from '../../../../src/codec/http1/field-table.ts'
import { PipelineCounter } from '../../../../src/codec/http1/pipeline.ts'
import { RequestHead } from '../../../../src/codec/http1/request-head.ts'
import { latin1 } from '../../../support/http1/every-split.ts'

const head = new RequestHead(new FieldTable([]))
const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
const post = (body: string): string =>
  `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`
const CHUNKED = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n'
const UPGRADE = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n'
const CONNECT = 'CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n'

/** What is allowed of `text` where `most` calls may wait, wherever it was cut on its way; -1 where all is. */
function allowedOf(text: string, most: number): number {
  const bytes = latin1(text)
  const found = new Set<number>()
  for (let cut = 0; cut <= bytes.length; cut++) {
    const counter = new PipelineCounter(head, most)
    const early = counter.overflow(bytes, 0, cut)
    found.add(early < 0 ? counter.overflow(bytes, 0, bytes.length) : early)
  }
  if (found.size > 1) throw new Error(`depends on the cut: ${[...found].join()}`)
  return [...found][0] as number
}

await test('allows as many waiting calls as it is told, and finds where they end', t => {
  t.equal(allowedOf(GET.repeat(3), 3), -1)
  t.equal(allowedOf(GET.repeat(4), 3), GET.length * 3)
  t.equal(allowedOf(GET.repeat(3) + GET.slice(0, -1), 3), -1, 'half a head is no call yet')
  t.equal(allowedOf(`\r\n${GET}\r\n${GET}`, 1), GET.length + 2, 'empty lines are part of a head')
  t.end()
})

await test('skips bodies by their length, and takes nothing in them for a call', t => {
  t.equal(allowedOf(post(GET.repeat(5)) + GET, 1), post(GET.repeat(5)).length)
  t.equal(allowedOf(post(GET.repeat(5)) + GET, 2), -1)
  t.equal(allowedOf(post(GET.repeat(5)).slice(0, -1), 1), -1)
  t.end()
})

await test('looks no further where it cannot tell what follows', t => {
  const bad = GET.replace('Host', 'Ho st')
  for (const [name, text] of Object.entries({ CHUNKED, UPGRADE, CONNECT, bad }))
    t.equal(allowedOf(text + GET.repeat(5), 1), -1, name)
  t.equal(allowedOf(GET + bad, 1), -1, 'what will be refused has its own error')
  t.end()
})

await test('counts on as calls begin and their bytes are used', t => {
  const counter = new PipelineCounter(head, 2)
  let input = latin1(GET + post('abc') + GET.slice(0, 5))
  const use = (bytes: number): void => {
    input = input.subarray(bytes)
    counter.used(bytes)
  }
  t.equal(counter.overflow(input, 0, input.length), -1)
  t.equal(counter.waiting, 2)
  counter.begun()
  use(GET.length)
  t.equal(counter.waiting, 1)
  input = Buffer.concat([input, latin1(GET.slice(5))])
  t.equal(counter.overflow(input, 0, input.length), -1)
  t.equal(counter.waiting, 2)
  counter.begun()
  use(post('abc').length - 3)
  use(2)
  use(1)
  counter.begun()
  use(GET.length)
  t.equal(counter.waiting, 0)
  t.equal(input.length, 0)
  use(10)
  counter.begun()
  t.equal(counter.waiting, 0, 'a call that was never counted changes nothing')
  input = latin1(CHUNKED)
  t.equal(counter.overflow(input, 0, input.length), -1)
  counter.begun()
  use(CHUNKED.length)
  input = latin1(GET.repeat(3))
  t.equal(
    counter.overflow(input, 0, input.length),
    GET.length * 2,
    'it sees again behind a chunked body',
  )
  t.end()
})

await test('never lets more wait than it may, however bytes come and go', t => {
  const call = fc.constantFrom(GET, post('a'), post(GET), post('b'.repeat(100)))
  fc.assert(
    fc.property(
      fc.array(call, { maxLength: 20 }),
      fc.integer({ min: 1, max: 5 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 120 })),
      (calls, most, sizes) => {
        const bytes = latin1(calls.join(''))
        const counter = new PipelineCounter(head, most)
        let [arrived, gone, done] = [0, 0, 0]
        for (const size of sizes) {
          if (gone === bytes.length) break
          arrived = Math.min(bytes.length, arrived + size)
          const position = counter.overflow(bytes, gone, arrived)
          const allowed = position < 0 ? position : position - gone
          const ends = calls.map((_, index) => calls.slice(0, index + 1).join('').length)
          const whole = calls.filter((_, index) => {
            const start = (ends[index] as number) - (calls[index] as string).length
            const headEnd = start + (calls[index] as string).indexOf('\r\n\r\n') + 4
            return start >= gone && headEnd <= arrived
          })
          if (allowed < 0 && whole.length > most) throw new Error(`${whole.length} wait`)
          if (allowed >= 0 && whole.length <= most) throw new Error(`only ${whole.length} wait`)
          if (allowed >= 0 && allowed !== calls.slice(done, done + most).join('').length)
            throw new Error(`allowed ${allowed}`)
          // The first one begins once it is there whole, or once the rest is refused.
          const first = (calls[done] as string).length
          if (arrived - gone < first && allowed < 0) continue
          counter.begun()
          const headLength = (calls[done] as string).indexOf('\r\n\r\n') + 4
          counter.used(headLength)
          counter.used(first - headLength)
          gone += first
          done++
        }
      },
    ),
    { verbose: true },
  )
  t.pass()
  t.end()
})

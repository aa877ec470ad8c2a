import { test } from 'tap'
import { faultOf, parseLoad, type WrkResult } from '../../../bench/loads/wrk.ts'

const NO_ERRORS = { connect: 0, read: 0, write: 0, timeout: 0, status: 0 }
const GOOD: WrkResult = {
  requests: 1_000,
  bytes: 250_500,
  durationUs: 1e6,
  p50Us: 900,
  p99Us: 2_000,
  errors: NO_ERRORS,
}
const LENGTHS = { min: 250, max: 250 }

await test('the result is found among what wrk prints', async t => {
  t.same(
    parseLoad(`Running 1s test\n  64 connections\nresult ${JSON.stringify(GOOD)}\nbye\n`),
    GOOD,
  )
})

await test('output without a result is an error, and not a figure', async t => {
  t.throws(() => parseLoad('unable to connect to 127.0.0.1:1'), /no result: unable to connect/)
  t.throws(() => parseLoad('result {"requests":1}'))
})

await test('a round in which all was right has no fault', async t => {
  t.equal(faultOf(GOOD, 64, LENGTHS), undefined)
  t.equal(faultOf({ ...GOOD, bytes: 250_000 }, 64, LENGTHS), undefined)
  t.equal(faultOf({ ...GOOD, bytes: 250_000 + 64 * 250 }, 64, LENGTHS), undefined)
})

await test('one error of any kind is a fault', async t => {
  for (const kind of ['connect', 'read', 'write', 'timeout', 'status'] as const) {
    const load = { ...GOOD, errors: { ...NO_ERRORS, [kind]: 1 } }
    t.match(faultOf(load, 64, LENGTHS), `1 ${kind} errors`)
  }
})

await test('too few or too many bytes are a fault, and so is no answer at all', async t => {
  t.match(faultOf({ ...GOOD, bytes: 249_999 }, 64, LENGTHS), /249999 bytes/)
  t.match(faultOf({ ...GOOD, bytes: 250_001 + 64 * 250 }, 64, LENGTHS), /instead of/)
  t.match(faultOf({ ...GOOD, requests: 0, bytes: 0 }, 64, LENGTHS), /no answer/)
})

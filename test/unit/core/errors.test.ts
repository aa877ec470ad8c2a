import { test } from 'tap'
import { ERRORS, problem } from '../../../src/core/errors.ts'

const codes = Object.keys(ERRORS) as (keyof typeof ERRORS)[]

await test('every code can be a path of a URI, a label and a log field', async t => {
  for (const code of codes) t.match(code, /^[a-z][a-z0-9_]{1,39}$/)
})

await test('every code has a status, a gRPC code and a flag that exist', async t => {
  for (const code of codes) {
    const { http, grpc, flag, title } = ERRORS[code]
    t.ok(http >= 400 && http <= 599, `${code}: ${http}`)
    t.ok(grpc >= 1 && grpc <= 16, `${code}: grpc ${grpc}`)
    t.match(flag, /^[A-Z]{2,6}$/, `${code}: ${flag}`)
    t.match(title, /^\S.*[^.\s]$/, `${code}: a sentence without a full stop`)
  }
})

await test('a problem is RFC 9457 and says no more than it was given', async t => {
  t.same(JSON.parse(problem('rate_limited')), {
    type: 'about:amt/rate_limited',
    title: 'too many calls',
    status: 429,
  })
  t.same(JSON.parse(problem('report_gap', 'sequence 7 comes next', { expected: 7 })), {
    type: 'about:amt/report_gap',
    title: 'a report is missing before this one',
    status: 409,
    detail: 'sequence 7 comes next',
    expected: 7,
  })
})

/** `docs/errors.md` is what operators look codes up in: it must name each code of the table, as it is, and no other. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { ERRORS, type ErrorCode } from '../../../src/core/errors.ts'

const PAGE = join(import.meta.dirname, '../../../docs/errors.md')
const ROW = /^\| `(\w+)` \| (\d+) \| (\d+) \| (\w+) \| (.*) \| (.*) \|$/

const rows = readFileSync(PAGE, 'utf8')
  .split('\n')
  .filter(line => line.startsWith('| `'))
  .map(line => ROW.exec(line)?.slice(1) ?? [line])

await test('every code of the table is documented, once, and no other', async t => {
  const documented = rows.map(([code]) => code)
  t.same(documented, Object.keys(ERRORS), 'in the order of the table')
})

await test('the page gives the same status, gRPC code and flag as the table', async t => {
  for (const [code = '', http, grpc, flag] of rows) {
    const spec = ERRORS[code as ErrorCode]
    t.same(
      { http: Number(http), grpc: Number(grpc), flag },
      { http: spec?.http, grpc: spec?.grpc, flag: spec?.flag },
      code,
    )
  }
})

await test('the page says of every code when it happens and what to do', async t => {
  for (const [code, , , , when = '', remedy = ''] of rows) {
    t.match(when, /^\S.{20,}\.$/, `${code}: when`)
    t.match(remedy, /^\S.{15,}\.$/, `${code}: what to do`)
  }
})

import fc from 'fast-check'
import { test } from 'tap'
import { frameOf } from '../../../../src/cli/top/frame.ts'
import { topTable } from '../../../../src/cli/top/table.ts'
import { firstView } from '../../../../src/cli/top/view.ts'
import { topAnswer, topTenant } from '../../../support/top.ts'

const ESC = '\x1b'
const ACME = topTenant('acme', {
  calls: 1_077,
  errors: 0.25,
  ingress: 45_000,
  egress: 2_360_000,
  limited: 7_717,
  connections: 4,
  meanMs: 1.02,
  endpoints: { healthy: 1, ejected: 0 },
  closest: { limit: 'requests', part: 1.08 },
})
const LONG = topTenant('a-tenant-whose-name-goes-on-until-there-is-no-room-any-more-x63', {
  endpoints: { healthy: 1, ejected: 1 },
})

/** Without the marks of the line of titles. */
const plain = (line: string): string => line.replaceAll(`${ESC}[7m`, '').replaceAll(`${ESC}[m`, '')

await test('80 columns hold every figure, and of a long name the beginning and the end', t => {
  const { head, rows } = topTable([ACME, LONG], 80)
  t.same(
    [head, ...rows],
    [
      ' TENANT                        CALLS/S ERR/S LIM/S  IN/S OUT/S  CONN    MS LIMIT',
      ' acme                             1077  0.25  7717 43.9K 2.25M     4  1.02  108%',
      '!a-tenant-whose..-any-more-x63       0     0     0     0     0     0     0     -',
    ],
  )
  t.end()
})

await test('100 columns say which limit it is, and how many endpoints are well', t => {
  const { head, rows } = topTable([ACME, LONG], 100)
  t.match(head, /LIMIT +OF +UP$/)
  t.match(rows[0], /108% +requests +1\/1$/)
  t.match(rows[1], /- +- +1\/2$/)
  t.end()
})

await test('a picture fits its terminal, whatever its size', t => {
  const names = Array.from({ length: 40 }, (_, index) => topTenant(`tenant-${index}`))
  const answer = topAnswer([ACME, LONG, ...names], { service: 's'.repeat(63) })
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 220 }),
      fc.integer({ min: 1, max: 60 }),
      fc.boolean(),
      fc.option(fc.constant('x'.repeat(300)), { nil: undefined }),
      (columns, rows, help, problem) => {
        const view = { ...firstView('calls', 'tenant'), help }
        const lines = frameOf(view, answer, { columns, rows }, problem)
        return lines.length <= rows && lines.every(line => plain(line).length <= columns)
      },
    ),
  )
  t.pass('from 1 to 220 columns')
  t.end()
})

await test('the status says what is shown: order, filter, place, a stop, a problem, what is typed', t => {
  const answer = topAnswer([ACME])
  const size = { columns: 80, rows: 24 }
  const status = (changes: object, problem?: string): string | undefined =>
    frameOf({ ...firstView('errors', ''), ...changes }, answer, size, problem)[2]
  t.match(status({}), /^by errors \(e\) .*h help +q quit$/)
  t.match(status({ filter: 'ac' }), /with "ac": 1/)
  t.match(status({ paused: true }), /STOPPED/)
  t.equal(status({}, 'it is away'), '! it is away')
  t.match(status({ typing: 'glo' }, 'it is away'), /^show tenants with: glo_/)
  t.match(
    frameOf({ ...firstView('calls', ''), help: true }, answer, size, undefined).join('\n'),
    /quit/,
  )
  t.end()
})

await test('what comes over the network is no order to the terminal', t => {
  const evil = `x${ESC}[2J`
  const lines = frameOf(
    firstView('calls', ''),
    topAnswer([topTenant(evil)], { service: evil, phase: evil }),
    { columns: 120, rows: 24 },
    undefined,
  )
  t.notOk(lines.map(plain).join('').includes(ESC))
  t.end()
})

import fc from 'fast-check'
import { test } from 'tap'
import { parseReport } from '../../../src/contracts/parse-report.ts'
import {
  columnReport,
  columnReportSchema,
  reportBodySchema,
  type UsageColumns,
} from '../../../src/contracts/usage-report.ts'
import { NOON, record } from '../../support/ledger/reports.ts'

const COUNTS = [
  0,
  1,
  2 ** 53 - 1,
  -0,
  -1,
  0.5,
  2 ** 53,
  1e300,
  NaN,
  Infinity,
  '1',
  null,
  true,
  [],
  {},
]
const WINDOWS = [NOON, 0, 60_000, NOON + 1, -60_000, 2 ** 53 - 32, null, '0']
const NAMES = [
  'public',
  'ä',
  '𝄞',
  'x'.repeat(63),
  'x'.repeat(64),
  '𝄞'.repeat(32),
  '',
  '\0',
  'a\nb',
  '\ud800',
  'a\u007f',
  ' ',
  1,
  null,
  ['public'],
]
const TENANTS = ['acme', 'a'.repeat(63), 'a'.repeat(64), 'A', '', 'a\n', 7, null]
const CELLS: Readonly<Record<string, readonly unknown[]>> = {
  tenant: TENANTS,
  listener: NAMES,
  operation: NAMES,
  routability: ['l4', 'l7', 'private', 'unroutable', 'l5', '', null, 1],
  code: ['none', '1xx', '5xx', 'grpc-0', 'grpc-16', 'grpc-17', 'grpc-', '6xx', 200, null],
  window: WINDOWS,
}
const HEADS: Readonly<Record<string, readonly unknown[]>> = {
  producer: ['p1', 'a'.repeat(128), 'a'.repeat(129), '../p', '', 1, null],
  sequence: [1, 2, 0, -1, 1.5, 2 ** 53, '1', null],
  first: [1, 2, 3, 0, null, '1', undefined],
}

/** A valid report with some of its parts replaced, removed or added. */
const bodies = fc
  .record({
    rows: fc.integer({ min: 0, max: 4 }),
    first: fc.option(fc.constantFrom(1, 2), { nil: undefined }),
    changes: fc.array(
      fc.oneof(
        {
          weight: 4,
          arbitrary: fc.record({
            kind: fc.constant('cell' as const),
            column: fc.constantFrom(
              ...Object.keys(
                columnReport({ producer: 'p', sequence: 1, records: [record()] }).columns,
              ),
            ),
            row: fc.nat(3),
            value: fc.nat(40),
          }),
        },
        fc.record({
          kind: fc.constant('head' as const),
          key: fc.constantFrom(...Object.keys(HEADS)),
          value: fc.nat(40),
        }),
        fc.record({
          kind: fc.constantFrom(
            'drop' as const,
            'longer' as const,
            'noList' as const,
            'extra' as const,
            'extraColumn' as const,
            'dropHead' as const,
          ),
          key: fc.nat(40),
        }),
      ),
      { maxLength: 3 },
    ),
  })
  .map(({ rows, first, changes }) => {
    const records = Array.from({ length: rows }, (_, index) => record({ calls: index }))
    const body = structuredClone(
      columnReport({
        producer: 'p1',
        ...(first === undefined ? {} : { first }),
        sequence: 2,
        records,
      }),
    ) as unknown as Record<string, unknown> & { columns: Record<string, unknown> }
    for (const change of changes) {
      const names = Object.keys(body.columns)
      if (change.kind === 'cell') {
        const cells = body.columns[change.column]
        const values = CELLS[change.column] ?? COUNTS
        if (Array.isArray(cells) && change.row < cells.length)
          cells[change.row] = values[change.value % values.length]
      } else if (change.kind === 'head') {
        const values = HEADS[change.key] ?? []
        body[change.key] = values[change.value % values.length]
      } else {
        const name = names[change.key % names.length] ?? ''
        const cells = body.columns[name]
        if (change.kind === 'drop') Reflect.deleteProperty(body.columns, name)
        if (change.kind === 'longer' && Array.isArray(cells)) cells.push(cells[0] ?? 1)
        if (change.kind === 'noList') body.columns[name] = { length: rows }
        if (change.kind === 'extra') body['cost'] = 1
        if (change.kind === 'extraColumn') body.columns['cost'] = []
        if (change.kind === 'dropHead')
          Reflect.deleteProperty(body, ['producer', 'sequence', 'first'][change.key % 3] ?? '')
      }
    }
    return body
  })

await test('the quick way and the schema take the same reports, and read the same from them', async t => {
  let taken = 0
  fc.assert(
    fc.property(bodies, body => {
      const parsed = parseReport(body)
      const schema = columnReportSchema.safeParse(body)
      if (parsed.success) {
        taken += 1
        if (!schema.success) return false
        const { first, ...expected } = {
          ...schema.data,
          columns: withMessages(schema.data.columns),
        }
        const { columns, ...head } = columnReport(parsed.data)
        const given = first === undefined ? expected : { ...expected, first }
        const read = { ...head, columns: withMessages(columns) }
        return JSON.stringify(sorted(read)) === JSON.stringify(sorted(given))
      }
      return !schema.success
    }),
    { numRuns: 5_000 },
  )
  t.ok(taken > 500, `${taken} were taken`)
})

/** Absent means 0. */
function withMessages(columns: UsageColumns): UsageColumns {
  const zeros = columns.tenant.map(() => 0)
  const { requestMessages = zeros, responseMessages = zeros, ...others } = columns
  return { ...others, requestMessages, responseMessages }
}

function sorted(value: object): object {
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

await test('a name that no database could keep is refused in both forms', t => {
  for (const name of ['\0', 'a\u0000b', '\ud800', 'a\nb', '\u007f']) {
    const report = { producer: 'p', sequence: 1, records: [record({ operation: name })] }
    t.notOk(parseReport(report).success, JSON.stringify(name))
    t.notOk(parseReport(columnReport(report)).success, JSON.stringify(name))
    t.notOk(reportBodySchema.safeParse(report).success)
  }
  t.end()
})
